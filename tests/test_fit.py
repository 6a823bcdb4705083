from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.core.model import predict
from pipelines.core.plans import Plan, TrainingWindow
from pipelines.core.schema import Column, Schema
from pipelines.core.trials import Configuration, FoldResult, SearchHeader, Trial
from pipelines.errors import StageError
from pipelines.fit import run
from pipelines.params import load_params
from pipelines.stores.files import write_record, write_table
from pipelines.stores.models import load_model, window_choice
from pipelines.stores.trials import append_trial, open_trials

SHIPPED = Path(__file__).parents[1] / "params.yaml"


@pytest.fixture
def params(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED.read_text())
    params = load_params(tmp_path)
    table = pd.DataFrame({"a": np.arange(50.0), "y": np.arange(50.0) ** 2})
    keys = [f"{row:016x}" for row in range(50)]
    write_table(params.paths.training, table.assign(row_key=keys))
    write_table(params.paths.choosing, table.assign(row_key=keys).head(0))
    write_record(params.paths.table_schema, Schema((Column("a", "number"),), "y", "regression"))
    write_record(params.paths.plan, Plan())
    open_trials(params.paths.trials, SearchHeader("d", "rmse", False, 1, 60.0, None))
    return params


def add(params, number, family, score):
    fold = FoldResult(0, {"rmse": score, "mae": score}, 0.1, 0.1)
    trial = Trial(number, Configuration(family), "complete", (fold,), score, None, 1.0)
    append_trial(params.paths.trials, trial)


def fit(params, **metric):
    section = params.metric.model_copy(update=metric)
    run(paths=params.paths, metric=section, fit=params.fit)
    return load_model(params.paths.model)


def test_the_best_trial_is_fitted_on_all_rows(params, capsys):
    add(params, 0, "linear", 9.0)
    add(params, 1, "tree", 4.0)
    model = fit(params)
    assert model.configuration.family == "tree"
    assert model.row_keys == tuple(f"{row:016x}" for row in range(50))
    assert "trial 1, tree: rmse 4 over 1 folds" in capsys.readouterr().out


@pytest.mark.parametrize(("metric", "value"), [("rmse", 808.5), ("mae", 600.5)])
def test_without_a_trial_the_model_is_the_zero_rule(params, capsys, metric, value):
    model = fit(params, optimise=metric)
    said = predict(model.fitted, pd.DataFrame({"a": [1.0]}), model.schema).values
    assert said == pytest.approx([value])
    assert "the model is the zero rule" in capsys.readouterr().out


def test_without_a_trial_of_a_retune_the_model_is_the_champions_configuration(params, capsys):
    starts = (Configuration("linear"), Configuration("tree"))
    write_record(params.paths.plan, Plan("retune", starts))
    assert fit(params).configuration == starts[0]
    assert "the model is the first warm start, linear" in capsys.readouterr().out


def test_a_trial_that_breaks_a_guard_is_passed_over(params):
    add(params, 0, "linear", 9.0)
    add(params, 1, "tree", 4.0)
    assert fit(params, guards={"mae": 5.0}).configuration.family == "tree"
    assert fit(params, guards={"mae": 3.0}).configuration.family == "tree"


def test_the_same_trials_give_the_same_bytes(params):
    add(params, 0, "extra_trees", 4.0)
    contents = []
    for _ in range(2):
        fit(params)
        contents.append({file.name: file.read_bytes() for file in params.paths.model.iterdir()})
    assert contents[0] == contents[1]


WINDOWS = (
    TrainingWindow("all"),
    TrainingWindow("since_change", "2024-03-01T00:00:00+00:00"),
    TrainingWindow("latest", "2024-07-01T00:00:00+00:00"),
    TrainingWindow("decayed", half_life_days=20),
)


def drifting(params, windows=WINDOWS):
    """Write rows whose relation turns round on 2024-03-01, and what is to be done with them."""
    days = pd.date_range("2024-01-01", periods=200, unit="us")
    rows = pd.DataFrame({"a": np.arange(200.0) % 17, "moment": days})
    rows["y"] = np.where(days < "2024-03-01", 9 * rows["a"], -9 * rows["a"])
    rows["row_key"] = [f"{row:016x}" for row in range(200)]
    write_table(params.paths.training, rows.head(190))
    write_table(params.paths.choosing, rows.tail(10))
    write_record(params.paths.plan, Plan("retune", windows=windows))
    add(params, 0, "linear", 9.0)


def test_the_window_that_does_best_on_rows_that_choose_becomes_the_model(params, capsys):
    drifting(params)
    model = fit(params)
    assert model.row_keys == tuple(f"{row:016x}" for row in range(60, 200))
    assert "fitted on the window `since_change`; rmse on rows" in capsys.readouterr().out


def test_all_windows_that_were_tried_are_kept_beside_the_model(params):
    drifting(params)
    fit(params)
    choice = window_choice(params.paths.model)
    assert [each.window for each in choice.fits] == list(WINDOWS)
    assert [each.n_rows for each in choice.fits] == [190, 130, 8, 190]
    assert (choice.fits[2].figure, choice.fits[2].reason) == (None, "fewer than 50 rows")
    assert choice.fits[3].figure < choice.fits[0].figure


def test_a_plan_without_a_window_to_learn_from_is_told(params):
    drifting(params, windows=(WINDOWS[2],))
    with pytest.raises(StageError, match=r"latest: fewer than 50 rows; add `all` to monitoring"):
        fit(params)
