"""The contract of Tune's schedulers, in one Ray session, and of the rungs at which they compare."""

import math
import os
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import psutil
import pytest

from evertune.config.search_rules import PAUSING_SCHEDULERS, TUNE_SCHEDULERS
from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import METRICS, custom_metric
from evertune.search.objective import Job, Objective, Worker
from evertune.search.ray_tune import ray_session, run_in_session
from evertune.search.rungs import make_rungs
from evertune.search.samplers import GivenSampler
from evertune.trials import Configuration
from tests.search.studies import make_study
from tests.support.services import wait

N_FOLDS = 5


def steep_objective(n_folds=N_FOLDS, n=1200):
    """Return a linear target: the stronger a linear model is regularised, the worse every fold."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    rows = np.arange(n)
    folds = tuple(
        Fold(rows[rows % n_folds != part], rows[rows % n_folds == part]) for part in range(n_folds)
    )
    schema = TableSchema((Column("a", "number"), Column("b", "number")), "y", "regression")
    y = (3 * table["a"] + table["b"]).to_numpy()
    return Objective(table, y, schema, folds, (METRICS["rmse"],), 0)


OBJECTIVE = steep_objective()
TWO_FOLDS = steep_objective(2, 300)  # for boosting, of which every step fits all folds
# the first is the best, each of the others is worse on every fold; one fails
LINEAR = [Configuration("linear", {"alpha": 10.0**power}) for power in (-3, 3, 4, 5, 6, 7, 8)]
FAILING = Configuration("linear", {"penalty": "unknown"})
BOOSTING = [
    Configuration("xgboost", {"learning_rate": rate, "n_estimators": 60})
    for rate in (0.2, 1e-5, 2e-5, 3e-5)
]


def given_study(points, families=("linear",), past=(), **settings):
    settings = {
        "searcher": "random",
        "trials": len(points) + len(past),
        "seed": 1,
        "objective": OBJECTIVE,
    } | settings
    return make_study(families, past=past, sampler=GivenSampler(points, past), **settings)


def in_order(study):
    return sorted(study.trials, key=lambda trial: trial.number)


def run_all(study, workers=1):
    """Evaluate a study in the session; each worker takes seconds to import what it fits."""
    study.workers = workers
    run_in_session(study, root=None, started=threading.Event())
    study.close()
    return in_order(study)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with ray_session(None, tmp_path_factory.mktemp("state"), workers=2):
        yield


TEN = [*LINEAR, FAILING, *LINEAR[1:3]]


@pytest.fixture(scope="module")
def stopped_by_asha(session):  # noqa: ARG001
    """Return a study that ASHA has ended."""
    run_all(study := given_study(TEN, scheduler="asha"))
    return study


def check_the_best_survived(study):
    trials = in_order(study)
    assert [trial.number for trial in trials] == list(range(10))
    assert (trials[0].status, trials[0].fidelity, len(trials[0].folds)) == ("complete", 1, N_FOLDS)
    assert trials[7].status == "failed"
    assert study.artifacts.keys() == {t.number for t in trials if t.status == "complete"}
    return [len(trial.folds) * trial.fidelity for trial in trials if trial.status != "failed"]


def check_bad_trials_got_less(study):
    used = check_the_best_survived(study)
    assert sum(used[1:]) / 8 < 0.85 * N_FOLDS
    assert sum(trial.status == "stopped" for trial in study.trials) >= 2


@pytest.mark.slow
@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("scheduler", "rung", "workers"),
    [
        ("median", "folds", 1),
        ("hyperband", "folds", 2),  # it counts those that run, since it pauses others
        ("bohb", "rows", 1),
    ],
)
def test_the_best_survives_a_failure_and_bad_trials_get_less(scheduler, rung, workers):
    study = given_study(TEN, scheduler=scheduler, rung=rung)
    run_all(study, workers)
    check_bad_trials_got_less(study)


@pytest.mark.slow
def test_asha_keeps_the_best_through_a_failure_and_gives_bad_trials_less(stopped_by_asha):
    check_bad_trials_got_less(stopped_by_asha)


def slow_objective(folder, seconds):
    """Return the objective with a metric that takes long, and notes the process that it is in."""

    def slow_error(y_true, values, probabilities):  # noqa: ARG001
        with (folder / str(os.getpid())).open("a") as calls:
            calls.write(".")
        time.sleep(seconds)
        return float(np.abs(y_true - values).mean())

    metric = custom_metric("slow", slow_error, greater_is_better=False, task="regression")
    return replace(TWO_FOLDS, metrics=(metric,))


class PausingSampler(GivenSampler):
    """Has nothing to propose for a second once a few jobs were asked for."""

    goes_on_at = math.inf

    def ask(self, study, *, killable):
        if study.next_number == 4:
            self.goes_on_at = min(self.goes_on_at, time.monotonic() + 1)
            if time.monotonic() < self.goes_on_at:
                return None
        return super().ask(study, killable=killable)


@pytest.mark.slow
@pytest.mark.usefixtures("session")
def test_without_a_scheduler_each_worker_takes_job_after_job_and_a_failure_is_alone(tmp_path):
    points = [FAILING, *LINEAR * 4]
    objective = slow_objective(tmp_path, 0.15)
    settings = {"sampler": PausingSampler(points), "trials": 29, "objective": objective}
    study = make_study(["linear"], searcher="random", scheduler="none", **settings)
    trials = run_all(study, workers=2)
    assert [trial.number for trial in trials] == list(range(29))
    assert [trial.status for trial in trials] == ["failed"] + ["complete"] * 28
    calls = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(calls) == 2
    assert min(calls) > sum(calls) / 4


@pytest.mark.slow
@pytest.mark.usefixtures("session")
def test_workers_that_are_stuck_at_the_deadline_are_ended(tmp_path):
    study = given_study(LINEAR, objective=slow_objective(tmp_path, 90), scheduler="none")

    def stop_soon():
        while not list(tmp_path.iterdir()):
            time.sleep(0.05)
        study.stop_at = time.monotonic()

    threading.Thread(target=stop_soon, daemon=True).start()
    began = time.monotonic()
    assert run_all(study) == []
    assert time.monotonic() - began < 60
    wait(lambda: not any(psutil.pid_exists(int(path.name)) for path in tmp_path.iterdir()))


@pytest.mark.slow
@pytest.mark.usefixtures("session")
def test_rungs_of_rounds_go_on_from_where_they_were():
    study = given_study(
        BOOSTING * 2, ("xgboost",), objective=TWO_FOLDS, scheduler="hyperband", rung="rounds"
    )
    trials = run_all(study)
    assert trials[0].status == "complete"
    assert {fold.iterations for fold in trials[0].folds} <= set(range(20, 61))
    stopped = [trial for trial in trials if trial.status == "stopped"]
    assert stopped
    assert all(trial.fidelity < 1 and len(trial.folds) == 2 for trial in stopped)


@pytest.mark.slow
@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("scheduler", ["pbt", "pb2"])
def test_a_population_copies_the_best_and_changes_its_parameters(scheduler):
    study = given_study(
        BOOSTING,
        ("xgboost",),
        objective=TWO_FOLDS,
        scheduler=scheduler,
        space={"xgboost": {"learning_rate": (1e-5, 0.3)}},
    )
    trials = run_all(study)
    assert {trial.status for trial in trials} == {"complete"}
    rates = [trial.configuration.hyperparameters["learning_rate"] for trial in trials]
    assert sum(rate > 0.01 for rate in rates[1:]) >= 1  # they began below 1e-4
    assert min(trial.score for trial in trials[1:]) < 2.0  # a rate of 1e-5 would leave it above 3
    assert study.artifacts.keys() == {0, 1, 2, 3}


@pytest.mark.slow
def test_a_scheduler_goes_on_from_an_earlier_run(stopped_by_asha):
    done = in_order(stopped_by_asha)[:4]
    trials = run_all(given_study(LINEAR, past=tuple(done), scheduler="asha", trials=7))
    assert [trial.number for trial in trials] == [4, 5, 6]
    assert {trial.status for trial in trials} == {"stopped"}
    assert {len(trial.folds) for trial in trials} == {1}  # all are worse than those of before


@pytest.mark.parametrize("scheduler", TUNE_SCHEDULERS)
def test_a_study_of_the_portfolio_refuses_schedulers_of_tune(scheduler):
    with pytest.raises(ValueError, match=f"{scheduler} compares trials step by step.*take the"):
        make_study(("xgboost",), scheduler=scheduler)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scheduler": "pbt"}, "families: pbt trains in steps.*which linear cannot; leave it out"),
        ({"scheduler": "asha", "rung": "rounds"}, "families: rung rounds trains in steps"),
        ({"scheduler": "racing", "rung": "rows"}, "rung: racing has no rungs of rows; take folds"),
        ({"scheduler": "asha", "rung": "rows"}, "rung rows needs 300 training rows.*found 60"),
    ],
)
def test_a_study_refuses_what_does_not_go_together(settings, words):
    with pytest.raises(ValueError, match=words):
        make_study(("linear", "xgboost"), searcher="random", **settings)


def test_batches_are_not_waited_for_if_the_scheduler_pauses():
    for scheduler in ("asha", *PAUSING_SCHEDULERS):
        study = make_study(("xgboost",), searcher="random", scheduler=scheduler, trials=9)
        asked = [study.ask() is not None for _ in range(5)]
        assert asked[-1] == (scheduler != "asha")


RUNGS = [
    ("folds", Configuration("linear"), [1, 2, 3]),
    ("rows", Configuration("linear"), [1, 3, 9]),
    ("rounds", Configuration("xgboost", {"n_estimators": 30}), [1, 3, 9]),
    ("rounds", Configuration("mlp", {"epochs": 9}), [1, 3, 9]),
]


def worker_of(rung, n_folds=3):
    objective = steep_objective(n_folds, 3000 if rung == "rows" else 300)
    return Worker(objective, make_rungs("asha", rung, objective.folds, one_by_one=True))


@pytest.mark.parametrize(("rung", "configuration", "resources"), RUNGS)
def test_an_evaluation_goes_on_from_its_pickled_state(rung, configuration, resources):
    worker = worker_of(rung)
    job, seen = Job(0, configuration, (0, 1, 2)), []
    whole = worker.start(job)
    expected = [whole.step() for _ in resources]
    state, outcomes = None, []
    for last in expected:
        evaluation = worker_of(rung).start(job)
        if state is not None:
            evaluation.restore(pickle.loads(pickle.dumps(state)))
        update = evaluation.step()
        outcomes += update.outcomes
        seen.append(evaluation.resource)
        state = evaluation.state()
        assert update.done == last.done
        found, wanted = (
            [each.figures["rmse"] for each in part.rung_results] for part in (update, last)
        )
        assert found == pytest.approx(wanted)
    assert seen == resources
    assert update.done
    assert [each.result.fold for each in outcomes] == [0, 1, 2]
    assert all(each.model.data and each.completed for each in outcomes)


def test_a_rung_of_rows_has_a_share_of_the_training_rows_and_all_validation_rows():
    worker = worker_of("rows")
    small, large = (worker.objective_at(resource).folds[0] for resource in (1, 3))
    assert [len(fold.training) for fold in (small, large)] == [222, 667]
    assert set(small.training) < set(large.training) < set(worker.objective.folds[0].training)
    assert (small.validation == worker.objective.folds[0].validation).all()


def test_a_fit_that_fails_or_is_undefined_fails_its_trial_at_any_rung():
    for rung in ("folds", "rows", "rounds"):
        update = (
            worker_of(rung).start(Job(0, Configuration("linear", {"penalty": "x"}), (0, 1))).step()
        )
        assert update.done
        assert update.failed


def test_a_deadline_ends_a_trial_without_outcomes():
    job = Job(0, Configuration("xgboost"), (0, 1, 2), fold_seconds=-1.0)
    for rung in ("rows", "rounds"):
        update = worker_of(rung).start(job).step()
        assert (update.done, update.failed, update.outcomes) == (True, False, ())
        assert "took longer" in update.reason


def test_a_fold_that_is_reported_again_after_a_lost_worker_counts_once():
    study = make_study(("linear",), searcher="random", trials=1)
    job = study.ask()
    worker = Worker(study.objective, study.rungs)
    evaluation = worker.start(job)
    first = evaluation.step()
    study.report(job, first)
    study.report(job, replace(first, done=False))
    assert [fold.fold for fold in study.running[job.number].results] == [0]
