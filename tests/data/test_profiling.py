from datetime import datetime

import pandas as pd
import pytest

from evertune.data.cleaning import prepare_table
from evertune.data.profiling import find_identifier, format_profile, profile_table
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
        ([["1", "2", "x"][n % 3] for n in range(N_ROWS)], "although 67% of its cells are numbers"),
        (["7" if n < 3 else "" for n in range(N_ROWS)], "new is missing in 98.5% of the rows"),
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
    assert any("class 'yes' has 0.66% of the rows: prefer pr_auc" in note for note in result)


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
        "200 rows, target left: binary, 'yes' is the positive class with 20.0%",
        "number: age",
        "left out code: it names rows instead of describing them",
    ]


def test_only_a_complete_and_unique_column_with_a_telling_name_is_an_identifier():
    named = SOUND.assign(user_id=[f"u{n}" for n in range(N_ROWS)])
    assert find_identifier(named, TableSpec("left")) == "user_id"
    assert find_identifier(named.assign(user_id="u"), TableSpec("left")) is None
    assert find_identifier(named, TableSpec("left", columns={"user_id": "text"})) is None
