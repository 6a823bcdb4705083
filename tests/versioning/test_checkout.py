import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from evertune.config.loader import load_params
from evertune.errors import UnsafeError
from evertune.versioning import dvc
from evertune.versioning.checkout import check_out, use_newest_clock
from tests.support.projects import commit, copied_project, copied_with_dvc

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a committed project with data that DVC knows and git does not; to be read only."""
    folder = copied_project(tmp_path_factory.mktemp("committed") / "project")
    commit(folder)
    dvc.ensure_project(folder)
    raw = folder / "data" / "raw" / "source.parquet"
    raw.parent.mkdir(parents=True)
    raw.write_bytes(b"rows")
    dvc.add_file(folder, raw)
    return folder


@pytest.fixture
def root(tmp_path: Path, committed: Path) -> Path:
    return copied_with_dvc(committed, tmp_path / "project")


def test_a_checkout_shares_the_state_of_the_project(root: Path) -> None:
    checkout = check_out(root)
    assert checkout.parent == root / "state" / "deployed"
    assert load_params(checkout).paths.state == load_params(root).paths.state


def test_a_checkout_starts_with_the_data_of_the_project(root: Path) -> None:
    checkout = check_out(root)
    source = load_params(checkout).paths.source
    assert source.read_bytes() == b"rows"
    assert dvc.recorded_hash(checkout, source) is not None


def test_versions_of_both_lie_in_one_store(root: Path) -> None:
    checkout = check_out(root)
    new = checkout / "data" / "raw" / "new"
    new.write_bytes(b"new rows")
    dvc.restore_by_md5(root, dvc.add_file(checkout, new), target=root / "data" / "new")
    assert (root / "data" / "new").read_bytes() == b"new rows"


def test_a_new_commit_takes_the_data_along_and_the_old_checkout_goes(root: Path) -> None:
    old = check_out(root)
    (old / "dvc.lock").write_text("schema: '2.0'\n")
    load_params(old).paths.source.write_bytes(b"newer rows")
    (root / "params.yaml").write_text((root / "params.yaml").read_text() + "# changed\n")
    commit(root)
    new = check_out(root)
    assert load_params(new).paths.source.read_bytes() == b"newer rows"
    assert [path.name for path in new.parent.iterdir() if path.is_dir()] == [new.name]


def test_a_checkout_that_stands_is_used_again_with_the_committed_clock(root: Path) -> None:
    use_newest_clock(check_out(root))
    assert load_params(check_out(root)).monitoring.now == "real"


def test_the_clock_of_a_checkout_leaves_the_project_as_it_is(root: Path) -> None:
    checkout = check_out(root)
    use_newest_clock(checkout)
    assert load_params(checkout).monitoring.now == "latest_event"
    assert load_params(root).monitoring.now == "real"


@pytest.mark.parametrize("move", [Path.rename, partial(shutil.copytree, symlinks=True)])
def test_a_moved_or_copied_project_is_checked_out_anew_with_the_data_of_its_checkout(
    root: Path, move: Callable[[Path, Path], Path]
) -> None:
    old = check_out(root)
    (old / "dvc.lock").write_text("schema: '2.0'\n")
    load_params(old).paths.source.write_bytes(b"newer rows")
    moved = move(root, root.with_name("moved"))
    checkout = check_out(moved)
    assert checkout.is_relative_to(moved)
    assert load_params(checkout).paths.state == load_params(moved).paths.state
    assert load_params(checkout).paths.source.read_bytes() == b"newer rows"
    assert [path.name for path in checkout.parent.iterdir() if path.is_dir()] == [checkout.name]
    assert check_out(moved) == checkout


def test_a_project_without_a_commit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match="git init"):
        check_out(copied_project(tmp_path / "project"))
