from evertune.versioning.dvc import lock_outputs, read_md5s

A, B = "0" * 32, "1e" * 16
LOCK = f"""schema: '2.0'
stages:
  fit:
    cmd: "true"
    deps:
    - path: data/pool
      hash: md5
      md5: {A[:-1]}a.dir
    - path: params.yaml
    outs:
    - path: data/model
      hash: md5
      md5: '{B}'
    - path: data/metrics
      hash: md5
      md5: '{A}'
  frozen:
    cmd: "true"
"""


def test_what_stages_wrote_is_told_by_its_path(tmp_path):
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert lock_outputs(tmp_path / "dvc.lock") == {"data/model": B, "data/metrics": A}


def test_a_project_without_stages_wrote_nothing(tmp_path):
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    assert lock_outputs(tmp_path / "dvc.lock") == {}


def test_every_md5_of_a_file_is_found_quoted_ones_too(tmp_path):
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert read_md5s(tmp_path / "dvc.lock") == {f"{A[:-1]}a.dir", A, B}
