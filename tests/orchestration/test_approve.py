from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from pydantic import ValidationError

from evertune.config.loader import load_params
from evertune.files import template_folder
from evertune.orchestration.deployments import project_deployments
from evertune.orchestration.server_names import ProjectIdentity
from evertune.orchestration.tasks import Answer, ask_for_approval
from evertune.registry.decision_log import DecisionLog
from evertune.registry.promotion_records import Verdict
from tests.support import production, versioned

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

WAITS = Verdict("not enough evidence", ("waits",), version="3", waits_for_approval=True)


@pytest.fixture
def root(versions_root: Path, client: "SyncPrefectClient") -> Path:
    """Return a project whose version 3 waits, and whose flow that asks is deployed."""
    assert client.api_url
    made = versions_root
    DecisionLog(production.log_of(made)).save_record(versioned.waiting())
    for each in project_deployments(made, load_params(made), ProjectIdentity.of(made)):
        if each.flow_name == "approve":
            each.apply()
    return made


def asked(root: Path, client: "SyncPrefectClient") -> "list[FlowRun]":
    """Return the runs that ask about version 3, once it was asked for twice."""
    for _ in range(2):
        ask_for_approval(root, replace(WAITS, basis=str(root)))
    return [run for run in client.read_flow_runs() if str(root) in str(run.idempotency_key)]


def executed(run_id: UUID, client: "SyncPrefectClient") -> str:
    """Run a flow run as a runner's process does, and return the type of its state then."""
    from prefect.engine import handle_engine_signals
    from prefect.flow_engine import run_flow
    from prefect.flows import load_flow_from_entrypoint
    from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    flow = load_flow_from_entrypoint(f"{template_folder() / 'flows' / 'approve.py'}:approve")
    no_log = temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False})  # outlives the server
    with no_log, suppress(SystemExit), handle_engine_signals(run_id):  # a pause ends the process
        run_flow(flow, flow_run=client.read_flow_run(run_id))
    return str(client.read_flow_run(run_id).state.type.value)


@pytest.mark.parametrize("missing", [{"reason": " "}, {"by": ""}])
def test_an_answer_names_who_decides_and_why(missing: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Answer(**{"approve": True, "reason": "looked at slices", "by": "ada", **missing})


@pytest.mark.slow
def test_a_version_is_asked_for_once(root: Path, client: "SyncPrefectClient") -> None:
    (run,) = asked(root, client)
    assert run.name == "approve churn 3"


@pytest.mark.slow
def test_nothing_is_asked_where_nothing_waits(root: Path) -> None:
    assert not ask_for_approval(root, Verdict("keep", ("worse",), version="3"))


@pytest.mark.slow
@pytest.mark.parametrize(("approve", "champion"), [(True, "3"), (False, "2")])
def test_a_person_answers_in_prefect(
    root: Path, client: "SyncPrefectClient", approve: bool, champion: str
) -> None:
    (run,) = asked(root, client)
    assert executed(run.id, client) == "PAUSED"
    answer = {"approve": approve, "reason": "looked at slices", "by": "ada"}
    client.resume_flow_run(run.id, run_input=answer)
    assert executed(run.id, client) == "COMPLETED"
    assert versioned.aliases_of(root)["champion"] == champion
    assert DecisionLog(production.log_of(root)).records()[-1].by == "ada"
