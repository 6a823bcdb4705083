from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.states import Running, Scheduled

from evertune.config.loader import load_params
from evertune.orchestration.deployments import (
    FLOWS,
    delete_missed_runs,
    deployment_tags,
    mark_abandoned_runs_crashed,
    project_deployments,
)

ROOT = Path(__file__).parents[2]
NOW, DAY = datetime(2026, 1, 10, tzinfo=UTC), timedelta(days=1)


@flow
def look() -> None: ...


@pytest.fixture
def deployment(client: SyncPrefectClient) -> UUID:
    daily = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=DAY, anchor_date=NOW))
    return client.create_deployment(
        client.create_flow(look), str(uuid4()), entrypoint="nothing.look", schedules=[daily]
    )


def of(name: str, *, every: timedelta | None = None):
    return next(
        each
        for each in project_deployments(ROOT, load_params(ROOT), every=every)
        if each.flow_name == name
    )


@pytest.mark.parametrize("name", FLOWS)
def test_every_flow_has_a_deployment_that_runs_alone_in_the_checkout(name) -> None:
    made = of(name)
    assert (made.name, made.parameters) == ("churn", {"root": str(ROOT)})
    assert (made.concurrency_limit, made.paused) == (1, False)


def test_production_is_watched_by_the_cron_of_params() -> None:
    (schedule,) = of("monitor").schedules
    assert schedule.schedule.cron == load_params(ROOT).monitoring.cron


def test_production_that_is_played_is_watched_more_often() -> None:
    (schedule,) = of("monitor", every=timedelta(seconds=30)).schedules
    assert schedule.schedule.interval == timedelta(seconds=30)


@pytest.mark.parametrize("name", ["train", "retune"])
def test_what_needs_no_schedule_has_none(name) -> None:
    assert of(name).schedules == []


def missed(client: SyncPrefectClient, deployment: UUID) -> list[datetime]:
    runs = [run for run in client.read_flow_runs() if run.deployment_id == deployment]
    times = [run.expected_start_time for run in runs]
    return sorted(time for time in times if time < NOW + DAY)  # the server plans further ahead


@pytest.mark.slow
def test_of_runs_that_a_schedule_missed_the_last_is_made_up_for(client, deployment) -> None:
    days = {"start_time": str(NOW - 3 * DAY), "end_time": str(NOW + DAY / 2), "min_runs": 4}
    client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json=days)
    assert len(missed(client, deployment)) == 4
    delete_missed_runs(client, [deployment], now=NOW + DAY / 2)
    assert missed(client, deployment) == [NOW]


@pytest.mark.slow
def test_a_request_that_waited_is_kept(client, deployment) -> None:
    for _ in range(3):
        client.create_flow_run_from_deployment(
            deployment, state=Scheduled(scheduled_time=NOW - DAY)
        )
    delete_missed_runs(client, [deployment], now=NOW)
    assert missed(client, deployment) == 3 * [NOW - DAY]


@pytest.mark.slow
def test_a_run_whose_runner_was_killed_ends_as_crashed(client) -> None:
    tags = deployment_tags(load_params(ROOT))
    ours = client.create_flow_run(look, tags=tags, state=Running())
    others = client.create_flow_run(look, tags=["other"], state=Running())
    mark_abandoned_runs_crashed(client, tags)
    found = {run.id: run.state_type for run in client.read_flow_runs()}
    assert (found[ours.id], found[others.id]) == ("CRASHED", "RUNNING")
