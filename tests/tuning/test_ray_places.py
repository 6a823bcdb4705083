from pathlib import Path

from evertune.search.ray_tune import MAX_FOLDER_LENGTH, ray_temp_folder

STATE = Path("/home/someone/projects/churn/state")


def test_a_project_has_one_folder_and_another_project_another():
    assert ray_temp_folder(STATE) == ray_temp_folder(STATE)
    assert ray_temp_folder(STATE) != ray_temp_folder(STATE.parent / "other")


def test_where_temporary_files_lie_deep_the_folder_stays_short(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", f"/tmp/{'deep' * 20}")
    assert len(str(ray_temp_folder(STATE))) < MAX_FOLDER_LENGTH
