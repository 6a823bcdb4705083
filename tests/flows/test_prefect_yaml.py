from importlib import import_module
from pathlib import Path
from uuid import UUID

import pytest
from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel
from prefect.events import DeploymentEventTrigger
from ruamel.yaml import YAML

from evertune.config.loader import load_params
from evertune.orchestration.automations import retune_automation
from evertune.orchestration.deployments import FLOWS

ROOT = Path(__file__).parents[2]
_ANY = UUID(int=0)


@pytest.fixture
def deployments() -> dict[str, DeploymentConfig]:
    """Return the deployments of infra/prefect.yaml, as Prefect reads them, by their flows."""
    read = PrefectYamlModel.model_validate(YAML(typ="safe").load(ROOT / "infra" / "prefect.yaml"))
    return {_flow(each).name: each for each in read.deployments}


def _flow(deployment: DeploymentConfig):
    place, _, name = str(deployment.entrypoint).partition(":")
    return getattr(import_module(place.removesuffix(".py").replace("/", ".")), name)


def test_a_worker_runs_what_up_runs(deployments) -> None:
    places = {
        name: f"{_flow(each).__module__}.{_flow(each).fn.__name__}"
        for name, each in deployments.items()
    }
    assert places == FLOWS


def test_a_worker_watches_at_the_times_of_params(deployments) -> None:
    (schedule,) = deployments["monitor"].schedules
    assert (schedule.cron, schedule.timezone) == (load_params(ROOT).monitoring.cron, "UTC")


@pytest.mark.parametrize("name", FLOWS)
def test_a_deployment_of_the_worker_is_named_as_the_model_and_runs_alone(deployments, name) -> None:
    deployment = deployments[name]
    assert deployment.name == load_params(ROOT).registry.name
    assert deployment.concurrency_limit.limit == 1
    assert set(deployment.parameters) == {"root"}


def test_the_trigger_of_the_worker_is_that_of_up(deployments) -> None:
    (given,) = deployments["retune"].triggers
    trigger = DeploymentEventTrigger.model_validate(given)
    own = retune_automation(load_params(ROOT).registry.name, _ANY)
    assert (trigger.expect, trigger.match) == (own.trigger.expect, own.trigger.match)
    assert trigger.parameters == own.actions[0].parameters
