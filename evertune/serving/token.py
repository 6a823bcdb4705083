"""The token of the scoring service: who asks for it, who shows it."""

import os
from typing import TYPE_CHECKING

from evertune.access import SCORING, is_loopback, make_secret
from evertune.errors import ParamsError

if TYPE_CHECKING:
    from evertune.config.schema import Params


def service_token(params: "Params", host: str) -> bytes | None:
    """Return the token that callers of a project's service must show, None where it asks for none.

    It is that of `scoring.token_variable`. Without that name, a service that listens beyond this
    machine has one of its own, made at first use.

    Raises
    ------
    ParamsError
        The variable is not set.
    """
    variable = params.scoring.token_variable
    if variable is None:
        return None if is_loopback(host) else make_secret(params.paths.state, SCORING).encode()
    token = os.environ.get(variable, "")
    if not token:
        raise ParamsError(
            f"scoring.token_variable: the environment variable {variable} is not set; it has to"
            " hold the token that callers show. Set it, or write null: then the service asks for a"
            " token of its own where it listens beyond this machine, and else for none."
        )
    return token.encode()


def bearer_header(token: bytes | None) -> dict[str, str]:
    """Return the header of a request that shows a token."""
    return {} if token is None else {"Authorization": f"Bearer {token.decode()}"}
