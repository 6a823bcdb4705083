import json
from dataclasses import replace

import pytest

from evertune.registry import versions as registry
from evertune.registry.gc import md5s_needed_by_folder, md5s_needed_by_versions
from evertune.registry.mlflow_client import RunPage, open_tracking_store
from evertune.registry.runs import log_run_page
from evertune.versioning import dvc
from tests import production

pytestmark = pytest.mark.slow
SOURCE, POOL, ENTRY, MODEL, FILE = ("aa" * 16, f"{'bb' * 16}.dir", "cc" * 16, "dd" * 16, "ee" * 16)
LOCK = f"""schema: '2.0'
stages:
  search:
    outs:
    - path: data/pool
      hash: md5
      md5: {POOL}
  fit:
    outs:
    - path: data/model
      hash: md5
      md5: {MODEL}.dir
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return production.learned(tmp_path_factory.mktemp("made"))


@pytest.fixture
def objects(tmp_path):
    """Return a store with the list of a pool and the list of a model's files."""
    for folder, name in ((POOL, ENTRY), (f"{MODEL}.dir", FILE)):
        path = tmp_path / "objects" / folder[:2] / folder[2:]
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([{"md5": name, "relpath": "a"}]))
    return tmp_path / "objects"


@pytest.fixture
def store(state, tmp_path, made):
    """Return a registry with a version of which data is known, and one of another kind."""
    production.champion(tmp_path, made)
    store = open_tracking_store(state, "churn")
    registry.tag_version(store, "1", {"dvc.source": SOURCE})
    production.champion(tmp_path, made, identity="2")
    return store


def needs(store, objects):
    return dict(md5s_needed_by_versions(store, objects=objects, pool="data/pool"))


def test_a_version_needs_the_data_that_it_is_tagged_with(store, objects):
    assert needs(store, objects) == {"churn 1": frozenset({SOURCE})}


def test_it_needs_all_that_its_lock_names_but_the_models_in_the_pool(store, objects, tmp_path):
    (tmp_path / "dvc.lock").write_text(LOCK)
    page = RunPage("a search", "", files=((tmp_path / "dvc.lock", "project"),))
    log_run_page(store, registry.get_version(store, "1").run_id, page=page)
    assert needs(store, objects)["churn 1"] == {SOURCE, POOL, f"{MODEL}.dir", FILE}


def test_versions_of_other_models_in_the_same_registry_are_asked_too(store, objects):
    assert needs(replace(store, name="houses"), objects).keys() == {"churn 1"}


def test_a_project_needs_what_its_pointers_name(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    dvc.ensure_project(root)
    (root / "rows.txt").write_text("rows")
    md5 = dvc.add_file(root, root / "rows.txt")
    assert md5s_needed_by_folder(root, objects=dvc.cache_folder(root)) == {md5}
