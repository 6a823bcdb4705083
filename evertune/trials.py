"""Records of the search: configurations, fold results and trials, as the trials file holds them.

The names of fields are a stored format.
"""

from dataclasses import dataclass, field
from typing import Literal

ParameterValue = float | int | str | bool | None
MetricValues = dict[str, float | None]
TrialSource = Literal["portfolio", "search", "given"]
TRIALS_SCHEMA_VERSION = 1  # of the trials file


@dataclass(frozen=True)
class Configuration:
    """A model family with its hyperparameters, preprocessing included."""

    family: str
    hyperparameters: dict[str, ParameterValue] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldResult:
    """The result of one configuration on one fold.

    Attributes
    ----------
    fit_seconds, predict_seconds : float
        Wall-clock time; encoding counts with the first fit that needs it.
    iterations : int, optional
        Rounds, trees or epochs that were kept, of families that have them.
    encode_seconds : float
        Encoding the fold's validation rows, for this trial or an earlier one.
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
        0, 1, 2, ... in the order in which trials started.
    status : str
        `complete` (all folds), `stopped` (by the scheduler or the budget, some folds) or `failed`.
    folds : tuple of FoldResult
        The folds that finished, in order.
    score : float, optional
        Mean of the primary metric over those folds, in its own unit.
    reason : str, optional
        Why it was stopped or failed.
    elapsed_seconds : float
        The search's clock when the trial ended, summed over restarts.
    phase : str
        `portfolio` (default configurations and warm starts), `search` (proposed by the searcher)
        or `given` (of a refit).
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
    """The first line of the trials file: the search that its trials belong to.

    Attributes
    ----------
    digest : str
        Hash of everything that the search's result depends on, its code included.
    metric : str
        The primary metric.
    budget_seconds, budget_trials : float or int, optional
        As in params.yaml; at least one is given.
    workers : int, optional
        Fits that run at once; None if a cluster decides.
    schema_version : int
        Of the file; a file without it has version 1.
    """

    digest: str
    metric: str
    greater_is_better: bool
    n_folds: int
    budget_seconds: float | None
    budget_trials: int | None
    workers: int | None = None
    schema_version: int = 1
