"""Checks of a project's databases: MLflow's and the log's."""

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from evertune.database import DATABASE_FILE, ModelLog, database_url
from evertune.database.read_only import (
    has_tables,
    integrity_fault,
    is_newest_revision,
    known_revisions,
    log_revision,
    read_only_log,
    server_log,
)
from evertune.decisions import FINAL_OUTCOMES
from evertune.doctor.finding import Finding, Place
from evertune.errors import BusyError, EvertuneError, ParamsError
from evertune.messages import strip_credentials
from evertune.registry.decision_log import DecisionLog
from evertune.registry.embedded_store import KNOWN_SCHEMAS, EmbeddedStore
from evertune.registry.mlflow_connection import check_reachable, embedded_address, is_moved
from evertune.registry.mlflow_registry import SEARCH_TAG, TRIAL_TAG

SQLITE = "sqlite:///"


def check_mlflow_store(place: Place) -> Iterator[Finding]:
    """Check that the embedded MLflow database is whole, of a known schema, and where it says."""
    database = place.state / "mlflow.db"
    if os.environ.get("MLFLOW_TRACKING_URI") or not database.is_file():
        return
    fault = integrity_fault(database)
    if fault is not None:
        yield _damaged("mlflow store", database, fault)
        return
    store = EmbeddedStore(database)
    schema = store.schema()
    if schema is None:
        return
    if schema not in KNOWN_SCHEMAS:
        yield _unknown_schema(database, schema)
        return
    if any(is_moved(stored, place.state / "artifacts") for stored in store.artifact_places()):
        yield Finding(
            "moved",
            "warning",
            f"{database} names artifacts in another folder: the project was moved.",
            command="evertune status",
        )
    if place.params is None or place.is_running:
        return
    name = place.params.registry.name
    for run in store.unfinished_runs(name, tags=(SEARCH_TAG, TRIAL_TAG)):
        client = f"MlflowClient({embedded_address(place.state)!r})"
        end = f"{client}.set_terminated({run.run_id!r}, 'KILLED')"
        yield Finding(
            "mlflow runs",
            "warning",
            f"MLflow shows the run {run.title!r} ({run.run_id}) as RUNNING, but nobody runs it. The"
            " next training that logs a run ends it; or now:",
            command=f"python -c {_quote_code(f'from mlflow import MlflowClient; {end}')}",
        )


def check_log(place: Place) -> Iterator[Finding]:
    """Check that the log answers, is whole and has the tables of this release."""
    if place.params is None:
        return
    variable = place.params.scoring.log_variable
    try:
        address = database_url(variable)
    except ParamsError as error:
        yield Finding(
            "log", "error", str(error), by_hand=f"Set the environment variable {variable}."
        )
        return
    model = place.params.registry.name
    if address is not None and not address.startswith(SQLITE):
        yield from _check_server(place, address, variable=str(variable), model=model)
        return
    named = None if address is None else Path(address.removeprefix(SQLITE))
    database = named or place.state / DATABASE_FILE
    if not database.is_file() or database.stat().st_size == 0:
        return
    fault = integrity_fault(database)
    if fault is not None:
        yield _damaged("log", database, fault)
        return
    with read_only_log(database, model) as log:
        yield from _check_tables(place, log, str(database))


def _quote_code(code: str) -> str:
    """Quote Python for a shell, with double quotes where they do, which people can read."""
    return quote(code) if re.search(r'["$`\\!]', code) else f'"{code}"'


def _damaged(check: str, database: Path, fault: str) -> Finding:
    away = quote(f"{database}.damaged")
    return Finding(
        check,
        "error",
        f"{database} is damaged: {fault}. If there is a copy of it, put that in its place.",
        by_hand=f"Without a copy: `mv {quote(str(database))} {away}`, and a new one is begun; what"
        " the old one held is lost to Evertune.",
    )


def _unknown_schema(database: Path, schema: str) -> Finding:
    spec = find_spec("mlflow")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    migrations = [Path(each) / "store" / "db_migrations" / "versions" for each in folders]
    is_older = any(file for folder in migrations for file in folder.glob(f"{schema}_*.py"))
    if is_older:
        copy = f"cp {quote(str(database))} {quote(f'{database}.{schema}')}"
        return Finding(
            "mlflow store",
            "error",
            f"{database} has the schema {schema} of an older MLflow.",
            command=f"{copy} && mlflow db upgrade {quote(f'sqlite:///{database}')}",
        )
    return Finding(
        "mlflow store",
        "error",
        f"{database} has the schema {schema}, which the installed MLflow does not know: a newer one"
        " wrote it.",
        by_hand="Install the MLflow that wrote it, or put back a copy of the database from before.",
    )


def _check_server(place: Place, address: str, *, variable: str, model: str) -> Iterator[Finding]:
    name = strip_credentials(address)
    try:
        check_reachable(address)
        with server_log(address, model) as log:
            yield from _check_tables(place, log, f"The log's database {name}")
    except BusyError:
        yield Finding(
            "log",
            "error",
            f"The log's database {name} does not answer.",
            by_hand=f"Start it, or correct the address in the environment variable {variable}.",
        )
    except EvertuneError as error:
        advice = f"Correct the address in the environment variable {variable}, or the server."
        yield Finding("log", "error", str(error), by_hand=advice)


def _check_tables(place: Place, log: ModelLog, name: str) -> Iterator[Finding]:
    """Check that a log's tables are those of this release, and that no decision is half-done."""
    revision = log_revision(log)
    if is_newest_revision(revision):
        if not place.is_running:
            yield from _unfinished_decisions(DecisionLog(log))
    elif revision is not None and revision not in known_revisions():
        yield Finding(
            "log",
            "error",
            f"{name} has tables of revision {revision}, which a newer Evertune wrote.",
            command="pip install -U evertune",
        )
    elif has_tables(log):
        what = f"tables of revision {revision}" if revision else "tables without a revision"
        yield Finding(
            "log",
            "warning",
            f"{name} has {what}; the next command that opens it migrates it.",
            command="evertune history",
        )


def _unfinished_decisions(log: DecisionLog) -> Iterator[Finding]:
    outcomes = log.outcomes()
    ended = {each.decision_id for each in outcomes if each.kind in FINAL_OUTCOMES}
    started = {each.decision_id: each for each in outcomes if each.kind == "started"}
    for decision_id, outcome in started.items():
        if decision_id not in ended:
            yield Finding(
                "decisions",
                "warning",
                f"Decision {decision_id} was started at {outcome.moment:%F %T} UTC"
                f" ({outcome.detail}) and never ended.",
                command=f"evertune retune {decision_id} --again",
            )
