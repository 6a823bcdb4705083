"""The gate: whether a new model takes the place of the champion, and why."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.core.evaluation import (
    BaselineRow,
    Evaluation,
    baseline_row,
    metric_row,
    simplest_chosen,
)
from pipelines.core.intervals import Difference
from pipelines.core.metrics import METRICS, Metric
from pipelines.core.predictions import Task
from pipelines.core.schema import Schema
from pipelines.core.trials import Figures

LEAST_SHARE = 0.25  # of draws in which a version has to be better that wins by its loss alone

Decision = Literal["promote", "keep", "not enough evidence"]


@dataclass(frozen=True)
class Verdict:
    """What the gate says about a version.

    Attributes
    ----------
    decision : str
        `promote`: it is the champion now. `keep`: the champion stays, or there is none still.
        `not enough evidence`: the same, since the rows at hand cannot tell.
    reasons : tuple of str
    rows_needed : int, optional
        About how many hold-out rows would tell, if the difference stays as it is.
    n_rows : int, optional
        Hold-out rows that it was judged by, where they cannot tell.
    version : str, optional
        The version that was judged.
    champion : str, optional
        The champion after the verdict.
    basis : str, optional
        Digest of what was judged and against which champion: the same basis, the same verdict.
    """

    decision: Decision
    reasons: tuple[str, ...]
    rows_needed: int | None = None
    version: str | None = None
    champion: str | None = None
    basis: str | None = None
    n_rows: int | None = None

    @property
    def promoted(self) -> bool:
        """Whether the version is the champion now."""
        return self.decision == "promote"


@dataclass(frozen=True)
class Rival:
    """The standing champion beside the new model, on hold-out rows that neither was trained on.

    Attributes
    ----------
    version : str
    difference : Difference, optional
        By how much the new model is better; None where the two cannot be compared.
    n_seen : int
        Rows of the hold-out that were left out, since one of the two was trained on them.
    obstacle : str, optional
        Why the two cannot be compared.
    loss : Difference, optional
        By how much the loss that production is watched by is lower, on the same rows.
    """

    version: str
    difference: Difference | None = None
    n_seen: int = 0
    obstacle: str | None = None
    loss: Difference | None = None


def judge(evaluation: Evaluation, rival: Rival | None) -> Verdict:
    """Return whether the model that the evaluation chose becomes champion.

    It has to keep every guard, to be better than every baseline that is no model and than the
    system in use, and to be better than the champion; the ends of the intervals count, not the
    figures alone. Better than the champion it is in the metric, or in the loss that production is
    watched by where the metric tells the two hardly apart: ranks do not show that all
    probabilities came to be too low.

    Parameters
    ----------
    evaluation : Evaluation
    rival : Rival, optional
        None where there is no champion yet.
    """
    broken = (*_broken_guards(evaluation), *_worse_than_baselines(evaluation))
    if broken:
        return Verdict("keep", broken)
    doubts = tuple(_doubtful_baselines(evaluation))
    if doubts:
        found = Verdict("not enough evidence", doubts, _rows_for_baselines(evaluation))
        return replace(found, n_rows=evaluation.n_holdout)
    better = f"better than every baseline that is no model in {evaluation.metric}"
    if rival is None:
        return Verdict("promote", (better, "there is no champion yet"))
    return _against(rival, evaluation.metric, better)


def chosen_figures(evaluation: Evaluation) -> Figures:
    """Return the figures on the hold-out of the model that the evaluation chose."""
    simplest = simplest_chosen(evaluation)
    return evaluation.holdout if simplest is None else baseline_row(evaluation, simplest).holdout


def unseen(keys: Sequence[str], *seen: Collection[str]) -> NDArray[np.bool_]:
    """Return a mask of the rows whose keys are in none of the collections.

    Examples
    --------
    >>> unseen(["a", "b", "c"], {"b"}, {"c", "d"})
    array([ True, False, False])
    """
    known = set().union(*seen)
    return np.array([key not in known for key in keys], dtype=bool)


def rows_needed(difference: Difference) -> int | None:
    """Return about how many rows would tell that left is better, if it is as it seems.

    The half-width of an interval shrinks with the square root of the number of rows, so that
    n ((mean - low) / mean)^2 rows have an interval that ends above 0. None where left does not
    seem better.

    Examples
    --------
    >>> rows_needed(Difference(mean=0.01, low=-0.01, high=0.03, share_better=0.8, n_rows=100))
    400
    """
    if difference.mean is None or difference.low is None or difference.mean <= 0:
        return None
    return math.ceil(
        difference.n_rows * ((difference.mean - difference.low) / difference.mean) ** 2
    )


def watched_loss(task: Task) -> Metric:
    """Return the metric whose figure is the loss that production is watched by.

    Examples
    --------
    >>> watched_loss("binary").name, watched_loss("regression").name
    ('brier', 'mae')
    """
    return METRICS["mae" if task == "regression" else "brier"]


def incomparable(ours: Schema, theirs: Schema) -> str | None:
    """Return why two models answer different questions, None if they do not.

    Examples
    --------
    >>> incomparable(Schema((), "churned", "binary"), Schema((), "price", "regression"))
    "it predicts 'price', not 'churned'"
    """
    if ours.target != theirs.target:
        return f"it predicts {theirs.target!r}, not {ours.target!r}"
    if ours.task != theirs.task:
        return f"its task is {theirs.task}, not {ours.task}"
    if ours.classes != theirs.classes:
        return f"its classes are {', '.join(theirs.classes)}, not {', '.join(ours.classes)}"
    return None


def _against(rival: Rival, metric: str, better: str) -> Verdict:
    name = f"the champion, version {rival.version}"
    if rival.obstacle is not None:
        reason = (
            f"cannot be compared with {name}: {rival.obstacle};"
            " give a new question a name of its own (registry.name),"
            " or set the alias champion in MLflow by hand"
        )
        return Verdict("not enough evidence", (reason,))
    found = rival.difference
    if found is None or found.mean is None or found.low is None or found.high is None:
        return Verdict(
            "not enough evidence", (f"no row can tell it from {name}{_left_out(rival)}",)
        )
    measured = f"{metric} is {_gap(found)} than that of {name}{_left_out(rival)}"
    if found.low > 0:
        return Verdict("promote", (better, measured))
    if rival.loss is not None and _loses_less(found, rival.loss):
        return Verdict("promote", (better, measured, f"its loss is lower {_ends(rival.loss)}"))
    if found.mean <= 0 or found.high <= 0:
        return Verdict("keep", (measured,))
    return Verdict("not enough evidence", (measured,), rows_needed(found), n_rows=found.n_rows)


def _loses_less(found: Difference, loss: Difference) -> bool:
    is_lower = loss.low is not None and loss.low > 0
    return is_lower and (found.share_better or 0.0) >= LEAST_SHARE


def _gap(found: Difference) -> str:
    word = "better" if (found.mean or 0) > 0 else "not better"
    return f"{word} {_ends(found)}"


def _ends(found: Difference) -> str:
    return f"({found.mean:+.4g}, {found.low:+.4g} to {found.high:+.4g}, {found.n_rows} rows)"


def _left_out(rival: Rival) -> str:
    if rival.n_seen == 0:
        return ""
    return f"; {rival.n_seen} hold-out rows that one of the two was trained on are left out"


def _broken_guards(evaluation: Evaluation) -> Iterator[str]:
    figures = chosen_figures(evaluation)
    for guard in evaluation.guards:
        figure = figures.get(guard.metric)
        least = metric_row(evaluation, guard.metric).greater_is_better
        if figure is None or (figure < guard.bound if least else figure > guard.bound):
            bound = f"{'at least' if least else 'at most'} {guard.bound:g}"
            yield f"{guard.metric} must be {bound}, but is {_text(figure)}"


def _worse_than_baselines(evaluation: Evaluation) -> Iterator[str]:
    for row in _to_beat(evaluation):
        lift = _lift(evaluation, row)
        if lift is not None and lift <= 0:
            yield (
                f"{evaluation.metric} must be better than that of the baseline {row.name},"
                f" {_text(row.holdout.get(evaluation.metric))}, but is"
                f" {_text(chosen_figures(evaluation).get(evaluation.metric))}"
            )


def _doubtful_baselines(evaluation: Evaluation) -> Iterator[str]:
    for row in _to_beat(evaluation):
        if _lift(evaluation, row) is None:
            yield f"{evaluation.metric} cannot be compared with that of the baseline {row.name}"
        elif _is_doubtful(evaluation, row):
            yield (
                f"{evaluation.metric} is better than that of the baseline {row.name} by"
                f" {row.lift:.4g}, but by chance it could be {row.low:+.4g}"
            )


def _rows_for_baselines(evaluation: Evaluation) -> int | None:
    needed = [
        rows_needed(Difference(row.lift, row.low, row.high, None, row.n_rows))
        for row in _to_beat(evaluation)
        if _is_doubtful(evaluation, row)
    ]
    return max((n for n in needed if n is not None), default=None)


def _is_doubtful(evaluation: Evaluation, row: BaselineRow) -> bool:
    # The lifts of an evaluation are the model's; the simplest model has figures only.
    return simplest_chosen(evaluation) is None and row.low is not None and row.low <= 0


def _to_beat(evaluation: Evaluation) -> list[BaselineRow]:
    return [row for row in evaluation.baselines if row.kind == "none" or row.name == "existing"]


def _lift(evaluation: Evaluation, row: BaselineRow) -> float | None:
    figure = chosen_figures(evaluation).get(evaluation.metric)
    baseline = row.holdout.get(evaluation.metric)
    if figure is None or baseline is None:
        return None
    return figure - baseline if evaluation.greater_is_better else baseline - figure


def _text(figure: float | None) -> str:
    return "unknown" if figure is None else f"{figure:.4g}"
