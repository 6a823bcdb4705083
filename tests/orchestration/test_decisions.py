import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evertune.decisions import Action, DecisionOutcome, MonitoringDecision, OutcomeKind
from evertune.errors import BusyError, InputError, StageError
from evertune.files import project_lock
from evertune.identity import runner_name
from evertune.orchestration.carry_out_decision import (
    decision_lock,
    follow_decision_locally,
    monitor_and_act,
    record_verdict,
    recording_failures,
    resolve_now,
    take_up_decision,
)
from evertune.registry.decision_log import DecisionLog
from evertune.registry.promotion_records import Verdict
from tests.support import production
from tests.support.registries import client_of, open_state

NOW = production.day(9)
slow = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return production.project(tmp_path)


@pytest.fixture
def watched(root: Path, state: Path) -> Path:
    """Return a project of which version 1 is champion, and version 2 is not."""
    known = client_of(open_state(state))
    known.create_registered_model("churn")
    for _ in range(2):
        known.create_model_version("churn", source=(root / "model").as_uri())
    known.set_registered_model_alias("churn", "champion", "1")
    return root


def decided(root: Path, action: Action = "retune", name: str = "d") -> MonitoringDecision:
    decision = MonitoringDecision(name, NOW, "churn", "1", action, ("loss rose",))
    DecisionLog(production.log_of(root)).record_decision(decision)
    return decision


def kinds(root: Path) -> list[str]:
    return [each.kind for each in DecisionLog(production.log_of(root)).outcomes()]


def came(root: Path, kind: OutcomeKind, detail: str = "") -> None:
    later = NOW + timedelta(hours=1)
    outcome = DecisionOutcome("d", later, kind, "2", detail)
    DecisionLog(production.log_of(root)).record_outcome(outcome)


def crown(root: Path, number: str) -> None:
    known = client_of(open_state(root / "state"))
    known.set_registered_model_alias("churn", "champion", number)


@slow
def test_a_decision_is_taken_up_and_recorded_as_started(watched: Path) -> None:
    decision = decided(watched)
    assert take_up_decision(watched, "d", now=NOW) == decision
    assert kinds(watched) == ["started"]
    assert not DecisionLog(production.log_of(watched)).claim("d", by="another", moment=NOW)


@slow
@pytest.mark.parametrize("action", ["refit", "rollback"])
def test_what_is_about_a_former_champion_is_outdated(watched: Path, action: Action) -> None:
    decided(watched, action)
    crown(watched, "2")
    said: list[str] = []
    found = follow_decision_locally(watched, "d", now=NOW, say=lambda _, line: said.append(line))
    assert (found.kind, found.version, kinds(watched)) == ("outdated", "2", ["outdated"])
    assert "it was about version 1, but version 2 is champion now" in said[0]


@slow
def test_what_a_killed_run_began_is_gone_on_with_and_started_once(watched: Path) -> None:
    decision = decided(watched)
    take_up_decision(watched, "d", now=NOW)
    crown(watched, "2")  # as by this very run, before it was killed
    assert take_up_decision(watched, "d", now=NOW + timedelta(hours=2)) == decision
    assert kinds(watched) == ["started"]


@slow
def test_what_was_killed_is_interrupted_and_goes_on_also_under_another_host_name(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision, log = decided(watched), DecisionLog(production.log_of(watched))
    state = watched / "state"
    with project_lock(state, "evertune retune d"):
        take_up_decision(watched, "d", now=NOW)
        assert [each.kind for each in log.current_outcomes(state)] == ["started"]
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    assert [each.kind for each in log.current_outcomes(state)] == ["interrupted"]
    assert [each.outcome for each in log.entries(state)] == ["interrupted"]
    assert take_up_decision(watched, "d", now=NOW + timedelta(hours=2)) == decision
    came(watched, "refused")
    assert [each.kind for each in log.current_outcomes(state)] == ["started", "refused"]


@slow
def test_a_rollback_that_was_killed_is_taken_up_by_the_next_command(watched: Path) -> None:
    decision, log = decided(watched, "rollback"), DecisionLog(production.log_of(watched))
    state = watched / "state"
    take_up_decision(watched, "d", now=NOW)
    assert [each.kind for each in log.current_outcomes(state)] == ["interrupted"]
    log.record_outcome(DecisionOutcome("d", NOW, "started", "2", runner_name(state)))
    assert [each.kind for each in log.current_outcomes(state)] == ["interrupted"]
    crown(watched, "2")
    assert take_up_decision(watched, "d", now=NOW + timedelta(hours=2)) == decision


@pytest.mark.parametrize("kind", ["promoted", "refused", "failed", "rolled back"])
def test_what_has_ended_is_a_duplicate(root: Path, kind: OutcomeKind) -> None:
    decided(root)
    came(root, kind)
    said: list[str] = []
    found = follow_decision_locally(root, "d", now=NOW, say=lambda _, line: said.append(line))
    assert found.kind == kind
    assert said == [f"duplicate: decision d was already taken up ({kind})"]


def test_only_what_has_failed_is_tried_again_on_request(root: Path) -> None:
    decision = decided(root)
    came(root, "failed")
    assert take_up_decision(root, "d", now=NOW, resume=True) == decision
    came(root, "promoted")
    assert isinstance(take_up_decision(root, "d", now=NOW, resume=True), DecisionOutcome)


def test_what_another_machine_runs_is_a_duplicate(root: Path) -> None:
    decided(root)
    came(root, "started", "run by elsewhere:/state")
    assert isinstance(take_up_decision(root, "d", now=NOW), DecisionOutcome)
    assert isinstance(take_up_decision(root, "d", now=NOW, resume=True), MonitoringDecision)


@pytest.mark.parametrize(("name", "words"), [("d", "is 'wait'; nothing"), ("e", "but got 'e'")])
def test_only_recorded_decisions_that_ask_for_something_are_run(
    root: Path, name: str, words: str
) -> None:
    decided(root, "wait")
    with pytest.raises(InputError, match=words):
        take_up_decision(root, name, now=NOW)


def test_a_failure_is_recorded_and_raised(root: Path) -> None:
    decision = decided(root)
    with pytest.raises(StageError, match="no room"), recording_failures(root, decision, now=NOW):
        raise StageError("no room")
    (kept,) = DecisionLog(production.log_of(root)).outcomes()
    assert (kept.kind, kept.detail) == ("failed", "no room")


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        (Verdict("promote", ("better",), version="2", champion="2"), "promoted"),
        (Verdict("keep", ("worse",), version="2", champion="1"), "refused"),
        (Verdict("promote", ("it is already",), version="1", champion="1"), "refused"),
    ],
)
def test_only_a_new_champion_is_a_promotion(root: Path, verdict: Verdict, kind: str) -> None:
    assert record_verdict(root, decided(root), verdict, now=NOW).kind == kind
    assert kinds(root) == [kind]


def test_what_the_gate_lacked_is_kept(root: Path) -> None:
    doubt = Verdict("not enough evidence", ("better",), 900, "2", "1", n_rows=300)
    record_verdict(root, decided(root), doubt, now=NOW)
    (kept,) = DecisionLog(production.log_of(root)).outcomes()
    assert (kept.verdict, kept.n_rows, kept.rows_needed) == ("not enough evidence", 300, 900)
    assert kept.undecided


def test_another_run_of_the_same_decision_is_not_waited_for(root: Path) -> None:
    with project_lock(root / "state", "evertune retune d"), decision_lock(root, "d") as mine:
        assert not mine


def test_another_run_is_waited_for_only_so_long(root: Path) -> None:
    with (
        project_lock(root / "state", "evertune train"),
        pytest.raises(BusyError, match="'evertune retune d' cannot start: 'evertune train'"),
        decision_lock(root, "d", patience=0.0),
    ):
        pass


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        (None, NOW),
        ("newest", NOW),
        ("2024-11-01T06:00", datetime(2024, 11, 1, 6, tzinfo=UTC)),
        ("2024-11-01T06:00+02:00", datetime(2024, 11, 1, 4, tzinfo=UTC)),
    ],
)
def test_now_is_what_is_said_or_what_the_clock_says(
    tmp_path: Path, now: str | None, moment: datetime
):
    (tmp_path / "state").mkdir()
    assert resolve_now(production.project(tmp_path), now, real=NOW) == moment


def test_a_moment_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"expected an ISO time such as .* but got 'soon'"):
        resolve_now(production.project(tmp_path), "soon", real=NOW)


@pytest.mark.slow
def test_where_nothing_is_to_be_done_nothing_is(tmp_path: Path, state: Path) -> None:
    assert state.parent == tmp_path
    said: list[str] = []
    found, came = monitor_and_act(
        production.project(tmp_path), now=NOW, say=lambda name, _: said.append(name)
    )
    assert (found.decision.action, came, said) == ("nothing", None, ["monitor", "page"])
