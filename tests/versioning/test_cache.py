"""What dvc.lock and the files of DVC's cache say, read without DVC."""

import json

import pytest

from evertune.versioning.dvc import (
    folder_contents,
    iter_cache_objects,
    lock_outputs,
    read_md5s,
    with_folder_contents,
)

FILE, OTHER, FOLDER = "0" * 32, "1e" * 16, f"{'ef' * 16}.dir"
LOCK = f"""schema: '2.0'
stages:
  fit:
    cmd: "true"
    deps:
    - path: data/pool
      hash: md5
      md5: {FOLDER}
    - path: params.yaml
    outs:
    - path: data/model
      hash: md5
      md5: '{OTHER}'
    - path: data/metrics
      hash: md5
      md5: '{FILE}'
  frozen:
    cmd: "true"
"""


@pytest.fixture
def cache(tmp_path):
    """Return a cache with a file and with a folder of another file, and one half-written file."""
    listed = json.dumps([{"md5": OTHER, "relpath": "000001.zip"}])
    for md5, content in ((FILE, "rows"), (FOLDER, listed), (f"{FILE}.abcdefgh.tmp", "half")):
        path = tmp_path / md5[:2] / md5[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_the_outputs_of_stages_have_the_md5s_of_the_lock(tmp_path):
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK)
    assert lock_outputs(lock) == {"data/model": OTHER, "data/metrics": FILE}
    assert read_md5s(lock) == {FOLDER, FILE, OTHER}
    lock.write_text("schema: '2.0'\n")
    assert lock_outputs(lock) == {}


def test_every_file_of_the_cache_is_listed_that_is_written_in_full(cache):
    assert {each.md5: each.n_bytes for each in iter_cache_objects(cache)}[FILE] == 4
    assert {each.md5 for each in iter_cache_objects(cache)} == {FILE, FOLDER}


def test_a_folder_names_its_files_and_one_that_is_not_in_the_cache_names_none(cache):
    assert folder_contents(cache, FOLDER) == {"000001.zip": OTHER}
    assert folder_contents(cache, f"{'00' * 16}.dir") == {}
    assert with_folder_contents(cache, [FILE, FOLDER]) == {FILE, FOLDER, OTHER}
