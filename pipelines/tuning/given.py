"""Configurations that are given and no others, evaluated one by one in this process."""

from collections.abc import Callable, Sequence

from pipelines.core.trials import Configuration, FoldResult, Trial
from pipelines.tuning.strategies import Budget
from pipelines.tuning.work import Work, fold_result, mean_score


def run_given(
    work: Work,
    configurations: Sequence[Configuration],
    *,
    budget: Budget,
    finished: tuple[Trial, ...],
    on_finished: Callable[[Trial], None],
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
        Called with each trial as it ends.
    """
    done = {trial.number for trial in finished}
    for number, configuration in enumerate(configurations):
        if number not in done:
            on_finished(_trial(work, configuration, number=number, budget=budget))


def _trial(work: Work, configuration: Configuration, *, number: int, budget: Budget) -> Trial:
    results: list[FoldResult] = []
    reason = None
    for fold in range(len(work.folds)):
        try:
            results.append(fold_result(work, configuration, fold))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            break
    return Trial(
        number=number,
        configuration=configuration,
        status="complete" if reason is None else "failed",
        folds=tuple(results),
        score=mean_score(results, work.metrics[0].name),
        reason=reason,
        elapsed_seconds=budget.clock(),
    )
