"""What a search did, in a few numbers."""

from collections.abc import Iterable

from pipelines.core.evaluation import FamilyRow, SearchSummary, Setting
from pipelines.core.trials import Configuration, Trial

COMPLETE = "complete"


def search_summary(trials: Iterable[Trial], *, greater_is_better: bool) -> SearchSummary:
    """Return how many trials there were, how they ended and what each family reached.

    Parameters
    ----------
    trials : iterable of Trial
    greater_is_better : bool
        Of the metric that the scores are in.

    Examples
    --------
    >>> trial = Trial(0, Configuration("linear"), "complete", (), 0.8, None, 3.0)
    >>> search_summary([trial], greater_is_better=True).families
    (FamilyRow(family='linear', trials=1, complete=1, best=0.8),)
    """
    known = list(trials)
    endings = [trial.status for trial in known]
    families = sorted({trial.configuration.family for trial in known})
    rows = [_family_row(family, known, greater_is_better=greater_is_better) for family in families]
    return SearchSummary(
        trials=len(known),
        complete=endings.count("complete"),
        stopped=endings.count("stopped"),
        failed=endings.count("failed"),
        seconds=max((trial.elapsed_seconds for trial in known), default=0.0),
        families=_ranked(rows, greater_is_better=greater_is_better),
    )


def trial_of(configuration: Configuration, trials: Iterable[Trial]) -> Trial | None:
    """Return the first trial that tried a configuration on all folds, if there is one.

    Examples
    --------
    >>> trial = Trial(0, Configuration("linear"), "complete", (), 0.8, None, 3.0)
    >>> trial_of(Configuration("linear"), [trial]) == trial
    True
    """
    tried = (trial for trial in trials if trial.configuration == configuration)
    return next((trial for trial in tried if trial.status == COMPLETE), None)


def settings(configuration: Configuration) -> tuple[Setting, ...]:
    """Return the hyperparameters of a configuration, by name.

    Examples
    --------
    >>> settings(Configuration("tree", {"max_depth": 4}))
    (Setting(name='max_depth', value=4),)
    """
    return tuple(Setting(*item) for item in sorted(configuration.hyperparameters.items()))


def _family_row(family: str, trials: Iterable[Trial], *, greater_is_better: bool) -> FamilyRow:
    tried = [trial for trial in trials if trial.configuration.family == family]
    whole = [trial for trial in tried if trial.status == COMPLETE]
    scores = [trial.score for trial in whole if trial.score is not None]
    best = (max if greater_is_better else min)(scores) if scores else None
    return FamilyRow(family, len(tried), len(whole), best)


def _ranked(rows: Iterable[FamilyRow], *, greater_is_better: bool) -> tuple[FamilyRow, ...]:
    sign = -1.0 if greater_is_better else 1.0

    def rank(row: FamilyRow) -> tuple[bool, float, str]:
        return row.best is None, sign * (row.best or 0.0), row.family

    return tuple(sorted(rows, key=rank))
