"""Words for messages: what was probably meant, and values as they may be shown."""

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches

SECRETS = re.compile(
    r"""://[^/\s:@]*:[^/\s@]+@                                 # a password in an address
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY                         # a key file
    | (password|passwd|pwd|secret|token|api_?key)\s*=(?!=)\s*\S  # a password in a connection text
    | \b(AKIA|ASIA)[0-9A-Z]{16}\b                             # the forms of well-known services
    | \b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|hf_|pn[ub]_|dapi)[\w-]{16,}
    | \beyJ[\w-]{8,}\.[\w-]{8,}\.                             # a signed web token
    """,
    re.IGNORECASE | re.VERBOSE,
)
LONGEST_SHOWN = 40


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known name, or nothing where none is near.

    Case, blanks at the ends, and the difference between `-`, `_` and blanks do not count.

    Parameters
    ----------
    name : str
        What was given.
    known : iterable of str
        What would have been accepted.

    Returns
    -------
    str
        The question with a blank before it, so that it can follow a sentence, or ``""``.

    Examples
    --------
    >>> did_you_mean("n_fold", ["n_folds", "seed"])
    " Did you mean 'n_folds'?"
    >>> did_you_mean("Churned", ["churned", "plan"])
    " Did you mean 'churned'?"
    >>> did_you_mean("price", ["seed"])
    ''
    """
    by_plain = {_plain(candidate): candidate for candidate in sorted(known, reverse=True)}
    nearest = get_close_matches(_plain(name), by_plain, n=1, cutoff=0.6)
    return f" Did you mean '{by_plain[nearest[0]]}'?" if nearest else ""


def looks_secret(text: str) -> bool:
    """Say whether a text looks like a password, a key or a token, or holds one.

    Examples
    --------
    >>> looks_secret("postgresql://reader:open-sesame@db/sales"), looks_secret("data/sales.csv")
    (True, False)
    """
    return SECRETS.search(text) is not None


def shown(value: object) -> str:
    """Return a value as a message may show it: as JSON, at most 40 characters, never a secret.

    Examples
    --------
    >>> print(shown("10"), shown(None), shown([1, 2]), shown("x" * 50))
    "10" null [1, 2] "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...
    >>> print(shown("password=open-sesame"))
    a value that looks like a secret
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    if looks_secret(text):
        return "a value that looks like a secret"
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "..."


def _plain(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
