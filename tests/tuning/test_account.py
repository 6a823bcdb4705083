import numpy as np
import pytest

from pipelines.core.folds import Fold
from pipelines.core.metrics import METRICS
from pipelines.core.trials import Configuration
from pipelines.tuning.account import Account
from pipelines.tuning.units import OUT_OF_BUDGET, Step, Unit
from pipelines.tuning.work import Work, fold_yield

UNIT = Unit(0, Configuration("linear"), (0, 1))
FOLDS = (Fold(np.arange(150), np.arange(150, 300)), Fold(np.arange(150, 300), np.arange(150)))


@pytest.fixture
def work(table, schema, truth):
    metric = METRICS["rmse" if schema.task == "regression" else "log_loss"]
    return Work(table, truth, schema, FOLDS, (metric,), 0)


def ended(work, reason, *, failed):
    told = []
    account = Account(work, clock=lambda: 1.0, on_finished=lambda *found: told.append(found))
    account.begin(UNIT)
    account.take(UNIT, Step((fold_yield(work, UNIT.configuration, 0, encodings={}),), False))
    account.end(UNIT, Step((), True, reason, failed=failed))
    account.close()
    return told


def test_the_first_trial_that_was_cut_off_is_kept_for_want_of_a_better(work):
    ((trial, entry),) = ended(work, OUT_OF_BUDGET, failed=False)
    assert (trial.status, len(entry.folds)) == ("stopped", 1)


def test_of_a_failed_trial_nothing_is_kept(work):
    ((trial, entry),) = ended(work, "log_loss is undefined on fold 1", failed=True)
    assert (trial.status, entry) == ("failed", None)
