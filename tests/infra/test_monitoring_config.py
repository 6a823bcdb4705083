"""Prometheus' rules and the Grafana dashboard, held to the tools that read them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from ruamel.yaml import YAML

INFRA = Path(__file__).parents[2] / "infra"
DASHBOARD = INFRA / "grafana" / "dashboard.json"


@pytest.fixture
def promtool():
    """Return what runs promtool."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing: install the package prometheus")
    return lambda *words: subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, check=False
    )


def expressions():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_prometheus_takes_the_configuration_and_its_rules(promtool):
    done = promtool("check", "config", INFRA / "prometheus" / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_fires_when_it_should_and_not_before(promtool):
    done = promtool("test", "rules", INFRA / "prometheus" / "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_understands_every_expression_of_the_dashboard(promtool, tmp_path):
    rules = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(expressions())]
    with (tmp_path / "rules.yml").open("w") as file:
        YAML().dump({"groups": [{"name": "panels", "rules": rules}]}, file)
    done = promtool("check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def kept(ours, theirs):
    """Return whether all that we wrote is there; Grafana's own defaults may stand beside it."""
    if isinstance(ours, dict):
        return all(key in theirs and kept(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(kept, ours, theirs))
    return ours == theirs


def test_grafana_knows_every_key_of_the_dashboard():
    plugins.register_default_plugins()
    ours = json.loads(DASHBOARD.read_text())
    theirs = json.loads(json.dumps(Dashboard.from_json(ours), cls=JSONEncoder))
    assert [key for key in ours if not kept(ours[key], theirs.get(key))] == []


def test_panels_do_not_lie_over_each_other():
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
