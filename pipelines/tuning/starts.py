"""What a proposer of units starts from."""

from dataclasses import dataclass

from pipelines.tuning.account import Account
from pipelines.tuning.clocks import Clock
from pipelines.tuning.parameters import Space
from pipelines.tuning.spaces import space
from pipelines.tuning.strategies import History, Strategy
from pipelines.tuning.work import Work


@dataclass(frozen=True, eq=False)
class Start:
    """What was done before, what is being done, and what may be used up.

    Attributes
    ----------
    history : History
        Of earlier runs; numbers go on from it.
    account : Account
        Of the trials of this run.
    clock : Clock
    n_trials : int, optional
        Trials to start at most.
    """

    history: History
    account: Account
    clock: Clock
    n_trials: int | None

    def first_number(self) -> int:
        """Return the number of the next trial."""
        return 1 + max((trial.number for trial in self.history.finished), default=-1)


def search_space(work: Work, strategy: Strategy) -> Space:
    """Return what is searched for some work: the families' ranges with the strategy's changes."""
    schema = work.schema
    return space(
        strategy.families,
        strategy.space,
        task=schema.task,
        metric=work.metrics[0].name,
        columns=schema.features,
    )
