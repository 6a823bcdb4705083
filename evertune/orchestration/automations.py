"""What the server does by itself: start the retune, and tell people; kept in line, never doubled.

An automation is found by its name and brought in line; one of this model that is no longer wanted
is removed.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import RunDeployment, SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from evertune.errors import ParamsError
from evertune.monitoring.state import REQUEST_ACTIONS

DECISION_EVENT = "evertune.decision"
FAILED_ACTION_EVENT = "prefect.automation.action.failed"
FAILED_RUN_EVENTS = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
NOTIFICATION_SUBJECT = "{{ event.payload.model }}: {{ event.payload.action }}"
NOTIFICATION_BODY = (
    "Decision {{ event.payload.decision }} about version {{ event.payload.champion }}:\n"
    "{% for reason in event.payload.reasons %}- {{ reason }}\n{% endfor %}"
)
# A plain template arrives as text whatever it holds; an id such as 12e4 must stay text.
DECISION_ID_PARAMETER = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.payload.decision | tojson }}"},
}

ResourceLabels = dict[str, str | list[str]]


def sync_automations(
    client: SyncPrefectClient, model: str, *, retune: UUID, notify: Sequence[str]
) -> tuple[Automation, ...]:
    """Have the server hold exactly the automations of a model, and return them.

    Parameters
    ----------
    client : SyncPrefectClient
    model : str
        `registry.name`.
    retune : UUID
        The deployment that follows a decision.
    notify : sequence of str
        Prefect blocks, as `type-slug/name`.

    Raises
    ------
    ParamsError
        A block is not there.
    """
    blocks = [_block_id(client, name) for name in notify]
    started = _create_or_update(client, retune_automation(model, retune))
    kept = [
        started,
        *(
            _create_or_update(client, each)
            for each in _notification_automations(model, started.id, blocks)
        ),
    ]
    names = {each.name for each in kept}
    for each in client.read_automations():
        if _automation_tag(model) in each.tags and each.name not in names:
            client.delete_automation(each.id)
    return tuple(kept)


def retune_automation(model: str, deployment: UUID) -> AutomationCore:
    """Return what starts the retune deployment with the id of a decision that asks for one."""
    wanted: ResourceLabels = {
        "prefect.resource.id": _resource_id(model),
        "evertune.action": sorted(REQUEST_ACTIONS),
    }
    action = RunDeployment(
        source="selected",
        deployment_id=deployment,
        parameters={"decision_id": DECISION_ID_PARAMETER},
        job_variables=None,
    )
    return _automation(
        model, "retune", _event_trigger({DECISION_EVENT}, match=wanted), actions=[action]
    )


def _notification_automations(
    model: str, started: UUID, blocks: Sequence[UUID]
) -> Iterator[AutomationCore]:
    if not blocks:
        return
    decisions = _event_trigger({DECISION_EVENT}, match={"prefect.resource.id": _resource_id(model)})
    yield _automation(
        model,
        "tell decisions",
        decisions,
        actions=_notification_actions(blocks, NOTIFICATION_SUBJECT, NOTIFICATION_BODY),
    )
    # Its own failures are left out: telling of them would fail again, without an end.
    failed = _event_trigger(
        {FAILED_ACTION_EVENT}, match={"prefect.resource.id": f"prefect.automation.{started}"}
    )
    text = "{{ event.payload.reason }}"
    title = f"{model}: a decision could not start its run"
    yield _automation(
        model, "tell failed starts", failed, actions=_notification_actions(blocks, title, text)
    )
    tag: ResourceLabels = {
        "prefect.resource.id": f"prefect.tag.{run_tag(model)}",
        "prefect.resource.role": "tag",
    }
    runs = _event_trigger(
        FAILED_RUN_EVENTS, match={"prefect.resource.id": "prefect.flow-run.*"}, related=tag
    )
    title = f"{model}: " + "{{ flow.name }} {{ event.payload.validated_state.name }}"
    text = "{{ event.payload.validated_state.message }}"
    yield _automation(
        model, "tell failed runs", runs, actions=_notification_actions(blocks, title, text)
    )


def run_tag(model: str) -> str:
    """Return the tag of every deployed run of a model."""
    return f"deployed:{model}"


def _automation(
    model: str,
    purpose: str,
    trigger: EventTrigger,
    *,
    actions: Sequence[RunDeployment | SendNotification],
) -> AutomationCore:
    return AutomationCore(
        name=f"evertune {model}: {purpose}",
        tags=[_automation_tag(model)],
        trigger=trigger,
        actions=list(actions),
    )


def _event_trigger(
    events: set[str],
    *,
    match: ResourceLabels,
    related: ResourceLabels | None = None,
) -> EventTrigger:
    return EventTrigger(
        expect=events,
        match=ResourceSpecification.model_validate(match),
        match_related=ResourceSpecification.model_validate(related or {}),
        posture=Posture.Reactive,
        threshold=1,
    )


def _notification_actions(
    blocks: Sequence[UUID], subject: str, body: str
) -> list[SendNotification]:
    return [SendNotification(block_document_id=each, subject=subject, body=body) for each in blocks]


def _create_or_update(client: SyncPrefectClient, wanted: AutomationCore) -> Automation:
    known = client.read_automations_by_name(wanted.name)
    for doubled in known[1:]:
        client.delete_automation(doubled.id)
    if not known:
        return Automation(id=client.create_automation(wanted), **wanted.model_dump())
    # The client leaves out what was never set, and the kinds of triggers and actions with it.
    whole = AutomationCore.model_validate(wanted.model_dump(exclude={"owner_resource"}))
    client.update_automation(known[0].id, whole)
    return Automation(id=known[0].id, **whole.model_dump())


def _block_id(client: SyncPrefectClient, name: str) -> UUID:
    slug, _, own = name.partition("/")
    try:
        return client.read_block_document_by_name(own, slug).id
    except ObjectNotFound as error:
        raise ParamsError(
            f"monitoring.notify: expected a Prefect block '{name}', but the server at"
            f" {client.api_url} has none. While `evertune up` runs without that line, make it on"
            " Prefect's page 'Blocks', then start again."
        ) from error


def _resource_id(model: str) -> str:
    return f"evertune.model.{model}"


def _automation_tag(model: str) -> str:
    return f"evertune:{model}"
