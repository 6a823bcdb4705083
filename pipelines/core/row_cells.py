"""Single cells as JSON has them, read as the columns of an encoder's matrix.

Reading a column with pandas costs as much for one row as for a thousand. A reader here takes one
cell and gives the same numbers or words as `conform` and `matrix` do, or `UNUSUAL` where it leaves
the cell to them.
"""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import lru_cache, partial

import pandas as pd

from pipelines.core.cells import (
    BLANKS,
    FALSE_WORDS,
    MISSING_WORDS,
    NUMBER,
    TRUE_WORDS,
    as_number,
)
from pipelines.core.dates import as_date
from pipelines.core.encoding import LARGEST as LARGEST_ENCODED
from pipelines.core.readings import LARGEST
from pipelines.core.schema import Column, Schema

Cell = str | float | bool | None
Read = float | str
Reader = Callable[[Cell], "tuple[Read, ...] | None"]

UNUSUAL = None
NAN = float("nan")
TYPED_NUMBER = re.compile(NUMBER)
WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
WORD = re.compile(r"[^\t\n\f\r ]+")
DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
# Python reads more than tables: an offset of 75 minutes, and newer ones the hour 24
MINUTES = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
SECONDS = r":[0-9]{2}(?:\.(?:[0-9]{3}){1,2})?"
CLOCK = f"[T ]{MINUTES}(?:{SECONDS})?(?:Z|[+-]{MINUTES})?"
MOMENT = re.compile(f"{DAY}(?:{CLOCK})?")
REMEMBERED = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECONDS_OF_A_DAY = 86_400_000_000


def reader(column: Column, schema: Schema) -> Reader:
    """Return what reads one cell of a feature as its columns in the matrix.

    Examples
    --------
    >>> schema = Schema((Column("age", "number"),), "y", "binary")
    >>> read = reader(schema.features[0], schema)
    >>> read(31), read(" 4.5 "), read("NA"), read("x")
    ((31.0,), (4.5,), (nan,), None)
    """
    missing = frozenset(schema.missing_values)
    if column.kind == "number":
        return partial(_number, missing=missing, numbers=_numbers(missing), decimal=schema.decimal)
    if column.kind == "boolean":
        return partial(_boolean, missing=missing, numbers=_numbers(missing))
    if column.kind == "date":
        return partial(_date, days_first=column.day_first, missing=schema.missing_values)
    if column.kind == "text":
        return partial(_text, missing=missing)
    return partial(_category, missing=missing)


def _number(
    cell: Cell, *, missing: frozenset[str], numbers: frozenset[float], decimal: str
) -> tuple[Read, ...] | None:
    if isinstance(cell, str):
        return _typed_number(cell, missing, decimal)
    if cell is None:
        return (NAN,)
    if isinstance(cell, bool):
        return UNUSUAL
    value = float(cell)
    return (NAN,) if value in numbers else _in_range(value)


def _typed_number(text: str, missing: frozenset[str], decimal: str) -> tuple[Read, ...] | None:
    text = text.strip(BLANKS)
    if not text or text in missing or text.lower() in MISSING_WORDS:
        return (NAN,)
    if decimal == ",":
        text = text.replace(",", ".") if "." not in text else ""
    return _in_range(float(text)) if TYPED_NUMBER.fullmatch(text) else UNUSUAL


def _in_range(value: float) -> tuple[Read, ...] | None:
    if not abs(value) <= LARGEST:
        return UNUSUAL
    return (min(max(value, -LARGEST_ENCODED), LARGEST_ENCODED),)


def _boolean(
    cell: Cell, *, missing: frozenset[str], numbers: frozenset[float]
) -> tuple[Read, ...] | None:
    if isinstance(cell, str):
        word = cell.strip(BLANKS)
        if not word or word in missing or word.lower() in MISSING_WORDS:
            return (NAN,)
        word = word.lower()
        if word in TRUE_WORDS:
            return (1.0,)
        return (0.0,) if word in FALSE_WORDS else UNUSUAL
    if cell is None:
        return (NAN,)
    value = float(cell)
    if value in numbers:
        return (NAN,)
    return (value,) if value in (0.0, 1.0) else UNUSUAL


def _category(cell: Cell, *, missing: frozenset[str]) -> tuple[Read, ...]:
    if cell is None:
        return ("",)
    word = (cell if isinstance(cell, str) else str(cell)).strip(BLANKS)
    if word in missing:
        return ("",)
    # a number is written the same however it came
    whole = WHOLE.fullmatch(word) if word.endswith("0") else None
    return (whole.group(1) if whole else word,)


def _text(cell: Cell, *, missing: frozenset[str]) -> tuple[Read, ...]:
    (word,) = _category(cell, missing=missing)
    if not word:
        return ("", NAN, NAN)
    return (word, float(len(str(word))), float(len(WORD.findall(str(word)))))


def _date(
    cell: Cell, *, days_first: bool | None, missing: tuple[str, ...]
) -> tuple[Read, ...] | None:
    if cell is None:
        return (NAN, NAN, NAN, NAN)
    if not isinstance(cell, str):
        return UNUSUAL
    moment = date_of(cell, days_first, missing)
    if moment is None:
        return (NAN, NAN, NAN, NAN) if _is_blank(cell, missing) else UNUSUAL
    return date_parts(moment)


def date_parts(moment: datetime) -> tuple[float, float, float, float]:
    """Return days since 1970, month, weekday and hour of an aware moment.

    Examples
    --------
    >>> date_parts(datetime(1970, 1, 2, 6, tzinfo=UTC))
    (1.25, 1.0, 4.0, 6.0)
    """
    since = moment - EPOCH
    count = since.days * MICROSECONDS_OF_A_DAY + since.seconds * 1_000_000 + since.microseconds
    days = float(count) / MICROSECONDS_OF_A_DAY  # as tables: any other way rounds differently
    return (days, float(moment.month), float(moment.weekday()), float(moment.hour))


def date_of(text: str, days_first: bool | None, missing: tuple[str, ...]) -> datetime | None:
    """Return the moment that a text is, None where it is blank or no date.

    Examples
    --------
    >>> date_of("31.12.2024", None, ()).isoformat()
    '2024-12-31T00:00:00+00:00'
    """
    if MOMENT.fullmatch(text) and text not in missing:
        try:
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return _remembered_date(text, days_first, missing)
    return _remembered_date(text, days_first, missing)


@lru_cache(maxsize=REMEMBERED)
def _remembered_date(
    text: str, days_first: bool | None, missing: tuple[str, ...]
) -> datetime | None:
    values, _ = as_date(pd.Series([text], dtype="str"), days_first=days_first, missing=missing)
    if pd.isna(values[0]):
        return None
    return pd.Timestamp(values[0]).to_pydatetime().replace(tzinfo=UTC)


def _is_blank(text: str, missing: Collection[str]) -> bool:
    word = text.strip(BLANKS)
    return not word or word in missing or word.lower() in MISSING_WORDS


def _numbers(missing: frozenset[str]) -> frozenset[float]:
    """Return the declared words that are numbers: typed cells with these values are missing."""
    words = pd.Series(sorted(missing), dtype="str")
    values, bad = as_number(words)
    return frozenset(values[~bad].dropna().tolist())
