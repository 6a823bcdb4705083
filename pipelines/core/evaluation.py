"""The evaluation of a model: the records of figures.json.

`dvc metrics show` prints numbers that stand under names, and passes over lists. What is read at a
glance (`holdout`, `lift`, the counts) therefore stands under names, the evidence in lists.
"""

from dataclasses import dataclass

from pipelines.core.contributions import Contributions
from pipelines.core.costs import Decision
from pipelines.core.data_card import DataCard
from pipelines.core.four_phases import Phase
from pipelines.core.nesting import Nested
from pipelines.core.predictions import Task
from pipelines.core.search_story import SearchStory
from pipelines.core.slicing import SliceRow
from pipelines.core.trials import Figures, Value

MODEL = "model"


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
    holdout: Figures
    folds: Figures
    lift: float | None = None
    low: float | None = None
    high: float | None = None
    paired: bool = False
    n_rows: int = 0


@dataclass(frozen=True)
class Importance:
    """What the model loses when one column is shuffled.

    Attributes
    ----------
    column : str
    loss : float
        Mean loss in the metric that is optimised, in its unit; positive means that the model
        needs the column.
    low, high : float
        Its bootstrap interval over rows.
    """

    column: str
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class Guard:
    """A metric that must keep a bound, and whether what was chosen keeps it on the hold-out."""

    metric: str
    bound: float
    figure: float | None
    kept: bool


@dataclass(frozen=True)
class FamilyRow:
    """What the search did in one family; `best` is the best mean over all folds."""

    family: str
    trials: int
    complete: int
    best: float | None


@dataclass(frozen=True)
class SearchSummary:
    """What was searched; seconds are those of the search's own clock."""

    trials: int
    complete: int
    stopped: int
    failed: int
    seconds: float
    families: tuple[FamilyRow, ...] = ()


@dataclass(frozen=True)
class Setting:
    """One hyperparameter of the model."""

    name: str
    value: Value


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
    nested : Nested, optional
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
    decisions : tuple of Decision
        Ways to decide, and what they cost.
    contributions : tuple of Contributions
        SHAP values of the boosters, one; none where there are none.
    unknowns : tuple of str
        What the model does not know.
    story : tuple of SearchStory
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
    holdout: Figures
    lift: Figures
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
    nested: Nested | None = None
    purpose: str | None = None
    not_for: tuple[str, ...] = ()
    folds_of: str = ""
    data: tuple[DataCard, ...] = ()
    phases: tuple[Phase, ...] = ()
    enough: str = ""
    slices: tuple[SliceRow, ...] = ()
    decisions: tuple[Decision, ...] = ()
    contributions: tuple[Contributions, ...] = ()
    unknowns: tuple[str, ...] = ()
    story: tuple[SearchStory, ...] = ()


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


def simplest_chosen(evaluation: Evaluation) -> str | None:
    """Return the name of the simplest model where it was chosen, else None."""
    head, _, name = evaluation.chosen.partition(":")
    return None if head == MODEL else name
