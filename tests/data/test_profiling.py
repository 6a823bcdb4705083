from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evertune.data.cleaning import prepare_table
from evertune.data.profiling import (
    SUSPICIOUS_SKILL,
    find_identifier,
    find_leaky_features,
    format_profile,
    profile_table,
)
from evertune.data.schema import TableSpec

N_ROWS = 200
SOUND = pd.DataFrame(
    {
        "age": [str(20 + 7 * n % 40) for n in range(N_ROWS)],
        "left": ["yes" if n % 5 == 0 else "no" for n in range(N_ROWS)],
    }
)


def notes(**columns):
    raw = SOUND.assign(**columns)
    declared = TableSpec("left")
    prepared, issues = prepare_table(raw, declared)
    assert issues == ()
    return " | ".join(profile_table(raw, prepared, declared, today=datetime(2026, 1, 1)).notes)


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (SOUND["left"].replace({"yes": "Y", "no": "N"}), "new alone tells left nearly perfectly"),
        ([["NA", "US", "DE"][n % 3] for n in range(N_ROWS)], "new has 'NA', kept as ordinary"),
        ([f"00{n % 7}" for n in range(N_ROWS)], "new has leading zeros"),
        ([["1", "2", "x"][n % 3] for n in range(N_ROWS)], "although 67 % of its cells are numbers"),
        (["7" if n < 3 else "" for n in range(N_ROWS)], "new is missing in 98.5 % of the rows"),
        ([f"{2020 + n % 9}-01-01" for n in range(N_ROWS)], "dates in the future or before 1900"),
    ],
)
def test_what_is_suspicious_about_a_column_is_noted(cells, note):
    assert note in notes(new=cells)


def test_a_date_that_sounds_like_after_the_outcome_is_noted():
    cells = [f"2024-01-{1 + n % 28:02}" for n in range(N_ROWS)]
    assert "cancel_date sounds like a date after the outcome" in notes(cancel_date=cells)


def test_rows_without_a_target_and_rare_classes_are_noted():
    raw = pd.DataFrame({"left": ["", "yes", "yes", *(["no"] * 300)], "age": range(303)})
    prepared, _ = prepare_table(raw.assign(age=raw["age"] % 50), TableSpec("left"))
    result = profile_table(raw, prepared, TableSpec("left"), today=datetime(2026, 1, 1)).notes
    assert "1 rows have no target and are left out" in result
    assert any("class 'yes' has 0.66 % of the rows: prefer pr_auc" in note for note in result)


def test_many_classes_are_noted():
    raw = pd.DataFrame({"left": [f"c{n % 120}" for n in range(1200)], "age": range(0, 2400, 2)})
    prepared, _ = prepare_table(raw, TableSpec("left"))
    result = profile_table(raw, prepared, TableSpec("left"), today=datetime(2026, 1, 1)).notes
    assert "120 classes: is the target a number?" in result


def test_repeated_rows_are_counted():
    assert "rows repeat an earlier row" in notes()


def test_a_profile_says_what_will_be_predicted():
    raw = SOUND.assign(code=[f"c{n}" for n in range(N_ROWS)])
    prepared, _ = prepare_table(raw, TableSpec("left"))
    result = profile_table(raw, prepared, TableSpec("left"), today=datetime(2026, 1, 1))
    assert (result.task, result.positive, result.positive_share) == ("binary", "yes", 0.2)
    assert format_profile(result)[:3] == [
        "200 rows, target left: binary, 'yes' is the positive class with 20.0 %",
        "number: age",
        "code is left out: nearly every row has its own value, so it looks like an identifier. "
        "Is it one? Add `--identifier code`. Does it describe the row? Add `--kind code=text`.",
    ]


def test_only_a_complete_and_unique_column_with_a_telling_name_is_an_identifier():
    named = SOUND.assign(user_id=[f"u{n}" for n in range(N_ROWS)])
    assert find_identifier(named, TableSpec("left")) == "user_id"
    assert find_identifier(named.assign(user_id="u"), TableSpec("left")) is None
    assert find_identifier(named, TableSpec("left", columns={"user_id": "text"})) is None


def test_of_many_names_the_first_are_shown():
    raw = SOUND.assign(**{f"x{n}": SOUND["age"] for n in range(24)}, a="1", b="1")
    prepared, _ = prepare_table(raw, TableSpec("left"))
    result = profile_table(raw, prepared, TableSpec("left"), today=datetime(2026, 1, 1))
    lines = format_profile(result)
    shown = ", ".join(["age", *(f"x{n}" for n in range(19))])
    assert f"number: {shown} and 5 more" in lines
    assert "a, b are left out: all cells are alike" in lines
    many = replace(result, notes=tuple(f"note {n}" for n in range(30)))
    assert format_profile(many)[-2:] == [
        "note: note 19",
        "note: and 10 more; the report lists all notes",
    ]


def test_a_hint_to_name_the_time_can_be_pasted():
    days = pd.Series([f"2024-01-{1 + n % 28:02}" for n in range(N_ROWS)])
    raw = SOUND.assign(**{"Kunde seit": days})
    prepared, _ = prepare_table(raw, TableSpec("left"))
    result = profile_table(raw, prepared, TableSpec("left"), today=datetime(2026, 1, 1))
    assert "'Kunde seit' could order the rows: add `--time 'Kunde seit'`" in format_profile(result)


def share_of_errors_avoided(column, y_true):
    """Return what one column tells about classes: by groups of equal cells or quantile bins."""
    groups = column.astype("str").fillna("")
    if column.dtype.kind in "fM" and column.nunique() > 50:
        groups = pd.qcut(column, 50, labels=False, duplicates="drop").fillna(-1)
    n_majority, right = y_true.value_counts().max(), 0.0
    for _, part in y_true.groupby(groups.to_numpy()):
        single = n_majority / len(y_true)
        right += part.value_counts().max() if len(part) > 1 else single
    return 1 - (len(y_true) - right) / (len(y_true) - n_majority)


def share_of_a_number_explained(column, y_true):
    """Return what one column tells about a number: by ranks, or by the means of equal cells."""
    if column.dtype.kind in "fM":
        known = column.notna()
        if column[known].nunique() < 2 or y_true[known].nunique() < 2:
            return 0.0
        return abs(column[known].corr(y_true[known], method="spearman")) * known.mean()
    means = pd.Series(y_true.mean(), y_true.index)
    for _, part in y_true.groupby(column.astype("str").fillna("").to_numpy()):
        if len(part) > 1:
            means[part.index] = part.mean()
    return 1 - ((y_true - means) ** 2).mean() / y_true.var(ddof=0)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), task=st.sampled_from(["multiclass", "regression"]))
def test_leaky_features_are_those_that_a_plain_definition_finds(seed, task):
    rng = np.random.default_rng(seed)
    n_rows = int(rng.integers(50, 300))
    score = rng.normal(size=n_rows)
    y_true = pd.Series(score)
    if task == "multiclass":
        y_true = y_true.round().add(0.0).astype("str")  # without a zero that has a minus
    columns = {}
    for noise in (0, 0.001, 0.01, 0.05, 0.2, 5):
        near = pd.Series(score + noise * rng.normal(size=n_rows))
        gaps = rng.random(n_rows) < rng.choice([0, 0.01, 0.3])
        columns |= {
            f"number {noise}": near.mask(gaps),
            f"whole {noise}": near.round().add(0.0).mask(gaps),
            f"word {noise}": near.round(int(rng.integers(3))).astype("str").mask(gaps),
            f"date {noise}": pd.to_datetime(1e9 + 1e6 * near, unit="s").dt.as_unit("us").mask(gaps),
        }
    clean = pd.DataFrame(columns)
    plain = share_of_a_number_explained if task == "regression" else share_of_errors_avoided
    found = find_leaky_features(clean, list(clean), y_true, task)
    # a cell on the edge of a quantile bin may fall on either side
    slack = 1e-9 if task == "regression" else 4 / n_rows
    for name in clean:
        skill = plain(clean[name], y_true)
        assert (name in found) == (skill >= SUSPICIOUS_SKILL) or abs(
            skill - SUSPICIOUS_SKILL
        ) < slack
