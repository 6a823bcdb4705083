"""Whether a model that was made again is the one that was recorded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.core.model import Ensemble, Fitted, with_whole_weight
from pipelines.core.predictions import Predictions, figures_of
from pipelines.core.trials import Configuration, Figures, Trial

FIGURE_TOLERANCE = 1e-6  # of figures, in their own unit relative to 1 or to their size
PREDICTION_TOLERANCE = 1e-6  # of probabilities; of values, relative to their spread
RECORDED = "recorded.json"  # in the folder of a version that is made again
REBUILT = "rebuilt.json"


@dataclass(frozen=True)
class Compared:
    """One thing that was recorded, beside what it is now.

    Attributes
    ----------
    what : str
    recorded, rebuilt : str
        As a person reads them.
    difference : float, optional
        Of numbers.
    tolerance : float, optional
        What the difference may be.
    equal : bool
    """

    what: str
    recorded: str
    rebuilt: str
    difference: float | None
    tolerance: float | None
    equal: bool


@dataclass(frozen=True)
class Refit:
    """One fold of a trial that was fitted again with the recorded number of iterations.

    Attributes
    ----------
    number, fold : int
    family : str
    recorded, rebuilt : dict
        Figures on the fold's validation rows.
    """

    number: int
    fold: int
    family: str
    recorded: Figures
    rebuilt: Figures


@dataclass(frozen=True)
class Recorded:
    """What a version's record decides beside files that every project has.

    Attributes
    ----------
    version : str
    pool : tuple of int, optional
        The trials whose models the search had kept; None where that is not known any more.
    members : tuple of Configuration, optional
        What the registered model is made of, the heaviest first; None where it is no ensemble.
    """

    version: str
    pool: tuple[int, ...] | None = None
    members: tuple[Configuration, ...] | None = None


def replayed(trials: Iterable[Trial], pool: Sequence[int] | None) -> tuple[Trial, ...]:
    """Return the trials whose models are fitted again: all that the model was chosen among.

    Parameters
    ----------
    trials : iterable of Trial
        In the order in which they ended.
    pool : sequence of int, optional
        Those whose models the search had kept. Where it is not known, all that ran on every fold
        are taken, or the first with any fold where none did.

    Examples
    --------
    >>> from pipelines.core.trials import FoldResult
    >>> folds = (FoldResult(0, {"rmse": 1.0}, 0.1, 0.1),)
    >>> def trial(number, status):
    ...     return Trial(number, Configuration("tree"), status, folds, 1.0, None, 1.0)
    >>> trials = [trial(0, "complete"), trial(1, "stopped"), trial(2, "complete")]
    >>> [trial.number for trial in replayed(trials, None)]
    [0, 2]
    >>> [trial.number for trial in replayed(trials, (2,))]
    [2]
    """
    some = [trial for trial in trials if trial.folds]
    if pool is not None:
        return tuple(trial for trial in some if trial.number in pool)
    whole = [trial for trial in some if trial.status == "complete" and trial.score is not None]
    return tuple(whole or some[:1])


def with_members(
    fitted: Fitted | Ensemble, members: Sequence[Configuration] | None
) -> Fitted | Ensemble:
    """Return a model without the members that the registered one lacks.

    A fit in limited time leaves the lightest out; the others then share the whole weight.
    """
    if members is None or not isinstance(fitted, Ensemble):
        return fitted
    kept = [member for member in fitted.members if member.configuration in members]
    if not kept or len(kept) == len(fitted.members):
        return fitted
    whole = with_whole_weight(kept)
    return Ensemble(whole.members, fitted.temperature, fitted.threshold, fitted.errors)


def named_figures(evaluation: Mapping[str, Any], kind: str) -> Figures:
    """Return the figures of one kind, such as `training`, that figures.json has of each metric.

    Examples
    --------
    >>> named_figures({"metrics": [{"name": "mae", "training": 1.25}]}, "training")
    {'mae': 1.25}
    """
    return {row["name"]: row.get(kind) for row in evaluation.get("metrics", [])}


def figure_rows(recorded: Figures, rebuilt: Figures) -> tuple[Compared, ...]:
    """Return the figures of a record beside those of now, in the order of the record.

    Examples
    --------
    >>> (row,) = figure_rows({"mae": 2.0}, {"mae": 2.5})
    >>> row.difference, row.equal
    (0.5, False)
    """
    return tuple(_figure_row(name, recorded[name], rebuilt.get(name)) for name in recorded)


def text_row(what: str, recorded: object, rebuilt: object) -> Compared:
    """Return two things beside each other that are the same or not.

    Examples
    --------
    >>> text_row("members", 3, 2).equal
    False
    """
    return Compared(what, str(recorded), str(rebuilt), None, None, recorded == rebuilt)


def prediction_row(recorded: Predictions, rebuilt: Predictions) -> Compared:
    """Return the largest difference between two predictions of a row.

    Of probabilities it is their difference; of values, it is divided by the standard deviation of
    what was recorded.

    Examples
    --------
    >>> said = Predictions(np.array([1.0, 3.0]))
    >>> prediction_row(said, Predictions(np.array([1.0, 3.5]))).difference
    0.5
    """
    left, right = figures_of(recorded), figures_of(rebuilt)
    what, shape = "predictions of the hold-out", f"{len(left)} rows"
    if left.shape != right.shape:
        return Compared(what, shape, f"{len(right)} rows", None, PREDICTION_TOLERANCE, False)
    spread = 1.0 if recorded.probabilities is not None else float(left.std()) or 1.0
    largest = float(np.abs(left - right).max(initial=0.0)) / spread
    equal = largest <= PREDICTION_TOLERANCE
    return Compared(what, shape, shape, largest, PREDICTION_TOLERANCE, equal)


def worst_row(what: str, recorded: Figures, rebuilt: Figures) -> Compared:
    """Return the figure that differs most, beside its record; it stands for all of them.

    Examples
    --------
    >>> worst_row("training", {"mae": 2.0, "rmse": 3.0}, {"mae": 2.0, "rmse": 3.5}).what
    'training: 2 figures, rmse'
    """
    rows = figure_rows(recorded, rebuilt)
    if not rows:
        return text_row(what, "no figure", "no figure")
    worst = max(rows, key=lambda row: (not row.equal, row.difference or 0.0))
    return replace(worst, what=f"{what}: {len(rows)} figures, {worst.what}")


def refit_rows(refits: Iterable[Refit]) -> tuple[Compared, ...]:
    """Return for each family the figure of a fold that differs most from the recorded one.

    Examples
    --------
    >>> refits = [Refit(0, fold, "tree", {"mae": 1.0}, {"mae": 1.0}) for fold in (0, 1)]
    >>> refit_rows(refits)[0].what
    'tree, 2 folds fitted again: 2 figures, mae'
    """
    families: dict[str, list[Refit]] = {}
    for refit in refits:
        families.setdefault(refit.family, []).append(refit)
    return tuple(_family_row(family, found) for family, found in sorted(families.items()))


def environment_differences(
    recorded: str, installed: str, *, names: Iterable[str]
) -> tuple[str, ...]:
    r"""Return what is installed in another version than was recorded, of some names.

    Parameters
    ----------
    recorded, installed : str
        Lines such as `numpy==2.4.6`.
    names : iterable of str

    Examples
    --------
    >>> environment_differences("numpy==2.4.6\n", "numpy==2.5.0\n", names=["NumPy"])
    ('numpy 2.4.6 was recorded, 2.5.0 is installed',)
    """
    wanted, here = packages(recorded), packages(installed)
    looked_at = sorted({plain_name(name) for name in names} & (wanted.keys() | here.keys()))
    return tuple(
        f"{name} {wanted.get(name, 'not at all')} was recorded,"
        f" {here.get(name, 'none')} is installed"
        for name in looked_at
        if wanted.get(name) != here.get(name)
    )


def packages(lines: str) -> dict[str, str]:
    r"""Return the version of each package of lines such as `numpy==2.4.6`; comments are none.

    Examples
    --------
    >>> packages("# pinned\nSciPy==1.18.0\n")
    {'scipy': '1.18.0'}
    """
    pairs = [line.split("==") for line in lines.split("\n") if "==" in line and line[0] != "#"]
    return {plain_name(pair[0]): pair[1].strip() for pair in pairs}


def plain_name(name: str) -> str:
    """Return the name of a package as registries compare it.

    Examples
    --------
    >>> plain_name("ruamel.yaml_String")
    'ruamel-yaml-string'
    """
    return name.strip().lower().replace("_", "-").replace(".", "-")


def _figure_row(name: str, recorded: float | None, rebuilt: float | None) -> Compared:
    left, right = _shown(recorded), _shown(rebuilt)
    if recorded is None or rebuilt is None:
        return Compared(name, left, right, None, FIGURE_TOLERANCE, recorded == rebuilt)
    difference = abs(recorded - rebuilt)
    tolerance = FIGURE_TOLERANCE * max(1.0, abs(recorded))
    return Compared(name, left, right, difference, tolerance, difference <= tolerance)


def _family_row(family: str, refits: Sequence[Refit]) -> Compared:
    what = f"{family}, {len(refits)} folds fitted again"
    rows = [worst_row(what, refit.recorded, refit.rebuilt) for refit in refits]
    worst = max(rows, key=lambda row: (not row.equal, row.difference or 0.0))
    n_figures = sum(len(refit.recorded) for refit in refits)
    return replace(worst, what=f"{what}: {n_figures} figures, {worst.what.rpartition(', ')[2]}")


def _shown(figure: float | None) -> str:
    return "undefined" if figure is None else f"{figure:.6g}"
