import json
from pathlib import Path

import numpy as np
import pytest

from evertune.errors import InputError, StageError
from evertune.files import write_record, write_table
from evertune.models.fitted_model import Ensemble, EnsembleMember, FittedPipeline
from evertune.registry.reproduce import (
    REBUILT_FILE,
    RECORDED_METRICS_FILE,
    FoldRefit,
    RestoredProject,
    compare_with_registered,
    environment_notes,
    keep_recorded_members,
    metric_rows,
    prediction_row,
    refit_rows,
    restore_project,
    trials_to_refit,
    worst_metric_row,
)
from evertune.trials import Configuration, FoldResult, Trial
from evertune.types import Predictions
from tests.support import production

LOCK = "schema: '2.0'\nstages:\n  split:\n    outs: [{path: data/folds.parquet, md5: '00'}]\n"


@pytest.fixture
def made(learned: Path) -> Path:
    return learned


@pytest.fixture
def root(champion_root: Path) -> Path:
    return production.project(champion_root)


@pytest.fixture
def laid_out(made: Path, tmp_path: Path) -> RestoredProject:
    """Return a folder in which the stages have made the registered model again."""
    folder = tmp_path / "again"
    (folder / "data").mkdir(parents=True)
    production.project(folder)
    (folder / "dvc.lock").write_text(LOCK)
    (folder / "data/model").symlink_to(made / "model")
    write_table(folder / "data/holdout.parquet", production.rows(0, 5))
    write_record(folder / REBUILT_FILE, (FoldRefit(0, 0, "linear", {"mae": 1.0}, {"mae": 1.0}),))
    for path in (folder / RECORDED_METRICS_FILE, folder / "data/figures.json"):
        path.write_text(json.dumps({"chosen": "model", "holdout": {"mae": 1.0}, "metrics": []}))
    return RestoredProject("1", folder, ("a note",))


def differing(found):
    return [row.what for row in found.rows if not row.equal]


def test_a_model_beside_itself_differs_in_nothing_but_what_was_not_made(root, laid_out):
    found = compare_with_registered(root, laid_out)
    assert differing(found) == ["folds table"]
    assert (found.version, found.notes, found.equal) == ("1", ("a note",), False)


def test_another_figure_of_the_hold_out_is_told(root, laid_out):
    figures = {"chosen": "simplest:ridge", "holdout": {"mae": 1.1}, "metrics": []}
    (laid_out.folder / "data/figures.json").write_text(json.dumps(figures))
    assert {"chosen", "hold-out mae"} <= set(differing(compare_with_registered(root, laid_out)))


def test_another_model_is_told_by_its_predictions(root, laid_out, tmp_path):
    (laid_out.folder / "data/model").unlink()
    (laid_out.folder / "data/model").symlink_to(
        production.learned(tmp_path, flipped=True) / "model"
    )
    assert "predictions of the hold-out" in differing(compare_with_registered(root, laid_out))


def test_a_version_whose_files_are_damaged_is_made_again_and_differs(root, laid_out):
    (encoder,) = (root / "state" / "artifacts").rglob("encoder.skops")
    encoder.write_bytes(b"rot")
    found = compare_with_registered(root, laid_out)
    assert differing(found) == ["folds table", "the registered model"]


def test_a_version_that_is_not_there_is_refused_with_those_that_are(root):
    with pytest.raises(InputError, match=r"a version of churn, but got '7'; there are champion, 1"):
        restore_project(root, "7")


def test_a_version_without_the_record_of_its_project_is_named(root):
    with pytest.raises(StageError, match=r"project/params\.yaml among the artifacts of run"):
        restore_project(root, "1")


def test_where_there_is_no_version_that_is_said(tmp_path, state):
    assert state.exists()
    with pytest.raises(InputError, match="there is none yet"):
        restore_project(production.project(tmp_path), "1")


@pytest.mark.parametrize("taken", ["a folder", "a file"])
def test_a_place_that_is_taken_is_refused(root, tmp_path, taken):
    place = tmp_path / "place"
    if taken == "a folder":
        place.mkdir()
    (place / "mine" if taken == "a folder" else place).write_text("")
    with pytest.raises(InputError, match="expected an empty folder or none, but"):
        restore_project(root, "1", into=place)


LINEAR, TREE = Configuration("linear"), Configuration("tree")


def trial(number, status, *, score=1.0, n_folds=1):
    folds = tuple(FoldResult(fold, {"mae": 1.0}, 0.1, 0.1) for fold in range(n_folds))
    return Trial(number, TREE, status, folds, score, None, 1.0)


def members(*weights):
    pairs = zip((LINEAR, TREE), weights, strict=False)
    return tuple(
        EnsembleMember(each, weight, (FittedPipeline(None, each.family),)) for each, weight in pairs
    )


@pytest.mark.parametrize(
    ("trials", "pool", "expected"),
    [
        ([trial(0, "stopped"), trial(1, "complete"), trial(2, "complete", score=None)], None, [1]),
        ([trial(0, "failed", n_folds=0), trial(1, "stopped"), trial(2, "stopped")], None, [1]),
        ([trial(number, "complete") for number in range(3)], (0, 2, 9), [0, 2]),
    ],
    ids=["those that ran on every fold", "else the first with a fold", "the pool if it is known"],
)
def test_the_trials_that_the_model_was_chosen_among_are_fitted_again(trials, pool, expected):
    assert [each.number for each in trials_to_refit(trials, pool)] == expected


def test_members_that_there_was_no_time_for_are_left_out_and_the_rest_weighs_one():
    whole = Ensemble(members(0.75, 0.25), temperature=2.0, threshold=0.4)
    settled = keep_recorded_members(whole, [LINEAR])
    assert [member.weight for member in settled.members] == [1.0]
    assert (settled.temperature, settled.threshold) == (2.0, 0.4)


@pytest.mark.parametrize("wanted", [None, [LINEAR, TREE], [Configuration("svm")]])
def test_a_model_stays_where_nothing_is_to_be_left_out(wanted):
    for whole in (Ensemble(members(0.75, 0.25)), FittedPipeline(None, "tree")):
        assert keep_recorded_members(whole, wanted) is whole


@pytest.mark.parametrize(
    ("recorded", "rebuilt", "equal"),
    [
        (0.5, 0.5 + 9e-7, True),
        (0.5, 0.5 + 2e-6, False),
        (1000.0, 1000.0 + 9e-4, True),
        (1000.0, 1000.01, False),
        (None, None, True),
        (None, 0.5, False),
        (0.5, None, False),
    ],
)
def test_figures_are_equal_within_a_millionth_of_their_size_or_of_one(recorded, rebuilt, equal):
    (row,) = metric_rows({"mae": recorded}, {"mae": rebuilt})
    assert row.equal is equal


def test_the_worst_metric_stands_for_all_and_a_missing_one_is_worst():
    recorded = {"mae": 1.0, "rmse": 2.0, "mape": None}
    row = worst_metric_row("training", [(recorded, {"mae": 1.0, "rmse": 2.5})])
    assert (row.what, row.difference, row.equal) == ("training: 3 metrics, rmse", 0.5, False)
    assert not worst_metric_row("training", [({"mae": 1.0, "mape": 3.0}, {"mae": 1.0})]).equal


def test_probabilities_are_compared_as_they_are():
    left = np.array([[0.4, 0.6], [0.9, 0.1]])
    said = [Predictions(shares.argmax(axis=1).astype(float), shares) for shares in (left, left + 0)]
    said[1].probabilities[1, 0] = 0.89
    row = prediction_row(*said)
    assert (round(row.difference, 9), row.equal) == (0.01, False)


@pytest.mark.parametrize(
    ("recorded", "rebuilt", "difference"),
    [([0.0, 2000.0], [0.0005, 2000.0005], 5e-7), ([1.0, 1.0], [1.5, 1.5], 0.5)],
)
def test_values_are_compared_by_their_spread_if_they_have_one(recorded, rebuilt, difference):
    row = prediction_row(Predictions(np.array(recorded)), Predictions(np.array(rebuilt)))
    assert (row.difference, row.equal) == (pytest.approx(difference), difference < 1e-6)


def test_predictions_of_other_rows_differ():
    row = prediction_row(Predictions(np.zeros(3)), Predictions(np.zeros(2)))
    assert (row.rebuilt, row.equal) == ("2 rows", False)


def test_each_family_has_a_row_with_its_worst_fold():
    rows = refit_rows(
        [
            FoldRefit(0, 0, "tree", {"mae": 1.0}, {"mae": 1.0}),
            FoldRefit(0, 1, "tree", {"mae": 1.0}, {"mae": 1.25}),
            FoldRefit(1, 0, "linear", {"mae": 1.0}, {"mae": 1.0}),
        ]
    )
    assert [(row.what, row.difference, row.equal) for row in rows] == [
        ("linear, 1 folds fitted again: 1 metrics, mae", 0.0, True),
        ("tree, 2 folds fitted again: 2 metrics, mae", 0.25, False),
    ]


def test_other_versions_of_what_evertune_requires_are_told_evertune_first():
    recorded = "# by hand\nNumPy==2.0\nscikit_learn==1.9\npip==24\nevertune==0.1.0\n"
    assert environment_notes(recorded, "numpy==2.1\npip==25\nevertune==0.2.0\n") == (
        "evertune 0.1.0 was recorded, 0.2.0 is installed; the same metrics need"
        " `pip install evertune==0.1.0`",
        "numpy 2.0 was recorded, 2.1 is installed; the same metrics need `pip install numpy==2.0`",
        "scikit-learn 1.9 was recorded, none is installed; the same metrics need"
        " `pip install scikit-learn==1.9`",
    )
