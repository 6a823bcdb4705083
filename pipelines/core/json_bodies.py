"""Bodies of requests read as JSON; what two readers could read in two ways is refused."""

import json
from typing import Any, NoReturn

import orjson


def parsed(body: bytes) -> object:
    """Return what a body holds.

    Raises
    ------
    ValueError
        Where it is no JSON, or JSON that not every reader would read alike.

    Examples
    --------
    >>> parsed(b'{"row": {"age": 31}}')
    {'row': {'age': 31}}
    """
    try:
        text = body.decode()
        content: object = json.loads(
            text, object_pairs_hook=_unambiguous, parse_constant=_no_number
        )
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:
        if "digits" not in str(error):
            raise
        raise ValueError("has a number of too many digits") from error
    if "\\u" in text:
        _check_text(body)
    return content


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("has a key twice in one object")
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"has {name}, which is no JSON")


def _check_text(body: bytes) -> None:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError("has text that is no Unicode") from error
