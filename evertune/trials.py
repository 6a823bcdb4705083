"""Records of the search: configurations, fold results and trials, as the trials file holds them.

The names of fields are a stored format. Families, hyperparameters and their values that release
0.1 named otherwise are read under these names too (`current_family`, `current_hyperparameters`),
whatever file they stand in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

ParameterValue = float | int | str | bool | None
MetricValues = dict[str, float | None]
TrialSource = Literal["portfolio", "search", "given"]
TRIALS_SCHEMA_VERSION = 1  # of the trials file


FORMER_FAMILIES = {
    "neighbours": "knn",
    "hist_boosting": "hist_gradient_boosting",
    "neural_network": "mlp",
    "embedding_network": "embedding_mlp",
}
FORMER_PARAMETERS = {
    "numbers": "numeric_transform",
    "levels": "categorical_encoding",
    "text": "text_encoding",
    "pairs": "interactions",
    "select": "feature_selection",
    "select_share": "selected_fraction",
    "regularisation": "alpha",
    "schedule": "learning_rate_schedule",
    "embedding_width": "embedding_dim",
}
FORMER_VALUES: dict[str, dict[str, str]] = {  # by parameter
    "categorical_encoding": {"codes": "ordinal_all"},
    "interactions": {"numbers": "numeric", "levels": "categorical"},
    "penalty": {"elastic": "elasticnet"},
}

T = TypeVar("T")


def current_family(name: str) -> str:
    """Return the present name of a family.

    Examples
    --------
    >>> current_family("neighbours"), current_family("svm")
    ('knn', 'svm')
    """
    return FORMER_FAMILIES.get(name, name)


def current_names(values: Mapping[str, T], former: Mapping[str, str]) -> dict[str, T]:
    """Return a mapping under the present names of its keys.

    Raises
    ------
    ValueError
        If a key is given under both names.
    """
    for old, new in former.items():
        if old in values and new in values:
            raise ValueError(f"{old} is the former name of {new}, and both are given; keep {new}")
    return {former.get(name, name): value for name, value in values.items()}


def current_hyperparameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters, or the choices of each, in today's names.

    Raises
    ------
    ValueError
        If one is given under both names.
    """

    def rename(name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return tuple(rename(name, each) for each in value)
        return FORMER_VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value

    current = current_names(values, FORMER_PARAMETERS)
    return {name: rename(name, value) for name, value in current.items()}


@dataclass(frozen=True)
class Configuration:
    """A model family with its hyperparameters, preprocessing included.

    Former names become the present ones.

    Examples
    --------
    >>> Configuration("neighbours", {"numbers": "scaled"})
    Configuration(family='knn', hyperparameters={'numeric_transform': 'scaled'})
    """

    family: str
    hyperparameters: dict[str, ParameterValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Translate former names, so that whatever file held them, they are read alike."""
        object.__setattr__(self, "family", current_family(self.family))
        object.__setattr__(self, "hyperparameters", current_hyperparameters(self.hyperparameters))


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
    fidelity : float
        The share of the rows, or of the rounds, that its folds had: below 1 if it was stopped at a
        rung (`search.rung`).
    member : str, optional
        The searcher that proposed it, if several share the search (`mixture`).
    """

    number: int
    configuration: Configuration
    status: Literal["complete", "stopped", "failed"]
    folds: tuple[FoldResult, ...]
    score: float | None
    reason: str | None
    elapsed_seconds: float
    phase: TrialSource = "search"
    fidelity: float = 1.0
    member: str | None = None

    @property
    def seconds(self) -> float:
        """The time of its fits and predictions, one after the other."""
        return sum(fold.fit_seconds + fold.predict_seconds for fold in self.folds)


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
