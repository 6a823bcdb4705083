"""Environment variables that are set before anything heavy is imported.

A variable that is set already wins. No tool sends telemetry, Prefect logs nothing to the
terminal and starts no server of its own (`evertune.orchestration.server` starts one that ends
with the run). Where PREFECT_API_URL is a server of the project's own that asks for a secret, the
secret is set, too.
"""

import os
from pathlib import Path

from evertune.access import PREFECT, is_this_machine, kept_secret

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "NO_PROXY": "localhost,127.0.0.1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}


def set_defaults(state: Path) -> None:
    """Set every variable that is not set yet.

    Parameters
    ----------
    state : Path
        Where Prefect's own files go, in the folder `prefect`, and where secrets lie.
    """
    defaults = DEFAULTS | {"PREFECT_HOME": str(state / "prefect")}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    secret = kept_secret(state, PREFECT)
    if secret and is_this_machine(os.environ.get("PREFECT_API_URL", "")):
        os.environ.setdefault("PREFECT_API_AUTH_STRING", secret)
