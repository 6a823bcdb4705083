"""From a decision to a new champion, step by step and without Prefect.

A decision is claimed once, under the project's lock: a run that is killed lets go of the lock, so
that whoever holds it and finds the decision claimed and without an end goes on where it stopped.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from flows.lines import snapshot_line, verdict_line
from flows.stages import Say, bring_up_to_date
from pipelines.absorb import Absorbed, absorb
from pipelines.core.findings import Decision, Outcome, OutcomeKind
from pipelines.core.judging.verdicts import Verdict
from pipelines.core.plans import Plan
from pipelines.errors import BusyError, EvertuneError, InputError
from pipelines.params import load_params
from pipelines.plan import write_plan
from pipelines.register import register
from pipelines.rollback import rollback
from pipelines.snapshot import take_snapshot
from pipelines.stores.database import Log, opened_log
from pipelines.stores.decisions import claim, decisions, outcomes, record_outcome
from pipelines.stores.files import project_lock
from pipelines.stores.registry import champion
from pipelines.stores.tracking import open_store

ACTIONS = ("refit", "retune", "rollback")
ENDS = ("promoted", "refused", "failed", "outdated", "rolled back")
PATIENCE_SECONDS = 600.0
POLL_SECONDS = 2.0
RUN_BY = "run by "


def retune_project(
    root: Path, decision_id: str, *, now: datetime, say: Say, resume: bool = False
) -> Outcome:
    """Do what a decision asks for, and return what came of it.

    Parameters
    ----------
    root : Path
        The project's folder; its lock is taken here.
    decision_id : str
        Of a recorded decision to refit, to retune or to roll back.
    now : datetime
        By the clock that the decision was made by.
    say : function
        Called with the name of a step and a line about it.
    resume : bool
        Whether to try again what has failed.

    Raises
    ------
    EvertuneError
        Whatever a step raises; the outcome `failed` is recorded before.
    """
    with decision_lock(root, decision_id) as mine:
        taken = taken_up(root, decision_id, now=now, resume=resume) if mine else None
        if isinstance(taken, Decision):
            with failure_recorded(root, taken, now=now):
                return _followed(root, taken, now=now, say=say)
    duplicate = taken or followed_elsewhere(decision_id, now)
    say("claim", duplicate_line(duplicate))
    return duplicate


@contextmanager
def decision_lock(
    root: Path, decision_id: str, *, patience: float = PATIENCE_SECONDS
) -> Iterator[bool]:
    """Hold the project for a decision; another run is waited for, for some minutes.

    Yields
    ------
    bool
        False where the other run follows this very decision: it is not waited for.

    Raises
    ------
    BusyError
        Another run holds the project for longer.
    """
    with ExitStack() as held:
        yield _enter(held, root, decision_id, deadline=time.monotonic() + patience)


def _enter(held: ExitStack, root: Path, decision_id: str, *, deadline: float) -> bool:
    state, purpose = load_params(root).paths.state, f"evertune retune {decision_id}"
    while True:
        try:
            held.enter_context(project_lock(state, purpose))
        except BusyError as error:
            if f"'{purpose}' (process" in str(error):
                return False
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return True


def taken_up(
    root: Path, decision_id: str, *, now: datetime, resume: bool = False
) -> Decision | Outcome:
    """Return the decision, once it is ours to follow, or what came of it where it is not.

    One about a version that is no longer champion ends as `outdated` before it begins.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock, so that another run of this project that
        has claimed the decision and did not end is dead, and is gone on with.
    decision_id : str
    now : datetime
    resume : bool
        Whether to take up what has failed, or what another project's run began.

    Raises
    ------
    InputError
        There is no such decision, or it asks for nothing that can be run.
    """
    with _log(root) as log:
        decision = _decision(log, decision_id)
        past = [each for each in outcomes(log) if each.decision_id == decision_id]
        taken = _taken(past, by=_runner(root), resume=resume)
        if taken is not None:
            return taken
        claim(log, decision_id, by=_runner(root), moment=now)
        outdated = None if past else _outdated(root, decision, now=now)
        if outdated is not None:
            record_outcome(log, outdated)
            return outdated
        if decision.action != "rollback" and not past:
            record_outcome(log, Outcome(decision_id, now, "started", detail=_runner(root)))
    return decision


def ended(root: Path, decision: Decision, verdict: Verdict, *, now: datetime) -> Outcome:
    """Return what came of a refit or a retune, once it is recorded."""
    new = verdict.promoted and verdict.version != decision.champion
    kind: OutcomeKind = "promoted" if new else "refused"
    outcome = Outcome(
        decision.id,
        now,
        kind,
        verdict.version,
        verdict_line(verdict),
        verdict=verdict.decision,
        n_rows=verdict.n_rows,
        rows_needed=verdict.rows_needed,
    )
    with _log(root) as log:
        record_outcome(log, outcome)
    return outcome


@contextmanager
def failure_recorded(root: Path, decision: Decision, *, now: datetime) -> Iterator[None]:
    """Record the outcome `failed` where the block ends with a failure of ours."""
    try:
        yield
    except EvertuneError as error:
        with _log(root) as log:
            record_outcome(log, Outcome(decision.id, now, "failed", detail=str(error)))
        raise


def followed_elsewhere(decision_id: str, now: datetime) -> Outcome:
    """Return the outcome so far of a decision that another run follows at this moment."""
    return Outcome(decision_id, now, "started", detail="another run follows it now")


def duplicate_line(outcome: Outcome) -> str:
    """Return why a decision is not followed, in one line."""
    if outcome.kind == "outdated":
        return f"outdated: decision {outcome.decision_id} is not followed: {outcome.detail}"
    return f"duplicate: decision {outcome.decision_id} was taken up before ({outcome.kind})"


def absorbed_line(absorbed: Absorbed) -> str:
    """Return what was absorbed, in one line."""
    state = "new" if absorbed.changed else "up to date"
    return f"{state}, {absorbed.rows} labelled rows, version {absorbed.version[:8]}"


def plan_line(plan: Plan) -> str:
    """Return what a run is to do, in one line."""
    windows = ", ".join(window.name for window in plan.windows)
    return f"{plan.mode}, rows from {plan.judge_from} judge, windows {windows}"


def _followed(root: Path, decision: Decision, *, now: datetime, say: Say) -> Outcome:
    if decision.action == "rollback":
        outcome = rollback(root, decision, now=now)
        say("rollback", outcome.detail)
        return outcome
    say("snapshot", snapshot_line(take_snapshot(root)))
    # labels as the decision knew them, so that a run that was killed finds the same rows
    say("absorb", absorbed_line(absorb(root, now=decision.moment)))
    say("plan", plan_line(write_plan(root, decision)))
    bring_up_to_date(root, say)
    verdict = register(root)
    say("register", verdict_line(verdict))
    return ended(root, decision, verdict, now=now)


def _decision(log: Log, decision_id: str) -> Decision:
    found = next((each for each in decisions(log) if each.id == decision_id), None)
    if found is None:
        raise InputError(
            f"expected the id of a recorded decision, but got '{decision_id}'; `evertune monitor`"
            " makes decisions"
        )
    if found.action not in ACTIONS:
        raise InputError(
            f"expected a decision to {', '.join(ACTIONS)}, but {decision_id} is '{found.action}';"
            " nothing is to be done"
        )
    return found


def _outdated(root: Path, decision: Decision, *, now: datetime) -> Outcome | None:
    params = load_params(root)
    standing = champion(open_store(params.paths.state, params.registry.name))
    number = None if standing is None else standing.number
    if number == decision.champion:
        return None
    detail = (
        f"it was about version {decision.champion}, but {_named(number)} is champion now;"
        " the next look decides anew"
    )
    return Outcome(decision.id, now, "outdated", number, detail)


def _named(number: str | None) -> str:
    return "no version" if number is None else f"version {number}"


def _taken(past: list[Outcome], *, by: str, resume: bool) -> Outcome | None:
    ends = [each for each in past if each.kind in ENDS]
    if ends:
        return None if resume and ends[-1].kind == "failed" else ends[-1]
    others = [each for each in past if each.detail.startswith(RUN_BY) and each.detail != by]
    return others[-1] if others and not resume else None


def _runner(root: Path) -> str:
    state = load_params(root).paths.state.resolve()
    return f"{RUN_BY}{socket.gethostname()}:{state}"


def _log(root: Path) -> AbstractContextManager[Log]:
    params = load_params(root)
    state, variable = params.paths.state, params.scoring.log_variable
    return opened_log(state, model=params.registry.name, variable=variable)
