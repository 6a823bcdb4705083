"""Make the champion before the champion again.

Reads the registry and the prediction log. Writes the outcome of the decision, before and after,
and the aliases champion and previous; challenger stays where it is. Killed at any point it is
simply run again.
"""

from datetime import datetime
from pathlib import Path

from pipelines.core.findings import Decision, Outcome
from pipelines.errors import EvertuneError, StageError
from pipelines.params import load_params
from pipelines.stores import registry
from pipelines.stores.database import Log, opened_log
from pipelines.stores.decisions import outcomes, record_outcome
from pipelines.stores.models import predict_rows
from pipelines.stores.tracking import Store, open_store


def rollback(root: Path, decision: Decision, *, now: datetime) -> Outcome:
    """Return the outcome, once the version before the champion is champion again.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    decision : Decision
        Its `champion` is the version to be replaced.
    now : datetime

    Raises
    ------
    StageError
        There is no version to go back to, or it cannot predict; the champion stays.
    BusyError
        Another version is champion than the one that was judged.
    """
    params = load_params(root)
    state, variable = params.paths.state, params.scoring.log_variable
    store = open_store(state, params.registry.name)
    with opened_log(state, model=params.registry.name, variable=variable) as log:
        return _rolled_back(log, store, decision, now=now)


def _rolled_back(log: Log, store: Store, decision: Decision, *, now: datetime) -> Outcome:
    number, over = _target(log, store, decision), str(decision.champion)
    _check_predicts(store, number)
    record_outcome(log, Outcome(decision.id, now, "started", number, "a rollback"))
    registry.roll_back(store, number, over=over)
    detail = f"version {number} is champion again in place of version {over}"
    outcome = Outcome(decision.id, now, "rolled back", number, detail)
    record_outcome(log, outcome)
    return outcome


def _target(log: Log, store: Store, decision: Decision) -> str:
    # A killed rollback has moved `previous`; what it began with is in its record.
    begun = [each.version for each in outcomes(log) if each.decision_id == decision.id]
    named = [number for number in begun if number is not None]
    if named:
        return named[0]
    previous = registry.version_with_alias(store, "previous")
    if previous is None or previous.number == decision.champion:
        raise StageError(
            f"expected a version of {store.name} with the alias `previous` to go back to, but there"
            " is none; the champion stays"
        )
    return previous.number


def _check_predicts(store: Store, number: str) -> None:
    version = registry.version_numbered(store, number)
    try:
        predict_rows(registry.model_of(store, version), registry.example_rows(store, version))
    except EvertuneError as error:
        raise StageError(
            f"expected version {number} of {store.name} to predict its own example, but: {error};"
            " the champion stays"
        ) from error
