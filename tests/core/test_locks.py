from evertune.registry.reproduce import find_md5s, find_path_md5, lock_code, lock_outputs

A, B = "0" * 32, "1e" * 16
LOCK = {
    "stages": {
        "fit": {
            "deps": [
                {"path": "data/pool", "md5": f"{A}.dir"},
                {"path": "pipelines/fit.py", "md5": B},
                {"path": "params.yaml"},
            ],
            "outs": [{"path": "data/model", "md5": f"{B}.dir"}],
        },
        "frozen": {},
    }
}
TEXT = f"""    outs:
    - path: data/pool
      hash: md5
      md5: {A}.dir
    - path: data/trials.jsonl
      hash: md5
      md5: '{B}'
"""


def test_what_stages_wrote_and_what_code_they_used_is_told_apart():
    assert lock_outputs(LOCK) == {"data/model": f"{B}.dir"}
    assert lock_code(LOCK) == {"pipelines/fit.py": B}


def test_a_project_without_stages_wrote_nothing():
    assert lock_outputs({}) == {}


def test_every_md5_of_a_file_is_found_quoted_ones_too():
    assert find_md5s(TEXT) == {f"{A}.dir", B}


def test_a_longer_hash_is_no_md5():
    assert find_md5s(f"md5: {A}{A}\netag: {B}\n") == frozenset()


def test_the_md5_of_a_path_is_found_by_the_whole_path():
    assert find_path_md5(TEXT, "data/pool") == f"{A}.dir"
    assert find_path_md5(TEXT, "data/trials.jsonl") == B
    assert find_path_md5(TEXT, "data/poo") is None
