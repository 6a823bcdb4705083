"""Records of the search: configurations, fold results and trials, as the trials file holds them.

The first line of the file is a `SearchHeader`; its digest covers everything the result depends
on, the search's code included, and so says which search the trials belong to.
"""

from dataclasses import dataclass, field
from typing import Literal

ParameterValue = float | int | str | bool | None
MetricValues = dict[str, float | None]
TrialSource = Literal["portfolio", "search", "given"]


@dataclass(frozen=True)
class Configuration:
    """A family of models with its hyperparameters, preprocessing included."""

    family: str
    hyperparameters: dict[str, ParameterValue] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldResult:
    """How one configuration did on one fold.

    Attributes
    ----------
    fold : int
    figures : dict
    fit_seconds, predict_seconds : float
        Of wall-clock time; encoding counts with the fit that was the first to need it.
    iterations : int, optional
        Rounds, trees or epochs that were kept, of families that have them.
    encode_seconds : float
        What encoding the fold's validation rows took, for this trial or an earlier one.
    """

    fold: int
    figures: MetricValues
    fit_seconds: float
    predict_seconds: float
    iterations: int | None = None
    encode_seconds: float = 0.0


@dataclass(frozen=True)
class Trial:
    """One configuration of the search.

    Attributes
    ----------
    number : int
        0, 1, 2, ... in the order in which trials were started.
    status : str
        `complete` (all folds), `stopped` (by the scheduler or the budget, some folds) or `failed`.
    folds : tuple of FoldResult
        The folds that were finished, in order.
    score : float, optional
        Mean over those folds of the metric that is optimised, in its own unit.
    reason : str, optional
        Why it was stopped or failed.
    elapsed_seconds : float
        The search's clock when the trial ended, counted over restarts.
    phase : str
        `portfolio` (the strong defaults and warm starts), `search` (what a searcher proposed) or
        `given` (of a refit).
    """

    number: int
    configuration: Configuration
    status: Literal["complete", "stopped", "failed"]
    folds: tuple[FoldResult, ...]
    score: float | None
    reason: str | None
    elapsed_seconds: float
    phase: TrialSource = "search"


@dataclass(frozen=True)
class SearchHeader:
    """The first line of the trials file: which search its trials belong to.

    Attributes
    ----------
    digest : str
        Hash of everything that the search's result depends on, its code included.
    metric : str
        The metric that is optimised.
    n_folds : int
    budget_seconds, budget_trials : float or int, optional
        As in params.yaml; at least one is given.
    workers : int, optional
        How many fits run at once; None where a cluster tells it.
    """

    digest: str
    metric: str
    greater_is_better: bool
    n_folds: int
    budget_seconds: float | None
    budget_trials: int | None
    workers: int | None = None
