from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.config.schema import BaselineSection, MetricSection, SplitSection
from evertune.data.folds import folds_from_table
from evertune.data.schema import Column, TableSchema
from evertune.errors import ParamsError, StageError
from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.heuristics import Rule
from evertune.files import read_record, read_table, write_record, write_table
from evertune.metrics.metrics import mean_metrics
from evertune.models.fitted_model import predict
from evertune.models.persistence import load_model
from evertune.stages.runner import stage_function
from tests.metrics.contract import RANGES

run, baseline_run = (
    stage_function(Path(__file__).parents[2], name) for name in ("split", "baseline")
)

FEATURES = (Column("tenure", "number"), Column("plan", "category", ("basic", "pro")))
CLASSES = {"binary": ("no", "yes"), "multiclass": ("high", "low", "middle"), "regression": ()}


def given(paths, task="binary", *, n_rows=400, share=0.1, **roles):
    random = np.random.default_rng(0)
    tenure = random.permutation(n_rows) / n_rows
    target = {
        "binary": np.where(tenure < share, "yes", "no"),
        "multiclass": np.array(["low", "middle", "high"])[np.digitize(tenure, [0.3, 0.6])],
        "regression": 10 + tenure,
    }[task]
    columns = {"tenure": tenure, "plan": random.choice(["basic", "pro"], n_rows), "y": target}
    people = pd.Series(np.where(np.arange(n_rows) % 2, target, None))
    table = pd.DataFrame(columns).assign(people=people, old=target)
    write_table(paths.clean, table)
    write_record(paths.table_schema, TableSchema(FEATURES, "y", task, CLASSES[task], **roles))
    run(paths=paths, split=SplitSection(n_folds=3))


def measured(paths, metric=None, **section):
    baseline_run(paths=paths, metric=metric or MetricSection(), baseline=BaselineSection(**section))
    results = read_record(paths.baselines / "baselines.json", tuple[BaselineResult, ...])
    return {baseline.name: baseline for baseline in results}


KINDS = {
    "uniform_random": "none", "label_distribution": "none", "zero_rule": "none",
    "heuristic": "none", "human": "given", "existing": "given", "small_tree": "model",
}  # fmt: skip
BEST = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


@pytest.fixture(scope="module", params=CLASSES)
def task(request):
    return request.param


@pytest.fixture(scope="module")
def every_baseline(task, make_paths, tmp_path_factory):
    paths = make_paths(tmp_path_factory.mktemp(task))
    given(paths, task, human="people", existing="old")
    return measured(paths)


class TestEveryBaseline:
    """What every baseline promises, in every task."""

    def test_has_a_kind_and_a_description(self, task, every_baseline):
        linear = "ridge" if task == "regression" else "logistic_regression"
        kinds = {name: baseline.kind for name, baseline in every_baseline.items()}
        assert kinds == KINDS | {linear: "model"}
        assert all(baseline.description for baseline in every_baseline.values())

    def test_is_measured_on_the_same_folds_in_some_time(self, every_baseline):
        for baseline in every_baseline.values():
            assert [fold.fold for fold in baseline.folds] == [0, 1, 2]
            assert min(baseline.fit_seconds, baseline.predict_seconds) >= 0

    def test_has_scores_in_range_whose_mean_is_that_of_the_folds(self, every_baseline):
        for baseline in every_baseline.values():
            scores = [fold.figures for fold in baseline.folds]
            assert baseline.mean == mean_metrics(scores)
            for name, score in baseline.mean.items():
                low, high = RANGES[name]
                assert score is None or low <= score <= high


def test_a_rule_beats_the_constant_and_a_small_tree_beats_the_rule(task, every_baseline):
    names = ("zero_rule", "heuristic", "small_tree")
    scores = [every_baseline[name].mean[BEST[task]] for name in names]
    assert scores == sorted(scores, reverse=task != "binary")


@pytest.mark.parametrize(
    ("share", "name", "f1", "accuracy"),
    [
        (0.1, "uniform_random", 0.167, 0.5),
        (0.1, "label_distribution", 0.1, 0.82),
        (0.9, "label_distribution", 0.9, 0.82),
        (0.9, "zero_rule", 0.947, 0.9),
    ],
)
def test_guesses_are_given_by_their_expectation(paths, share, name, f1, accuracy):
    given(paths, share=share)
    mean = measured(paths)[name].mean
    near = 0.02  # the split moves the share of the positive class a little
    assert (mean["f1"], mean["accuracy"]) == pytest.approx((f1, accuracy), abs=near)
    assert mean["roc_auc"] == 0.5


def test_people_are_measured_on_the_rows_that_they_predicted(paths):
    given(paths, human="people")
    human = measured(paths)["human"]
    assert human.mean["accuracy"] == 1.0
    assert human.description.startswith("column people, which answers 1")
    assert human.mean["log_loss"] is None


def test_the_level_of_people_can_be_stated(paths):
    given(paths)
    stated = measured(paths, human_figure=0.85)["human_stated"]
    assert (stated.mean["roc_auc"], stated.mean["f1"], stated.folds) == (0.85, None, ())


def test_the_best_rule_is_learned_and_saved(paths):
    given(paths)
    result = measured(paths, MetricSection(primary="f1"))["heuristic"]
    rule = read_record(paths.baselines / "rule.json", Rule)
    assert (rule.column, rule.threshold) == ("tenure", pytest.approx(0.1, abs=0.01))
    assert result.mean["f1"] > 0.95
    assert result.description.startswith("tenure: missing -> ")


def test_the_rule_can_be_the_users_own(paths):
    given(paths)
    result = measured(paths, heuristic="tenure < 0.1")["heuristic"]
    assert (result.mean["f1"], result.description) == (1.0, "tenure < 0.1")


def test_a_rule_that_does_not_suit_the_table_is_refused_and_nothing_is_written(paths):
    given(paths)
    with pytest.raises(
        ParamsError, match=r"baseline.heuristic: .*columns tenure, plan. Got 'tenur'"
    ):
        measured(paths, heuristic="tenur < 3")
    assert not paths.baselines.exists()


def test_the_simplest_models_are_saved_fitted_on_all_training_rows(paths):
    given(paths)
    measured(paths)
    training = read_table(paths.training)
    for name in ("logistic_regression", "small_tree"):
        model = load_model(paths.baselines / "models" / name)
        assert model.row_keys == tuple(training["row_key"])
        assert predict(model.fitted, training, model.schema).values.sum() > 0


def test_a_simplest_model_that_cannot_be_fitted_stops_the_stage(paths):
    given(paths)
    write_table(paths.training, read_table(paths.training).assign(y="no"))
    with pytest.raises(StageError, match=r"simplest model 'linear' cannot be fitted on \d+ rows"):
        measured(paths)


def test_a_custom_metric_is_measured_like_the_others(paths):
    given(paths)
    code = "def missed(truth, values, _):\n    return float(((truth == 1) & (values == 0)).sum())\n"
    (paths.state.parent / "metrics_of_a_baseline_test.py").write_text(code)
    own = {"function": "metrics_of_a_baseline_test:missed", "greater_is_better": False}
    result = measured(paths, MetricSection(custom={"missed": own}))
    fold = folds_from_table(read_table(paths.folds))[0]
    positives = (read_table(paths.training)["y"].iloc[fold.validation] == "yes").sum()
    assert result["zero_rule"].folds[0].figures["missed"] == positives


def test_the_optimised_metric_of_each_baseline_is_printed(paths, capsys):
    given(paths)
    measured(paths)
    printed = capsys.readouterr().out.splitlines()
    assert "zero_rule roc_auc 0.5000" in printed
