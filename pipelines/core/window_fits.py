"""Which training window the model is fitted on: the best on rows that none of them holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.core.metrics import Metric, is_better
from pipelines.core.plans import TrainingWindow


@dataclass(frozen=True)
class WindowFit:
    """A training window that was tried.

    Attributes
    ----------
    window : TrainingWindow
    n_rows : int
        Training rows in it.
    figure : float, optional
        The metric that is optimised, on the rows that choose; None where it is not defined or the
        window was not fitted.
    reason : str, optional
        Why it was not fitted.
    """

    window: TrainingWindow
    n_rows: int
    figure: float | None
    reason: str | None = None


@dataclass(frozen=True)
class WindowChoice:
    """The window that the model was fitted on, and all that were tried."""

    chosen: TrainingWindow
    fits: tuple[WindowFit, ...]


def best_window(fits: Sequence[WindowFit], metric: Metric) -> int | None:
    """Return the place of the best of the windows that were fitted, None where none was.

    Of equal ones the earliest is taken.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> old, new = TrainingWindow("all"), TrainingWindow("decayed", half_life_days=9)
    >>> fits = [WindowFit(old, 90, 2.0), WindowFit(new, 90, 1.0)]
    >>> best_window(fits, METRICS["rmse"])
    1
    """
    best: int | None = None
    for place, fit in enumerate(fits):
        if fit.reason is not None:
            continue
        if best is None or is_better(metric, fit.figure, fits[best].figure):
            best = place
    return best


def window_note(choice: WindowChoice, metric: str) -> str:
    """Return which window the model was fitted on and how the others did, in one sentence.

    Examples
    --------
    >>> every = TrainingWindow("all")
    >>> window_note(WindowChoice(every, (WindowFit(every, 90, 0.8),)), "roc_auc")
    'The model was fitted on the window `all`; roc_auc on rows that chose it: all 0.8 (90 rows).'
    """
    said = "; ".join(_said(fit) for fit in choice.fits)
    name = choice.chosen.name
    return f"The model was fitted on the window `{name}`; {metric} on rows that chose it: {said}."


def _said(fit: WindowFit) -> str:
    figure = "unknown" if fit.figure is None else f"{fit.figure:.4g}"
    return f"{fit.window.name} {figure} ({fit.n_rows} rows)"
