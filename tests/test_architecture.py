"""Who may import whom, light imports, and dvc.yaml held to what the code imports."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import (
    GRAPH,
    ROOT,
    circles,
    graph,
    reached,
    wrong_arrows,
    wrong_doors,
    wrong_stages,
)

LIGHT = ["flows.cli", *(f"pipelines.{stage}" for stage in GRAPH if stage != "search")]
HEAVY = {"prefect", "ray", "mlflow", "dvc"}
RULES = [wrong_arrows, wrong_doors, circles, wrong_stages]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule):
    breaches = rule(ROOT)
    assert not breaches, "\n".join(breaches)


def test_dvc_yaml_draws_the_graph_of_the_design():
    drawn = graph(ROOT)
    assert {s: reached(s, drawn) for s in drawn} == {s: reached(s, GRAPH) for s in GRAPH}


@pytest.mark.parametrize("module", LIGHT)
def test_a_module_is_imported_without_the_heavy_tools(module):
    program = f"import sys, {module}; print(sorted(set(sys.modules) & {HEAVY}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


SOUND = {
    "flows/b.py": "import prefect\nfrom pipelines.prepare import run\n",
    "pipelines/params.py": "import pipelines.errors\nfrom pipelines.core.kinds import Kind\n",
    "pipelines/errors.py": "class InputError(Exception): ...\n",
    "pipelines/core/kinds.py": "TEMPLATE = 'page.jinja'\n",
    "pipelines/core/page.jinja": "{{ title }}\n",
    "pipelines/core/unused.py": "",
    "pipelines/stores/files.py": "from pipelines.core.kinds import Kind\n",
    "pipelines/tuning/trials.py": "import ray\n",
}
STAGE = """  {stage}:
    cmd: python -m pipelines.{stage}
    params: [paths]
    deps:
      - ${{paths.source}}
      - pipelines/{stage}.py
      - pipelines/core/kinds.py
      - pipelines/core/page.jinja
      - infra/constraints.txt
"""
VERB = "def run(*, paths):\n    from pipelines.stores import files\n    print(paths.source)\n"


def house(root: Path, **changed: str) -> Path:
    """Return a small sound house, but for the files that are given."""
    verbs = {f"pipelines/{stage}.py": VERB for stage in GRAPH}
    pipeline = "stages:\n" + "".join(STAGE.format(stage=stage) for stage in GRAPH)
    for place, text in (SOUND | verbs | {"dvc.yaml": pipeline} | changed).items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_house_keeps_the_rule(rule, tmp_path):
    assert rule(house(tmp_path)) == []


BREACHES = [
    (wrong_arrows, "pipelines/core/a.py", "from pipelines.stores.files import b", "stores"),
    (wrong_arrows, "pipelines/core/a.py", "def f():\n    import pipelines.errors", "errors"),
    (wrong_arrows, "pipelines/tuning/a.py", "from pipelines import params", "params"),
    (wrong_arrows, "pipelines/stores/a.py", "from pipelines.tuning.trials import b", "tuning"),
    (wrong_arrows, "pipelines/a.py", "from flows.b import c", "flows"),
    (wrong_arrows, "pipelines/a.py", "import_module('flows.b')", "flows"),
    (wrong_arrows, "pipelines/a.py", "from pipelines.split import run", "pipelines.split"),
    (wrong_doors, "pipelines/a.py", "def f():\n    from prefect import flow", "flows/"),
    (wrong_doors, "flows/a.py", "import ray.tune", "pipelines/tuning/"),
    (wrong_doors, "flows/a.py", "import mlflow", "tracking.py"),
    (wrong_doors, "pipelines/stores/a.py", "from dvc.repo import Repo", "versions.py"),
    (wrong_doors, "pipelines/stores/a.py", "import git", "versions.py"),
    (wrong_doors, "pipelines/stores/a.py", "import sqlalchemy", "sources.py"),
    (wrong_doors, "pipelines/stores/files.py", "import sqlite3", "predictions.py"),
    (wrong_doors, "pipelines/monitor.py", "import psycopg", "database.py"),
    (circles, "pipelines/errors.py", "def f():\n    from pipelines.params import g", "circle"),
    (wrong_stages, "pipelines/split.py", VERB.replace("paths", "paths, split"), "- split"),
    (wrong_stages, "pipelines/core/kinds.py", "import pipelines.core.unused", "core/unused.py"),
    (wrong_stages, "pipelines/stores/files.py", "", "fit: deps"),
    (wrong_stages, "pipelines/fit.py", f"{VERB}print(paths.model)", "paths.model"),
    (wrong_stages, "pipelines/fit.py", f"{VERB}import pipelines.core.unused", "fit: deps"),
]


@pytest.mark.parametrize(("rule", "place", "text", "words"), BREACHES)
def test_a_breach_of_the_rule_is_found(rule, place, text, words, tmp_path):
    breaches = rule(house(tmp_path, **{place: text}))
    assert any(words in breach for breach in breaches)


@pytest.mark.parametrize("place", ["sources", "database", "predictions", "decisions"])
def test_a_tool_may_have_several_doors(place, tmp_path):
    assert (
        wrong_doors(house(tmp_path, **{f"pipelines/stores/{place}.py": "import sqlalchemy"})) == []
    )


def test_what_only_refuses_is_no_dependency(tmp_path):
    checks = {"pipelines/params.py": "import pipelines.core.unused\n"}
    verb = {"pipelines/split.py": f"from pipelines import params\n{VERB}"}
    assert wrong_stages(house(tmp_path, **checks, **verb)) == []


def test_another_graph_is_seen(tmp_path):
    text = "stages:\n  split:\n    deps: [a]\n    outs: [b: {}]\n  fit:\n    deps: [b]\n"
    assert graph(house(tmp_path, **{"dvc.yaml": text})) == {"split": set(), "fit": {"split"}}
