"""Helpers for messages: spelling suggestions, values without secrets, and no foreign warnings."""

import json
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from urllib.parse import urlsplit

from evertune.errors import EvertuneWarning

SECRET_PATTERN = re.compile(
    r"""://[^/\s:@]*:[^/\s@]+@                                 # a password in an address
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY                         # a key file
    | (password|passwd|pwd|secret|token|api_?key)\s*=(?!=)\s*\S  # a password in a connection text
    | \b(AKIA|ASIA)[0-9A-Z]{16}\b                             # the forms of well-known services
    | \b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|hf_|pn[ub]_|dapi)[\w-]{16,}
    | \beyJ[\w-]{8,}\.[\w-]{8,}\.                             # a signed web token
    """,
    re.IGNORECASE | re.VERBOSE,
)
MAX_VALUE_LENGTH = 40


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known name, "" if none is near.

    Case, blanks at the ends, and the difference between `-`, `_` and blanks do not count. The
    question begins with a blank, so that it can follow a sentence.

    Examples
    --------
    >>> did_you_mean("n_fold", ["n_folds", "seed"])
    " Did you mean 'n_folds'?"
    """
    by_plain = {_normalize_name(candidate): candidate for candidate in sorted(known, reverse=True)}
    nearest = get_close_matches(_normalize_name(name), by_plain, n=1, cutoff=0.6)
    return f" Did you mean '{by_plain[nearest[0]]}'?" if nearest else ""


def format_percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent, with so many digits after the point; a dash if there is none.

    Examples
    --------
    >>> format_percent(0.1234), format_percent(0.66, digits=0), format_percent(None)
    ('12.3 %', '66 %', '-')
    """
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def ways_to_a_champion(challenger: str | None) -> str:
    """Return what to do where there is no champion, a clause.

    Parameters
    ----------
    challenger : str, optional
        The version that was trained and not promoted.
    """
    if challenger is None:
        return "run `evertune train`, which makes the first one"
    return (
        f"version {challenger} was trained and not promoted; `evertune promote {challenger}"
        " --reason ...` makes it the champion, or train another with `evertune train`"
    )


def looks_like_secret(text: str) -> bool:
    """Return whether a text looks like a password, a key or a token, or contains one."""
    return SECRET_PATTERN.search(text) is not None


def to_safe_json(value: object) -> str:
    """Return a value for a message: JSON of at most about 40 characters, never a secret."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if looks_like_secret(text):
        return "a value that looks like a secret"
    return text if len(text) <= MAX_VALUE_LENGTH else text[: MAX_VALUE_LENGTH - 1] + "..."


@contextmanager
def without_library_warnings() -> Iterator[None]:
    """Keep warnings of libraries from a person's terminal: there is nothing to do about them.

    `EvertuneWarning` is shown; `python -W` and PYTHONWARNINGS show all that they ask for.
    """
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", EvertuneWarning)
        yield


def strip_credentials(address: str) -> str:
    """Return an address without user, password, query and fragment."""
    parts = urlsplit(address)
    if not parts.hostname:
        return address
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _normalize_name(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
