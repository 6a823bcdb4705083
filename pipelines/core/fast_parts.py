"""Parts of a fitted encoder beside levels and numbers, made ready for a few rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.core.fast_rows import Columns
from pipelines.core.hashed_levels import WIDTH, hashed
from pipelines.core.pairs import BETWEEN
from pipelines.core.predictions import Floats

Make = Callable[[Columns], Floats]  # from columns of the matrix to columns of X
Joint = tuple[str, str, str]  # the name of two categories made one, and theirs


def makers(encoder: Any) -> Iterator[tuple[slice, Make]]:
    """Yield the parts that are worked out for each row, with the columns of X that they fill."""
    places = encoder.output_indices_
    for name, part, columns in encoder.transformers_:
        if name == "hashes":
            for place, column in enumerate(columns):
                start = places[name].start + WIDTH * place
                yield slice(start, start + WIDTH), partial(_hashes, name=column)
        elif name == "texts":
            yield from _texts(part, list(columns), start=places[name].start)
        elif name == "products":
            yield places[name], _products(part, list(columns))


def joints(encoder: Any) -> tuple[Joint, ...]:
    """Return the pairs of categories that an encoder makes one."""
    for name, part, columns in encoder.transformers_:
        if name == "crosses":
            pairs = enumerate(part.places_)
            return tuple((f"cross{n}", columns[a], columns[b]) for n, (a, b) in pairs)
    return ()


def joined(columns: Columns, pairs: Sequence[Joint]) -> Columns:
    r"""Return columns of the matrix with pairs of categories among them.

    Examples
    --------
    >>> joined({"a": ["x"], "b": ["y"]}, [("cross0", "a", "b")])["cross0"]
    ['x\x1fy']
    """
    made: Columns = {
        name: [
            f"{left}{BETWEEN}{right}"
            for left, right in zip(columns[first], columns[second], strict=True)
        ]
        for name, first, second in pairs
    }
    return columns | made if made else columns


def _hashes(columns: Columns, *, name: str) -> Floats:
    return hashed(columns[name])  # type: ignore[arg-type]


def _texts(part: Any, columns: list[str], *, start: int) -> Iterator[tuple[slice, Make]]:
    ends = start + np.cumsum(part.widths_)
    for place, name in enumerate(columns):
        if part.ways_[place] != "target":
            first = int(ends[place]) - part.widths_[place]
            yield slice(first, int(ends[place])), partial(_text, part=part, place=place, name=name)


def _text(columns: Columns, *, part: Any, place: int, name: str) -> Floats:
    found: Floats = part.column(place, columns[name])
    return found


def _products(part: Any, names: list[str]) -> Make:
    pairs, scaler = (part[0], part[1]) if isinstance(part, Pipeline) else (part, None)
    return partial(_multiplied, pairs=pairs, names=names, scaler=scaler)


def _multiplied(
    columns: Columns, *, pairs: Any, names: list[str], scaler: StandardScaler | None
) -> Floats:
    cells = np.array([columns[name] for name in names], dtype=np.float64).T
    found: Floats = pairs.transform(cells)
    return found if scaler is None else (found - scaler.mean_) / scaler.scale_
