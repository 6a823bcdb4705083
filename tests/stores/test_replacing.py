import pytest

from evertune.errors import UnsafeError
from evertune.files import atomic_write, remove_path


def test_a_file_is_replaced_only_when_all_is_written(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_failed_write_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b"new %d" % (1 // 0))
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_link_is_replaced_and_what_it_points_to_is_kept(tmp_path):
    kept, path = tmp_path / "cache", tmp_path / "a.txt"
    kept.write_text("old")
    path.symlink_to(kept)
    with atomic_write(path) as file:
        file.write(b"new")
    assert (path.is_symlink(), kept.read_text()) == (False, "old")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnsafeError, match=r"file/a\.txt cannot be written"):
        atomic_write(tmp_path / "file" / "a.txt").__enter__()


def test_removing_what_is_not_there_does_nothing(tmp_path):
    remove_path(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
