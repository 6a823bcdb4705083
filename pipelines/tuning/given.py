"""Configurations that are given and no others, evaluated one by one in this process."""

from collections.abc import Sequence

from pipelines.core.pool import PoolEntry
from pipelines.core.trials import Configuration, Trial
from pipelines.tuning.account import Account, Keep
from pipelines.tuning.strategies import Budget
from pipelines.tuning.units import Unit, steps
from pipelines.tuning.work import Work


def run_given(
    work: Work,
    configurations: Sequence[Configuration],
    *,
    budget: Budget,
    finished: tuple[Trial, ...],
    on_finished: Keep,
) -> None:
    """Evaluate configurations as they are on all folds; those finished before are not run again.

    They are run to their end whatever the budget says: nothing else could take their place.

    Parameters
    ----------
    work : Work
    configurations : sequence of Configuration
    budget : Budget
        Its clock times the trials.
    finished : tuple of Trial
        Of earlier runs of the same search.
    on_finished : callable
        Called with each trial as it ends, and with what the pool keeps of it.
    """
    done = {trial.number for trial in finished}
    for number, configuration in enumerate(configurations):
        if number not in done:
            on_finished(*_evaluated(work, configuration, number=number, budget=budget))


def _evaluated(
    work: Work, configuration: Configuration, *, number: int, budget: Budget
) -> tuple[Trial, PoolEntry | None]:
    account: list[tuple[Trial, PoolEntry | None]] = []
    unit = Unit(number, configuration, tuple(range(len(work.folds))), "given")
    kept = Account(work, clock=budget.clock, on_finished=lambda *ended: account.append(ended))
    kept.begin(unit)
    last = None
    for last in steps(work, unit, {}):
        kept.take(unit, last)
    kept.end(unit, last)
    kept.close()
    return account[0]
