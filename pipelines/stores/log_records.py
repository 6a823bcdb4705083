"""Records as they stand in a column of the log's database."""

from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from pipelines.errors import StageError

T = TypeVar("T")


def record_text(record: object) -> str:
    """Return a record as JSON; NaN and infinities as null."""
    return to_json(record, inf_nan_mode="null").decode()


def record_of(text: str, kind: type[T], *, name: str) -> T:
    """Return the record that `record_text` wrote.

    Parameters
    ----------
    text : str
    kind : type
        A dataclass, or a type such as ``dict[str, float]``.
    name : str
        What it is, for the message.

    Raises
    ------
    StageError
        Where the text is something else.
    """
    try:
        found: T = _adapter(kind).validate_json(text, strict=True)  # type: ignore[arg-type]
        return found
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the record"
        raise StageError(
            f"The record of {name} in the log's database cannot be read: {place}:"
            f" {first['msg']}. Nothing is decided on it: mend that row, or remove it."
        ) from error


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
