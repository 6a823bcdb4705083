"""The records of a model's evaluation, as they are written to figures.json.

`Evaluation` is the whole; `MetricRow`, `BaselineRow` and `Guard` are its lines. `dvc metrics
show` prints numbers that stand under names and skips lists: what is read at a glance
(`holdout`, `lift`, the counts) therefore stands under names, the evidence in lists.
`HoldoutPredictions` holds what the model and the baselines predict, `ModelMetrics` the model's
values with intervals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from evertune.evaluation.data_card import DataCard
from evertune.evaluation.explain import Contributions, Importance
from evertune.evaluation.nested import NestedResult
from evertune.evaluation.phases import Phase
from evertune.evaluation.slices import SliceRow
from evertune.evaluation.thresholds import DecisionRule
from evertune.metrics.metrics import Metric, confusion_matrix
from evertune.search.summary import SearchReport, SearchSummary, Setting
from evertune.stats.bootstrap import BootstrapConfig, Estimate, bootstrap_interval
from evertune.stats.comparison import corrected_resampled_t
from evertune.trials import MetricValues, Trial
from evertune.types import FloatArray, Predictions, Task

CHOSEN_MODEL = "model"


@dataclass(frozen=True)
class MetricRow:
    """One metric of the model, beside the baseline that is best in this metric.

    Attributes
    ----------
    name : str
    greater_is_better : bool
    holdout, low, high : float, optional
        The figure on the hold-out with its bootstrap interval.
    training : float, optional
        The figure on the rows that the model learned from.
    gap : float, optional
        By how much the model does better on those than on the hold-out, in the metric's unit.
    folds, folds_low, folds_high : float, optional
        Mean over the folds with its interval: of the ensemble on rows that its fold models did not
        see, in the metric that is optimised with weights that the other folds chose; or of the
        trial that won, which was selected on these folds. `Evaluation.folds_of` says which.
    member_folds : float, optional
        The same of the heaviest member alone.
    baseline : str, optional
        The baseline that is best in this metric on the hold-out.
    baseline_holdout : float, optional
        Its figure on the hold-out.
    lift, lift_low, lift_high : float, optional
        By how much the model is better than that baseline, in the metric's unit, with its
        interval; positive is better, whatever the metric's direction.
    """

    name: str
    greater_is_better: bool
    holdout: float | None
    low: float | None = None
    high: float | None = None
    training: float | None = None
    gap: float | None = None
    folds: float | None = None
    folds_low: float | None = None
    folds_high: float | None = None
    member_folds: float | None = None
    baseline: str | None = None
    baseline_holdout: float | None = None
    lift: float | None = None
    lift_low: float | None = None
    lift_high: float | None = None


@dataclass(frozen=True)
class BaselineRow:
    """One baseline, and the model beside it in the metric that is optimised.

    Attributes
    ----------
    name : str
    kind : str
        `none` (no model), `model` (one of the simplest models) or `given` (human, existing).
    description : str
    holdout, folds : dict
        All figures on the hold-out, and their means over the folds.
    lift, low, high : float, optional
        By how much the model is better on the hold-out, with its interval; paired where the
        baseline says something about single rows.
    paired : bool
        Whether both were compared row by row.
    n_rows : int
        Rows of the hold-out on which the two were compared.
    """

    name: str
    kind: str
    description: str
    holdout: MetricValues
    folds: MetricValues
    lift: float | None = None
    low: float | None = None
    high: float | None = None
    paired: bool = False
    n_rows: int = 0


@dataclass(frozen=True)
class Guard:
    """A metric that must keep a bound, and whether what was chosen keeps it on the hold-out."""

    metric: str
    bound: float
    figure: float | None
    kept: bool


@dataclass(frozen=True)
class Evaluation:
    """All that is known about a model before it is registered.

    Attributes
    ----------
    target, task : str
    classes : tuple of str
        In the order of their codes; in a binary task the second is the positive class.
    metric : str
        The metric that is optimised.
    greater_is_better : bool
    confidence : float
        The confidence of every interval.
    n_training, n_holdout : int
    holdout : dict
        The model's figures on the hold-out.
    lift : dict
        By how much each of them is better than the baseline that is best in this metric.
    best_baseline : str, optional
        The baseline that is best in the metric that is optimised, on the hold-out.
    chosen : str
        `model`, or `simplest:` and the name of the simplest model, where the model cannot be told
        from it.
    reasons : tuple of str
        Why that one was chosen.
    family : str
        The family of the model's configuration.
    settings : tuple of Setting
        Its hyperparameters.
    search : SearchSummary
    metrics : tuple of MetricRow
        The metric that is optimised comes first.
    baselines : tuple of BaselineRow
    confusion : tuple of tuple of int
        Rows of the hold-out by true class (first index) and predicted class; empty in regression.
    importance : tuple of Importance
        Largest loss first.
    guards : tuple of Guard
    notes : tuple of str
        What a reader has to know to read the figures rightly.
    nested : NestedResult, optional
        What the whole search reaches on rows that chose nothing.
    purpose : str, optional
        What the model is for; None where nobody has written it.
    not_for : tuple of str
        What it is not for.
    folds_of : str
        What the figures over the folds are of: `ensemble`, `trial`, or nothing.
    data : tuple of DataCard
        What the data are; one, or none where that is not known.
    phases : tuple of Phase
        Heuristic, simplest model, optimised simple model, complex model, on the same folds.
    enough : str
        The simplest phase that is not worse than the best.
    slices : tuple of SliceRow
        Declared ones first, then those that were found.
    decisions : tuple of DecisionRule
        Ways to decide, and what they cost.
    contributions : tuple of Contributions
        SHAP values of the boosters, one; none where there are none.
    unknowns : tuple of str
        What the model does not know.
    story : tuple of SearchReport
        What became of the search, one; none where nothing was searched.
    """

    target: str
    task: Task
    classes: tuple[str, ...]
    metric: str
    greater_is_better: bool
    confidence: float
    n_training: int
    n_holdout: int
    holdout: MetricValues
    lift: MetricValues
    best_baseline: str | None
    chosen: str
    reasons: tuple[str, ...]
    family: str
    settings: tuple[Setting, ...]
    search: SearchSummary
    metrics: tuple[MetricRow, ...]
    baselines: tuple[BaselineRow, ...]
    confusion: tuple[tuple[int, ...], ...] = ()
    importance: tuple[Importance, ...] = ()
    guards: tuple[Guard, ...] = ()
    notes: tuple[str, ...] = ()
    nested: NestedResult | None = None
    purpose: str | None = None
    not_for: tuple[str, ...] = ()
    folds_of: str = ""
    data: tuple[DataCard, ...] = ()
    phases: tuple[Phase, ...] = ()
    enough: str = ""
    slices: tuple[SliceRow, ...] = ()
    decisions: tuple[DecisionRule, ...] = ()
    contributions: tuple[Contributions, ...] = ()
    unknowns: tuple[str, ...] = ()
    story: tuple[SearchReport, ...] = ()


def metric_row(evaluation: Evaluation, name: str) -> MetricRow:
    """Return the row of one metric.

    Raises
    ------
    ValueError
        If the evaluation has no such metric.
    """
    for row in evaluation.metrics:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in evaluation.metrics)
    raise ValueError(f"Expected a metric of the evaluation ({known}), but got {name=}.")


def baseline_row(evaluation: Evaluation, name: str) -> BaselineRow:
    """Return the row of one baseline.

    Raises
    ------
    ValueError
        If the evaluation has no such baseline.
    """
    for row in evaluation.baselines:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in evaluation.baselines)
    raise ValueError(f"Expected a baseline of the evaluation ({known}), but got {name=}.")


def chosen_simple_model(evaluation: Evaluation) -> str | None:
    """Return the name of the simplest model where it was chosen, else None."""
    head, _, name = evaluation.chosen.partition(":")
    return None if head == CHOSEN_MODEL else name


@dataclass(frozen=True, eq=False)
class HoldoutPredictions:
    """The n rows of the hold-out and what everyone says about them.

    Attributes
    ----------
    truth : array of shape (n,)
    model : Predictions
    baselines : mapping from name to Predictions
        The baselines that say something about single rows.
    expected : mapping from name to dict
        The figures of the baselines of which only figures are known.
    """

    truth: FloatArray
    model: Predictions
    baselines: Mapping[str, Predictions]
    expected: Mapping[str, MetricValues]


@dataclass(frozen=True)
class FoldMean:
    """A mean over folds with its interval."""

    mean: float | None
    interval: Estimate


@dataclass(frozen=True)
class ModelMetrics:
    """The model's figures by metric.

    Attributes
    ----------
    holdout : dict
    intervals : mapping from metric to Interval
        Of `holdout`.
    training : dict
        On the rows that the model learned from.
    folds : mapping from metric to FoldMean
        Of the ensemble, or of the trial that won; empty where no trial was finished.
    member : mapping from metric to FoldMean
        Of the heaviest member alone.
    """

    holdout: MetricValues
    intervals: Mapping[str, Estimate]
    training: MetricValues
    folds: Mapping[str, FoldMean]
    member: Mapping[str, FoldMean] = field(default_factory=dict)


def holdout_intervals(
    metrics: Iterable[Metric], holdout: HoldoutPredictions, *, bootstrap: BootstrapConfig
) -> dict[str, Estimate]:
    """Return the bootstrap interval of each of the model's figures on the hold-out."""
    return {
        metric.name: bootstrap_interval(metric, holdout.truth, holdout.model, **asdict(bootstrap))
        for metric in metrics
    }


def confusion_counts(holdout: HoldoutPredictions, n_classes: int) -> tuple[tuple[int, ...], ...]:
    """Return the model's counts by true class (row) and predicted class; none in regression.

    Examples
    --------
    >>> import numpy as np
    >>> said = Predictions(np.array([1.0, 1.0]))
    >>> confusion_counts(HoldoutPredictions(np.array([0.0, 1.0]), said, {}, {}), 2)
    ((0, 1), (0, 1))
    """
    if not n_classes:
        return ()
    counts = confusion_matrix(holdout.truth, holdout.model, n_classes)
    return tuple(tuple(row) for row in counts.tolist())


def fold_means(
    trial: Trial,
    metrics: Iterable[Metric],
    *,
    n_training: int,
    n_validation: int,
    confidence: float,
) -> dict[str, FoldMean]:
    """Return the mean over a trial's folds for each metric, with its interval.

    Parameters
    ----------
    trial : Trial
    metrics : iterable of Metric
        Those that a fold has no figure for get no mean.
    n_training, n_validation : int
        Rows of one fold.
    confidence : float

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> from evertune.trials import Configuration, FoldResult
    >>> results = tuple(FoldResult(k, {"f1": f1}, 1.0, 0.1) for k, f1 in enumerate([0.4, 0.6]))
    >>> trial = Trial(0, Configuration("linear"), "complete", results, 0.5, None, 3.0)
    >>> found = fold_means(
    ...     trial, [METRICS["f1"]], n_training=50, n_validation=50, confidence=0.9
    ... )
    >>> found["f1"].mean
    0.5
    """
    found = {}
    for metric in metrics:
        scores = [fold.figures.get(metric.name) for fold in trial.folds]
        known = [score for score in scores if score is not None]
        interval = corrected_resampled_t(
            known, n_training=n_training, n_validation=n_validation, confidence=confidence
        )
        mean = sum(known) / len(known) if known else None
        found[metric.name] = FoldMean(mean, interval)
    return found
