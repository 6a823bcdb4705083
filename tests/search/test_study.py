import threading
import time

import pytest

from evertune.metrics.metrics import METRICS
from evertune.search.objective import JobUpdate, maximized_score
from evertune.search.study import BATCH_SIZE, Budget
from tests.search.studies import evaluate, make_study, outcome, play


@pytest.fixture
def finished():
    return []


@pytest.fixture
def study_of(finished):
    def make(**settings):
        settings = {
            "searcher": "random",
            "on_finished": lambda *each: finished.append(each),
        } | settings
        return make_study(("linear",), **settings)

    return make


def test_no_job_comes_before_the_whole_batch_has_ended(study_of):
    study = study_of(trials=9)
    jobs = [study.ask() for _ in range(BATCH_SIZE)]
    evaluate(study, jobs[3], 1.0)
    assert study.ask() is None
    for job in jobs[:3]:
        evaluate(study, job, 1.0)
    assert study.ask().number == BATCH_SIZE


def test_in_a_budget_of_seconds_jobs_come_as_long_as_there_are_any(study_of):
    study = study_of(seconds=100.0, trials=6)
    assert [study.ask().number for _ in range(6)] == list(range(6))
    assert study.exhausted


@pytest.mark.parametrize("searcher", ["portfolio", "tpe", "random"])
def test_neither_the_order_in_which_trials_end_nor_the_workers_change_what_is_tried(searcher):
    def tried(n_workers, order):
        study = make_study(("linear", "tree"), trials=16, searcher=searcher)
        waiting = []
        while True:
            while len(waiting) < n_workers and (job := study.ask()) is not None:
                waiting.append(job)
            if not waiting:
                return study.all_trials
            job = waiting.pop(order % len(waiting))
            evaluate(study, job, job.number % 5)

    def outcomes(trials):
        return [(each.configuration, each.score, len(each.folds)) for each in trials]

    alone = outcomes(tried(1, 0))
    assert len(alone) == 16
    assert any(n_folds < 3 for *_, n_folds in alone)
    assert alone == outcomes(tried(2, -1)) == outcomes(tried(3, 1)) == outcomes(tried(8, -1))


def test_a_finished_trial_is_passed_on_with_its_models_which_the_study_forgets(study_of, finished):
    study = study_of(trials=1)
    play(study)
    study.flush()
    ((trial, artifacts),) = finished
    assert (trial.status, len(trial.folds), trial.score) == ("complete", 3, 1.0)
    assert [fold.data for fold in artifacts.folds] == [b"model"] * 3
    assert {fold.data for fold in study.artifacts[0].folds} == {b""}


def test_a_worker_that_died_fails_its_trial_alone(study_of, finished):
    study = study_of(trials=2)
    first, second = study.ask(), study.ask()
    study.tell(first, None)
    evaluate(study, second, 1.0)
    study.close()
    assert [(trial.status, trial.reason) for trial, _ in finished] == [
        ("failed", "the worker process ended"),
        ("complete", None),
    ]


def test_a_failed_trial_keeps_no_models(study_of, finished):
    study = study_of(trials=1)
    job = study.ask()
    study.report(job, JobUpdate((outcome(study.objective, 0, 1.0),), done=False))
    study.tell(job, JobUpdate((), done=True, reason="undefined", failed=True))
    study.close()
    ((trial, artifacts),) = finished
    assert (trial.status, trial.reason, artifacts) == ("failed", "undefined", None)


def test_what_the_budget_cut_short_is_stopped_and_keeps_the_models_it_has(study_of, finished):
    study = study_of(trials=2)
    for job in [study.ask(), study.ask()]:
        study.report(job, JobUpdate((outcome(study.objective, 0, 1.0),), done=False))
    study.close()
    assert [(t.status, t.reason, entry is None) for t, entry in finished] == [
        ("stopped", "the budget was used up", False),
        ("stopped", "the budget was used up", False),
    ]


def test_a_stuck_fit_that_ends_after_the_search_leaves_no_trace(study_of, finished):
    study = study_of(trials=1)
    job = study.ask()
    study.close()
    evaluate(study, job, 1.0)
    study.flush()
    assert finished == []


def test_a_proposed_trial_is_pruned_on_the_folds_that_it_has(study_of, finished):
    study = study_of(seconds=100.0, trials=5)
    for score in (1.0, 1.0, 1.0, 1.0, 9.0):
        evaluate(study, study.ask(), score)
    study.close()
    trial, _ = finished[-1]
    assert (trial.status, trial.reason) == ("stopped", "others were better on the same folds")
    assert len(trial.folds) == 1


def test_only_one_thread_at_a_time_passes_trials_on(study_of):
    busy, overlaps = threading.Lock(), []

    def store(*_):
        overlaps.append(not busy.acquire(blocking=False))
        time.sleep(0.01)
        busy.release()

    study = study_of(trials=8, on_finished=store)
    play(study)
    threads = [threading.Thread(target=study.flush) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [False] * 8


def test_seconds_of_a_killed_run_are_not_given_again():
    budget = Budget(started=100.0, seconds=60.0, trials=None, spent_seconds=25.0)
    assert budget.deadline() == 135.0
    assert Budget(started=100.0, seconds=None, trials=3).deadline() == float("inf")


def test_elapsed_seconds_count_over_restarts():
    budget = Budget(started=time.monotonic() - 2, seconds=60.0, trials=None, spent_seconds=25.0)
    assert 27 <= budget.elapsed() < 57  # a busy machine may take its time


@pytest.mark.parametrize(("metric", "expected"), [("r2", 0.5), ("rmse", -0.5)])
def test_greater_is_better_once_a_score_is_maximized(metric, expected):
    assert maximized_score(0.5, METRICS[metric]) == expected
