import json

from evertune.versioning.dvc import folder_contents, iter_cache_objects, with_folder_contents

FILE, OTHER, FOLDER = "ab" * 16, "cd" * 16, f"{'ef' * 16}.dir"


def put(store, md5, content):
    path = store / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def filled(store):
    put(store, FILE, "rows")
    put(store, FOLDER, json.dumps([{"md5": OTHER, "relpath": "000001.zip"}]))
    return store


def test_every_file_of_the_store_is_told_with_its_size(tmp_path):
    found = {each.md5: each.n_bytes for each in iter_cache_objects(filled(tmp_path))}
    assert found.keys() == {FILE, FOLDER}
    assert found[FILE] == 4


def test_what_is_being_written_is_none_of_them(tmp_path):
    put(tmp_path, f"{FILE}.abcdefgh.tmp", "half")
    assert list(iter_cache_objects(tmp_path)) == []


def test_a_folder_names_its_files_and_one_that_is_not_here_names_none(tmp_path):
    assert folder_contents(filled(tmp_path), FOLDER) == {"000001.zip": OTHER}
    assert folder_contents(tmp_path, f"{'00' * 16}.dir") == {}


def test_what_is_in_folders_is_needed_with_them(tmp_path):
    assert with_folder_contents(filled(tmp_path), [FILE, FOLDER]) == {FILE, FOLDER, OTHER}
