"""The records of a model's evaluation, as they are written to figures.json.

`Evaluation` is the whole; `MetricRow`, `BaselineRow` and `Guard` are its lines. `dvc metrics show`
prints numbers that stand under names and skips lists: what is read at a glance (`holdout`, `lift`,
the counts) therefore stands under names, the evidence in lists. An optional part is a list of at
most one for the same reason. The names of fields are a stored format.
"""

from dataclasses import dataclass
from typing import TypeVar

from evertune.evaluation.data_card import DataCard
from evertune.evaluation.explain import Contributions, Importance
from evertune.evaluation.monotone import MonotoneCheck
from evertune.evaluation.nested import NestedResult
from evertune.evaluation.phases import Phase
from evertune.evaluation.slices import SliceRow
from evertune.evaluation.thresholds import DecisionRule
from evertune.search.summary import SearchReport, SearchSummary, Setting
from evertune.trials import MetricValues
from evertune.types import Task

CHOSEN_MODEL = "model"


@dataclass(frozen=True)
class MetricRow:
    """One metric of the model in use, beside the other baseline that is best in this metric.

    Attributes
    ----------
    holdout, low, high : float, optional
        The score on the hold-out with its bootstrap interval.
    training : float, optional
        The score on the rows that the model learned from.
    gap : float, optional
        By how much the model does better on those than on the hold-out, in the metric's unit.
    folds, folds_low, folds_high : float, optional
        Mean over the folds with its interval: of the ensemble on rows that its fold models did not
        see, in the optimised metric with weights that the other folds chose; or of the trial that
        won, which was selected on these folds. `Evaluation.folds_of` tells which.
    member_folds : float, optional
        The same of the heaviest member alone.
    baseline, baseline_holdout : optional
        The baseline that is best in this metric on the hold-out, and its score.
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
    """One baseline, and the model beside it in the optimised metric.

    Attributes
    ----------
    kind : str
        `none` (no model), `model` (one of the simplest models) or `given` (human, existing).
    holdout, folds : dict
        All scores on the hold-out, and their means over the folds.
    lift, low, high : float, optional
        By how much the model is better on the hold-out, with its interval; None of the baseline
        that is the model in use itself.
    paired : bool
        True if both were compared row by row; False if only the baseline's score is known.
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
    """A metric that must keep a bound, and whether the chosen model keeps it on the hold-out."""

    metric: str
    bound: float
    figure: float | None
    kept: bool


@dataclass(frozen=True)
class SearchedModel:
    """The search's model beside a simpler one that is in use, on the same rows of the hold-out.

    Attributes
    ----------
    family : str
        Of an ensemble, its heaviest member's.
    members : int
        Trials that make it together.
    finished : bool
        False if no trial was finished, so that it is the zero rule.
    holdout : dict
        All its scores.
    folds : float, optional
        The optimised metric, averaged over the folds.
    difference, low, high : float, optional
        By how much it is better than the model in use in the optimised metric, with the interval;
        positive is better, whatever the metric's direction.
    """

    family: str
    members: int
    finished: bool
    holdout: MetricValues
    folds: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """All that is known about a model before it is registered.

    Every score, lift, slice and caution is of the model in use: the one that `chosen` names, which
    is registered. `searched` is the search's model, if that is another one.

    Attributes
    ----------
    classes : tuple of str
        In the order of their codes; in a binary task the second is the positive class.
    metric, metrics
        The optimised metric; its row is the first of `metrics`.
    confidence : float
        Of every interval.
    holdout, lift : dict
        The model's scores on the hold-out, and by how much each is better than the baseline that
        is best in this metric. `best_baseline` is that of the optimised metric.
    chosen, reasons
        `model` for that of the search, or `simplest:` and a name if it is not clearly better than
        that one; why.
    family, settings
        Of the model in use.
    confusion : tuple of tuple of int
        Rows of the hold-out by true class (first index) and predicted class; empty in regression.
    importance : tuple of Importance
        Largest loss first.
    notes, unknowns : tuple of str
        What a reader must know to read the scores rightly, and the model's limitations.
    folds_of : str
        What the scores over the folds are of: `ensemble`, `trial`, `simplest` or "" for nothing.
    searched : tuple of SearchedModel
        The search's model, if a simpler one is in use; none otherwise.
    data, contributions, story : tuple
        The data, the SHAP values of the boosters and the search: one, or none if not known.
    phases, enough
        The four phases on the same folds, and the simplest one that is not worse than the best.
    slices : tuple of SliceRow
        Declared ones first, then the worst.
    monotone : tuple of MonotoneCheck
        Of the columns that `data.monotone` names.
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
    searched: tuple[SearchedModel, ...] = ()
    monotone: tuple[MonotoneCheck, ...] = ()


_Row = TypeVar("_Row", MetricRow, BaselineRow)


def metric_row(evaluation: Evaluation, name: str) -> MetricRow:
    """Return the row of one metric; ValueError with the known names if there is none."""
    return _named_row(evaluation.metrics, name, "metric")


def baseline_row(evaluation: Evaluation, name: str) -> BaselineRow:
    """Return the row of one baseline; ValueError with the known names if there is none."""
    return _named_row(evaluation.baselines, name, "baseline")


def chosen_simple_model(evaluation: Evaluation) -> str | None:
    """Return the name of the simplest model if it was chosen, else None."""
    head, _, name = evaluation.chosen.partition(":")
    return None if head == CHOSEN_MODEL else name


def chosen_model_metrics(evaluation: Evaluation) -> MetricValues:
    """Return the scores on the hold-out of the model that the evaluation chose.

    Evaluations of 0.1 have those of the search's model in `holdout` even where another was chosen.
    """
    simplest = chosen_simple_model(evaluation)
    return evaluation.holdout if simplest is None else baseline_row(evaluation, simplest).holdout


def _named_row(rows: tuple[_Row, ...], name: str, kind: str) -> _Row:
    for row in rows:
        if row.name == name:
            return row
    known = ", ".join(row.name for row in rows)
    raise ValueError(f"Expected a {kind} of the evaluation ({known}), but got {name=}.")
