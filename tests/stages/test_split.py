from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.config.schema import SplitSection
from evertune.data.folds import folds_from_table
from evertune.data.schema import Column, TableSchema
from evertune.errors import ParamsError
from evertune.files import read_table, write_record, write_table
from evertune.plan import Plan
from evertune.stages.runner import stage_function

run = stage_function(Path(__file__).parents[2], "split")

FEATURES = (Column("tenure", "number"), Column("plan", "category", ("basic", "pro")))


def prepared(paths, *, n_rows=400, share=0.25, **roles):
    random = np.random.default_rng(0)
    columns = {
        "tenure": random.integers(0, 60, n_rows).astype(float),
        "plan": pd.Series(random.choice(["basic", "pro"], n_rows), dtype="str"),
        "id": pd.Series([f"c{row}" for row in range(n_rows)], dtype="str"),
        "day": pd.date_range("2024-01-01", periods=n_rows, unit="us"),
        "team": pd.Series([f"t{row // 10}" for row in range(n_rows)], dtype="str"),
    }
    target = pd.Series(np.where(random.random(n_rows) < share, "yes", "no"), dtype="str")
    write_table(paths.clean, pd.DataFrame({**columns, "churned": target}))
    write_record(
        paths.table_schema, TableSchema(FEATURES, "churned", "binary", ("no", "yes"), **roles)
    )


def read(paths):
    return tuple(read_table(path) for path in (paths.training, paths.holdout, paths.folds))


def test_every_row_is_on_one_side_with_its_key(paths):
    prepared(paths, identifier="id")
    run(paths=paths, split=SplitSection())
    training, holdout, folds = read(paths)
    assert len(training) + len(holdout) == 400
    assert not set(training["row_key"]) & set(holdout["row_key"])
    assert len(folds) == len(training)


def test_written_twice_the_sides_are_the_same_bytes(paths):
    prepared(paths, identifier="id")
    written = []
    for _ in range(2):
        run(paths=paths, split=SplitSection())
        written.append([p.read_bytes() for p in (paths.training, paths.holdout, paths.folds)])
    assert written[0] == written[1]


def test_a_table_with_times_is_split_by_time_throughout(paths):
    prepared(paths, time="day")
    run(paths=paths, split=SplitSection(gap_days=3))
    training, holdout, table = read(paths)
    assert training["day"].max() < holdout["day"].min()
    gaps = [
        training["day"][fold.validation].min() - training["day"][fold.training].max()
        for fold in folds_from_table(table)
    ]
    assert gaps == [pd.Timedelta(days=3)] * 5


def test_repeats_are_more_columns_of_folds(paths):
    prepared(paths)
    run(paths=paths, split=SplitSection(n_folds=3, n_repeats=2))
    assert read(paths)[2].columns.tolist() == [f"fold_{number}" for number in range(6)]


def test_no_group_is_split(paths):
    prepared(paths, group="team")
    run(paths=paths, split=SplitSection(n_folds=3))
    training, holdout, table = read(paths)
    assert len(training) + len(holdout) == 400
    assert not set(training["team"]) & set(holdout["team"])
    teams = training["team"]
    assert all(
        not set(teams[f.training]) & set(teams[f.validation]) for f in folds_from_table(table)
    )


def test_the_sizes_of_the_parts_are_printed(paths, capsys):
    prepared(paths, time="day", group="team")
    run(paths=paths, split=SplitSection(holdout_fraction=0.06, n_folds=2))
    printed = capsys.readouterr().out
    assert "370 training rows in 2 time folds, 24 held out\n" in printed
    assert "left out: 6 rows whose group is in the hold-out\n" in printed


def test_a_class_too_rare_for_the_holdout_is_printed(paths, capsys):
    prepared(paths, share=0.05)
    run(paths=paths, split=SplitSection(holdout_fraction=0.1))
    printed = capsys.readouterr().out
    assert "class 'yes' has only" in printed
    assert "too few to judge a model by" in printed


@pytest.mark.parametrize(
    ("split", "roles", "words"),
    [
        (SplitSection(folds="time"), {}, r"Time folds need a time column"),
        (
            SplitSection(folds="kfold"),
            {"group": "team"},
            r"would split rows of one group. Set split.folds",
        ),
        (SplitSection(n_folds=50), {"group": "team"}, r"50 folds need at least 50 groups"),
        (SplitSection(gap_days=1000), {"time": "day"}, r"Lower split.gap_days or split.n_folds"),
    ],
)
def test_folds_that_cannot_be_made_are_refused_and_nothing_is_written(paths, split, roles, words):
    prepared(paths, **roles)
    with pytest.raises(ParamsError, match=rf"Cannot split the table. .*{words}"):
        run(paths=paths, split=split)
    assert not paths.training.exists()


def test_a_class_rarer_than_the_folds_is_refused_by_name(paths):
    prepared(paths, share=0.01)
    with pytest.raises(ParamsError, match=r"folds are too many: 1 of 2 classes has .*'yes': \d\)"):
        run(paths=paths, split=SplitSection(n_folds=10))


def test_without_a_plan_no_row_chooses_the_window(paths):
    prepared(paths)
    run(paths=paths, split=SplitSection())
    selection, training = read_table(paths.selection), read_table(paths.training)
    assert (len(selection), list(selection)) == (0, list(training))


def test_rows_from_the_plans_moment_choose_or_judge_and_never_train(paths, capsys):
    prepared(paths, time="day")
    write_record(paths.plan, Plan("retune", judge_from="2024-12-01T00:00:00+00:00"))
    run(paths=paths, split=SplitSection())
    training, holdout, _ = read(paths)
    selection = read_table(paths.selection)
    assert (
        training["day"].max()
        < pd.Timestamp("2024-12-01")
        <= min(selection["day"].min(), holdout["day"].min())
    )
    assert f"{len(selection)} rows to choose the training window by" in capsys.readouterr().out


def test_a_plan_that_no_row_is_late_enough_for_is_refused(paths):
    prepared(paths, time="day")
    write_record(paths.plan, Plan("retune", judge_from="2030-01-01T00:00:00+00:00"))
    with pytest.raises(ParamsError, match=r"Rows from 2030-01-01 .* must select and judge. Got 0"):
        run(paths=paths, split=SplitSection())
