import numpy as np
import pytest

from evertune.data.folds import Fold
from evertune.metrics.metrics import METRICS
from evertune.search.objective import OUT_OF_BUDGET, Job, JobUpdate, Objective, evaluate_fold
from evertune.search.study import TrialTracker
from evertune.trials import Configuration

UNIT = Job(0, Configuration("linear"), (0, 1))
FOLDS = (Fold(np.arange(150), np.arange(150, 300)), Fold(np.arange(150, 300), np.arange(150)))


@pytest.fixture
def work(table, schema, truth):
    metric = METRICS["rmse" if schema.task == "regression" else "log_loss"]
    return Objective(table, truth, schema, FOLDS, (metric,), 0)


def ended(work, reason, *, failed):
    told = []
    account = TrialTracker(work, clock=lambda: 1.0, on_finished=lambda *found: told.append(found))
    account.begin(UNIT)
    account.take(
        UNIT, JobUpdate((evaluate_fold(work, UNIT.configuration, 0, encodings={}),), False)
    )
    account.end(UNIT, JobUpdate((), True, reason, failed=failed))
    account.close()
    return told


def test_the_first_trial_that_was_cut_off_is_kept_for_want_of_a_better(work):
    ((trial, entry),) = ended(work, OUT_OF_BUDGET, failed=False)
    assert (trial.status, len(entry.folds)) == ("stopped", 1)


def test_of_a_failed_trial_nothing_is_kept(work):
    ((trial, entry),) = ended(work, "log_loss is undefined on fold 1", failed=True)
    assert (trial.status, entry) == ("failed", None)
