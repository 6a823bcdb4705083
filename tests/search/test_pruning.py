"""The contract of everything that gives trials up, and the rule of our own."""

import pytest

from evertune.metrics.metrics import METRICS
from evertune.search.objective import JobUpdate
from evertune.search.pruning import should_prune
from evertune.search.ray_schedulers import OBJECTIVE, RESOURCE, PastTrial, make_scheduler
from evertune.search.rungs import Rungs
from evertune.trials import Configuration
from tests.search.studies import evaluate, make_study, outcome, past_trial

RUNGS = Rungs("folds", (1, 2, 3, 4, 5))
RIVALS = [{0: 0.8, 1: 0.2}, {0: 0.7, 1: 0.4}, {0: 0.6, 1: 0.9}]


def racing(scores, past=()):
    """Return whether each of some trials, with these RMSEs on the first fold, is pruned."""
    study = make_study(("linear",), searcher="random", seconds=100.0, past=past)
    study.ask()  # the family's default, which is never pruned
    decisions = []
    for score in scores:
        job = study.ask()
        update = JobUpdate((outcome(study.objective, 0, score),), done=False)
        decisions.append(study.report(job, update))
        study.tell(job, update, pruned=True)
    return decisions


def tune_scheduler(kind):
    def decide(scores, past=()):
        scheduler = make_scheduler(kind, metric=METRICS["rmse"], rungs=RUNGS, past_trials=past)
        decisions = []
        for number, score in enumerate(scores):
            trial = PastTrial(f"t{number}")
            scheduler.on_trial_add(None, trial)
            result = {RESOURCE: 1, OBJECTIVE: -score}
            decisions.append(scheduler.on_trial_result(None, trial, result) == "STOP")
            scheduler.on_trial_complete(None, trial, result)
        return decisions

    return decide


PRUNERS = {"racing": racing} | {kind: tune_scheduler(kind) for kind in ("asha", "median", "none")}


@pytest.fixture(params=PRUNERS)
def pruner(request):
    return request.param


def test_a_pruner_lets_the_first_three_pass_whatever_they_score(pruner):
    assert PRUNERS[pruner]([1.0, 2.0, 3.0]) == [False] * 3


def test_a_pruner_gives_up_the_worst_and_never_the_best(pruner):
    decisions = PRUNERS[pruner]([1.0, 2.0, 3.0, 9.0, 0.1])
    assert decisions[3:] == [pruner != "none", False]


def test_a_pruner_decides_the_same_again(pruner):
    scores = [3.0, 1.0, 2.0, 5.0, 0.5, 2.5, 9.0]
    assert PRUNERS[pruner](scores) == PRUNERS[pruner](scores)


@pytest.mark.parametrize("kind", ["asha", "median"])
def test_a_scheduler_knows_the_trials_of_an_earlier_run(kind):
    past = [past_trial(n, Configuration("linear"), float(n + 1), "stopped") for n in range(3)]
    assert PRUNERS[kind]([2.5, 0.5], past) == [True, False]


def test_a_scheduler_that_does_not_exist_is_refused():
    words = "scheduler must be one of racing, asha, .*, none, but got 'sha'"
    with pytest.raises(ValueError, match=words):
        make_scheduler("sha", metric=METRICS["rmse"], rungs=RUNGS)


def test_trials_compete_within_their_family_alone():
    study = make_study(("linear", "tree"), searcher="random", seconds=100.0, seed=3)
    seen = []
    for _ in range(30):
        job = study.ask()
        n_rivals = sum(
            trial.configuration.family == job.configuration.family for trial in study.trials
        )
        update = JobUpdate((outcome(study.objective, 0, 1.0 + len(seen)),), done=False)
        seen.append((job.phase == "search" and n_rivals >= 3, study.report(job, update)))
        study.tell(job, update, pruned=True)
    assert all(expected == pruned for expected, pruned in seen)


def test_a_default_is_never_pruned():
    study = make_study(("linear",), searcher="random", seconds=100.0, trials=5)
    first = study.ask()
    for _ in range(4):
        evaluate(study, study.ask(), 1.0)
    assert not study.report(first, JobUpdate((outcome(study.objective, 0, 99.0),), done=False))


@pytest.mark.parametrize(
    ("scores", "pruned"),
    [({0: 0.65}, True), ({0: 0.75}, False), ({0: 0.65, 1: 0.5}, False), ({0: None}, True)],
)
def test_a_trial_is_compared_with_the_median_over_its_own_folds(scores, pruned):
    assert should_prune(scores, RIVALS) is pruned


def test_rivals_that_lack_a_fold_do_not_count_and_three_are_needed():
    assert not should_prune({0: 0.0}, RIVALS[:2])
    assert not should_prune({0: 0.0, 1: 0.0}, [*RIVALS[:2], {0: 0.9}])
