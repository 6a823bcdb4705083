"""The gates that an evaluation alone answers: baselines, the system in use, guards."""

import math
from collections.abc import Callable, Iterator

from pipelines.core.evaluation import BaselineRow, Evaluation, metric_row, simplest_chosen
from pipelines.core.intervals import Difference
from pipelines.core.judging.chosen import chosen_figures
from pipelines.core.judging.power import rows_needed
from pipelines.core.judging.verdicts import GateOutcome, GateResult

Found = tuple[GateOutcome, str]


def baselines_gate(evaluation: Evaluation) -> GateResult:
    """Return whether the version is better than every baseline that is no model.

    The lower ends of the lifts count, not the figures alone; without one it is not known.
    """
    found = [_beside(evaluation, row) for row in _guesses(evaluation)]
    if not found:
        return GateResult("baselines", "unknown", "there is no baseline that it was compared with")
    better = f"better than every baseline that is no model in {evaluation.metric}"
    return _worst("baselines", found, better)


def existing_gate(evaluation: Evaluation) -> GateResult:
    """Return whether the version is better than the system in use."""
    found = [_beside(evaluation, row) for row in evaluation.baselines if row.name == "existing"]
    if not found:
        return GateResult("existing", "off", "no system in use is named in params.yaml")
    return _worst("existing", found, f"better than the system in use in {evaluation.metric}")


def guards_gate(evaluation: Evaluation) -> GateResult:
    """Return whether every guard is kept; an undefined figure keeps none."""
    found = list(_guards(evaluation))
    if not found:
        return GateResult("guards", "off", "no guard is named in params.yaml")
    return _worst("guards", found, "every guard is kept")


def rows_for_baselines(evaluation: Evaluation) -> int | None:
    """Return about how many rows would tell the version from every baseline it seems better than.

    None where it is told from all.
    """
    doubtful = [row for row in evaluation.baselines if _is_doubtful(evaluation, row)]
    needed = [
        rows_needed(Difference(row.lift, row.low, row.high, None, row.n_rows)) for row in doubtful
    ]
    return max((n for n in needed if n is not None), default=None)


def _beside(evaluation: Evaluation, row: BaselineRow) -> Found:
    lift, name = _lift(evaluation, row), f"the baseline {row.name}"
    metric = evaluation.metric
    if lift is None:
        return "unknown", f"{metric} cannot be compared with that of {name}"
    if lift <= 0:
        figure = chosen_figures(evaluation).get(metric)
        must = f"{metric} must be better than that of {name}, {_text(row.holdout.get(metric))}"
        return "fail", f"{must}, but is {_text(figure)}"
    if _is_doubtful(evaluation, row):
        by = f"{metric} is better than that of {name} by {_text(row.lift)}"
        return "unknown", f"{by}, but by chance it could be {_signed(row.low)}"
    return "pass", ""


def _guards(evaluation: Evaluation) -> Iterator[Found]:
    figures = chosen_figures(evaluation)
    for guard in evaluation.guards:
        figure = _finite(figures.get(guard.metric))
        least = metric_row(evaluation, guard.metric).greater_is_better
        bound = f"{'at least' if least else 'at most'} {guard.bound:g}"
        reason = f"{guard.metric} must be {bound}, but is {_text(figure)}"
        if figure is None:
            yield "unknown", reason
        else:
            broken = figure < guard.bound if least else figure > guard.bound
            yield ("fail", reason) if broken else ("pass", "")


def _worst(name: str, found: list[Found], passed: str) -> GateResult:
    for outcome in ("fail", "unknown"):
        reasons = [reason for each, reason in found if each == outcome]
        if reasons:
            return GateResult(name, outcome, "; ".join(reasons))
    return GateResult(name, "pass", passed)


def _guesses(evaluation: Evaluation) -> list[BaselineRow]:
    return [row for row in evaluation.baselines if row.kind == "none"]


def _is_doubtful(evaluation: Evaluation, row: BaselineRow) -> bool:
    """Whether chance may explain a lift; the lifts of an evaluation are those of its model."""
    judged = row.kind == "none" or row.name == "existing"
    low = _finite(row.low)
    return judged and simplest_chosen(evaluation) is None and (low is None or low <= 0)


def _lift(evaluation: Evaluation, row: BaselineRow) -> float | None:
    figure = _finite(chosen_figures(evaluation).get(evaluation.metric))
    baseline = _finite(row.holdout.get(evaluation.metric))
    if figure is None or baseline is None:
        return None
    return figure - baseline if evaluation.greater_is_better else baseline - figure


def _finite(figure: float | None) -> float | None:
    return figure if figure is not None and math.isfinite(figure) else None


def _signed(figure: float | None) -> str:
    return "anything" if _finite(figure) is None else f"{figure:+.4g}"


def _text(figure: float | None) -> str:
    return "unknown" if _finite(figure) is None else f"{figure:.4g}"


EVALUATED: dict[str, Callable[[Evaluation], GateResult]] = {
    "baselines": baselines_gate,
    "existing": existing_gate,
    "guards": guards_gate,
}
