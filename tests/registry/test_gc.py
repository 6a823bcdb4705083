import json
import os
import time

import pytest

from evertune.errors import InputError
from evertune.files import project_lock
from evertune.registry.gc import (
    collect_garbage,
    md5s_needed_by_folder,
    md5s_needed_by_versions,
    preview_garbage,
)
from evertune.registry.run_page import RunPage
from evertune.search.ray_guardian import ray_temp_folder
from evertune.versioning import dvc
from evertune.versioning.dvc import iter_cache_objects
from tests.support import production
from tests.support.projects import copied_with_dvc
from tests.support.registries import open_state

pytestmark = pytest.mark.slow
HOUR = 3600


@pytest.fixture(scope="module")
def two_snapshots(tmp_path_factory):
    """Return a project in whose store the older of two versions is named by nothing."""
    folder = production.project(tmp_path_factory.mktemp("snapshots"))
    dvc.ensure_project(folder)
    for text in ("old", "new"):
        (folder / "rows.txt").write_text(text)
        dvc.add_file(folder, folder / "rows.txt")
    return folder


@pytest.fixture
def root(tmp_path, state, two_snapshots):
    """Return a copy of that project."""
    assert state.exists()
    return copied_with_dvc(two_snapshots, tmp_path)


def texts(root):
    return {each.path.read_text() for each in iter_cache_objects(dvc.cache_folder(root))}


def removed(found):
    return {part.what: part.count for part in found.removed}


def file_of(path, *, age=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (time.time() - age, time.time() - age))


def test_what_nothing_names_goes_and_what_the_project_names_stays(root):
    found = collect_garbage(root)
    assert texts(root) == {"new"}
    assert [(part.what, part.count) for part in found.kept] == [("the project as it is", 1)]
    assert found.megabytes == pytest.approx(3e-6)


def test_a_preview_removes_nothing_and_files_that_are_young_enough_stay(root):
    assert removed(preview_garbage(root)) == {"files that no version and no project needs": 1}
    found = collect_garbage(root, keep_days=1)
    assert texts(root) == {"old", "new"}
    assert "files that are younger than was asked for" in {part.what for part in found.kept}


@pytest.fixture
def sharing(root):
    """Return another project that keeps its versions where `root` does."""
    other = root.parent / f"{root.name}-other"
    (other / "state").mkdir(parents=True)
    production.project(other)
    dvc.ensure_project(other)
    dvc.share_cache(other, root)
    (other / "own.txt").write_text("of the other")
    dvc.add_file(other, other / "own.txt")
    return other


def test_a_shared_cache_keeps_what_the_named_projects_need_and_needs_their_names(root, sharing):
    with pytest.raises(InputError, match="which other projects use too"):
        collect_garbage(sharing)
    assert texts(sharing) == {"old", "new", "of the other"}
    collect_garbage(sharing, others=[root])
    assert texts(sharing) == {"new", "of the other"}


def test_the_remote_keeps_all_that_it_has(root, tmp_path):
    remote = tmp_path.parent / f"{tmp_path.name}-remote"
    (root / ".dvc/config").write_text(
        f"[core]\n    remote = far\n['remote \"far\"']\n    url = {remote}\n"
    )
    dvc.push_to_remote(root)
    (root / "rows.txt").write_text("newest")
    dvc.add_file(root, root / "rows.txt")
    collect_garbage(root)
    assert texts(root) == {"newest"}
    assert [path.read_text() for path in remote.rglob("*") if path.is_file()] == ["new"]


def test_a_version_that_is_just_made_again_stays_and_others_go(root):
    places = [root / "state" / "reproduced" / number for number in ("1", "2")]
    for place in places:
        file_of(place / "params.yaml")
    with project_lock(places[0] / "state", "evertune reproduce 1"):
        collect_garbage(root)
    assert [place.exists() for place in places] == [True, False]


def test_what_a_killed_process_left_goes_after_an_hour(root):
    half = [root / "data" / ".model.part" / "model.json", root / "state" / ".a.json.0f.part"]
    for path in half:
        file_of(path, age=2 * HOUR)
    os.utime(half[0].parent, (0, 0))
    file_of(root / "data" / ".young.json.1e.part")
    assert removed(collect_garbage(root))["files that a killed process left half-written"] == 2
    assert (root / "data" / ".young.json.1e.part").exists()


def test_the_folder_that_a_killed_ray_left_goes(root):
    file_of(ray_temp_folder(root / "state") / "session" / "log")
    collect_garbage(root)
    assert not ray_temp_folder(root / "state").exists()


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


@pytest.fixture
def objects(tmp_path):
    """Return a store with the list of a pool and the list of a model's files."""
    for folder, name in ((POOL, ENTRY), (f"{MODEL}.dir", FILE)):
        path = tmp_path / "objects" / folder[:2] / folder[2:]
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([{"md5": name, "relpath": "a"}]))
    return tmp_path / "objects"


@pytest.fixture
def store(champion_root, learned):
    """Return a registry with a version of which data is known, and one of another kind."""
    store = open_state(champion_root / "state")
    store.tag_version("1", {"dvc.source": SOURCE})
    production.champion(champion_root, learned, identity="2")
    return store


def needs(store, objects):
    return dict(md5s_needed_by_versions(store, objects=objects, pool="data/pool"))


def test_a_version_needs_the_data_that_it_is_tagged_with(store, objects):
    assert needs(store, objects) == {"churn 1": frozenset({SOURCE})}


def test_it_needs_all_that_its_lock_names_but_the_models_in_the_pool(store, objects, tmp_path):
    (tmp_path / "dvc.lock").write_text(LOCK)
    page = RunPage("a search", "", files=((tmp_path / "dvc.lock", "project"),))
    store.log_page(store.version("1").run_id, page)
    assert needs(store, objects)["churn 1"] == {SOURCE, POOL, f"{MODEL}.dir", FILE}


def test_versions_of_other_models_in_the_same_registry_are_asked_too(store, objects):
    assert needs(store.of_model("houses"), objects).keys() == {"churn 1"}


def test_a_project_needs_what_its_pointers_name(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    dvc.ensure_project(root)
    (root / "rows.txt").write_text("rows")
    md5 = dvc.add_file(root, root / "rows.txt")
    assert md5s_needed_by_folder(root, objects=dvc.cache_folder(root)) == {md5}
