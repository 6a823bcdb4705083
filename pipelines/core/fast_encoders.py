"""A fitted encoder made ready for a few rows at a time.

What an encoder of words does is asked of it once, for every level that it knows, and then looked
up; numbers go through the fitted transformers as plain arrays.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    RobustScaler,
    StandardScaler,
)

from pipelines.core.fast_parts import Joint, Make, joined, joints, makers
from pipelines.core.fast_rows import Columns
from pipelines.core.predictions import Floats

UNKNOWN = "\x00 a level that no table has"
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Levels:
    """What the encoder makes of one column of words.

    Attributes
    ----------
    name : str
    places : array of shape (w,)
        The columns of X that it decides.
    codes : dict
        Each known level's row in `table`; unknown levels have the last one.
    table : array of shape (n_levels + 1, w)
    """

    name: str
    places: Places
    codes: dict[str, int]
    table: Floats


@dataclass(frozen=True, eq=False)
class Encoding:
    """An encoder made ready.

    Attributes
    ----------
    unknown : array of shape (width,)
        The row of X in which every word is unknown.
    levels : tuple of Levels
    numbers : tuple of str
        Columns of the matrix that are numbers.
    number_places : slice
        Where they stand in X.
    transform : callable
        From numbers to columns of X.
    joints : tuple of (str, str, str)
        Pairs of categories that are looked up as one, with the name that they have in `levels`.
    makers : tuple of (slice, callable)
        What is worked out for each row, and where it stands in X.
    """

    unknown: Floats
    levels: tuple[Levels, ...]
    numbers: tuple[str, ...]
    number_places: slice
    transform: Callable[[Floats], Floats]
    joints: tuple[Joint, ...] = ()
    makers: tuple[tuple[slice, Make], ...] = ()


def encoding(encoder: Any) -> Encoding:
    """Return a fitted encoder made ready for a few rows at a time."""
    numbers, transform = _number_part(encoder)
    return Encoding(
        unknown=_unknown_row(encoder),
        levels=tuple(_level_parts(encoder)),
        numbers=numbers,
        number_places=encoder.output_indices_.get("numbers", slice(0, 0)),
        transform=transform,
        joints=joints(encoder),
        makers=tuple(makers(encoder)),
    )


def encoded_by(made: Encoding, columns: Columns, n_rows: int) -> Floats:
    """Return columns of the matrix as predictors take them.

    Parameters
    ----------
    made : Encoding
    columns : dict of lists of n
        From `read_rows`.
    n_rows : int

    Returns
    -------
    array of shape (n, width)
    """
    X = np.tile(made.unknown, (n_rows, 1))
    columns = joined(columns, made.joints)
    for level in made.levels:
        unknown = len(level.table) - 1
        codes = [level.codes.get(word, unknown) for word in columns[level.name]]  # type: ignore[arg-type]
        X[:, level.places] = level.table[codes]
    if made.numbers:
        cells = np.array([columns[name] for name in made.numbers], dtype=np.float64).T
        X[:, made.number_places] = made.transform(cells)
    for places, make in made.makers:
        X[:, places] = make(columns)
    return X


def _number_part(encoder: Any) -> tuple[tuple[str, ...], Callable[[Floats], Floats]]:
    for name, part, columns in encoder.transformers_:
        if name == "numbers":
            passes = part == "passthrough" or isinstance(part, FunctionTransformer)
            steps = [] if passes else [_on_arrays(step) for step in _steps(part)]
            return tuple(columns), partial(_one_by_one, steps=steps)
    return (), partial(_one_by_one, steps=())


def _steps(part: Any) -> list[Any]:
    """Return the transformers of a pipeline, and of pipelines in it."""
    inner = [step for _, step in getattr(part, "steps", [])]
    return [last for step in inner for last in _steps(step)] or [part]


def _one_by_one(X: Floats, *, steps: Sequence[Callable[[Floats], Floats]]) -> Floats:
    for step in steps:
        X = step(X)
    return X


def _on_arrays(step: Any) -> Callable[[Floats], Floats]:
    """Return what a fitted transformer does to an array, whose columns have no names."""
    if isinstance(step, SimpleImputer):
        return partial(_imputed, medians=step.statistics_, gaps=step.indicator_.features_)
    if isinstance(step, StandardScaler):
        return partial(_scaled, means=step.mean_, scales=step.scale_)
    if isinstance(step, RobustScaler):
        return partial(_scaled, means=step.center_, scales=step.scale_)
    if isinstance(step, FunctionTransformer) and step.func is not None:
        function: Callable[[Floats], Floats] = step.func
        return function
    if isinstance(step, KBinsDiscretizer):
        return partial(_binned, edges=[each[1:-1] for each in step.bin_edges_])
    copy = deepcopy(step)
    vars(copy).pop("feature_names_in_", None)
    transform: Callable[[Floats], Floats] = copy.transform
    return transform


def _imputed(X: Floats, *, medians: Floats, gaps: Places) -> Floats:
    missing = np.isnan(X)
    return np.hstack([np.where(missing, medians, X), missing[:, gaps]])


def _binned(X: Floats, *, edges: Sequence[Floats]) -> Floats:
    parts = [
        np.eye(len(inner) + 1)[np.searchsorted(inner, cells, side="right")]
        for cells, inner in zip(X.T, edges, strict=True)
    ]
    return np.hstack(parts)


def _scaled(X: Floats, *, means: Floats, scales: Floats) -> Floats:
    return (X - means) / scales


def _level_parts(encoder: Any) -> Iterator[Levels]:
    for name, part, columns in encoder.transformers_:
        if name in ("levels", "targets"):
            start = encoder.output_indices_[name].start
            for place in range(len(columns)):
                yield _levels_of(part, list(columns), place, start=start)
        elif name == "texts":
            yield from _texts_as_levels(part, columns, start=encoder.output_indices_[name].start)
        elif name == "crosses":
            start = encoder.output_indices_[name].start
            names = [joint for joint, _, _ in joints(encoder)]
            for place in range(len(names)):
                yield _levels_of(part.means_, names, place, start=start)


def _texts_as_levels(part: Any, columns: Sequence[str], *, start: int) -> Iterator[Levels]:
    """Yield the texts that are means of the target, those without one of their own as unknown."""
    for place, name in enumerate(columns):
        known = part.known_[place]
        places = np.arange(start, start + part.widths_[place])
        if part.ways_[place] == "target":
            table = part.column(place, [*known, UNKNOWN])
            yield Levels(name, places, {word: code for code, word in enumerate(known)}, table)
        start += part.widths_[place]


def _levels_of(part: Any, columns: list[str], place: int, *, start: int) -> Levels:
    """Ask an encoder about every level of one column, while the others have an unknown one."""
    first = part.steps[0][1] if hasattr(part, "steps") else part
    words = [word for word in first.categories_[place] if isinstance(word, str)]
    probe = {name: [UNKNOWN] * (len(words) + 1) for name in columns}
    probe[columns[place]] = [*words, UNKNOWN]
    table = np.asarray(part.transform(pd.DataFrame(probe, dtype=object)), dtype=np.float64)
    codes = {word: code for code, word in enumerate(words)}
    decided = np.flatnonzero(_differs(table[:-1], table[-1]).any(axis=0))
    return Levels(columns[place], decided + start, codes, table[:, decided])


def _differs(table: Floats, row: Floats) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (table == row) | (np.isnan(table) & np.isnan(row))
    return ~same


def _unknown_row(encoder: Any) -> Floats:
    """Return what the encoder makes of a row in which every word is unknown; numbers are 0."""
    places = encoder.output_indices_
    row = np.zeros(max(part.stop for part in places.values()))
    for name, part, columns in encoder.transformers_:
        if name in ("levels", "targets"):
            unknown = pd.DataFrame({column: [UNKNOWN] for column in columns}, dtype=object)
            row[places[name]] = np.asarray(part.transform(unknown), dtype=np.float64)[0]
        elif name == "crosses":
            names = [joint for joint, _, _ in joints(encoder)]
            unknown = pd.DataFrame({joint: [UNKNOWN] for joint in names}, dtype=object)
            row[places[name]] = np.asarray(part.means_.transform(unknown), dtype=np.float64)[0]
    return row
