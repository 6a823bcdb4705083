from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from evertune import failpoints
from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.errors import TableError
from evertune.files import read_record, read_table, write_record, write_table
from evertune.plan import Plan
from evertune.stages.snapshot import check_source, take_snapshot
from evertune.versioning.dvc import restore_by_md5

SHIPPED = Path(__file__).parents[2] / "params.yaml"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),  # DVC's own
]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "table.csv").write_text("age,left\n31,yes\n007,no\n")
    roles = {"source": "table.csv", "target": "left", "time": None}
    edit_section(tmp_path / "params.yaml", "data", roles)
    return tmp_path


def test_a_snapshot_keeps_the_source_as_it_is_written(root):
    taken = take_snapshot(root)
    table = read_table(root / "data/raw/source.parquet")
    assert table.to_dict("list") == {"age": ["31", "007"], "left": ["yes", "no"]}
    assert (taken.changed, taken.rows, taken.pushed) == (True, 2, None)


def test_a_table_that_cannot_be_used_is_refused_before_anything_is_written(root):
    before = sorted(root.rglob("*"))
    with pytest.raises(TableError, match=r"table.csv: the table cannot be used.\n- 2 rows, need"):
        check_source(root)
    assert sorted(root.rglob("*")) == before


def test_a_second_snapshot_of_the_same_source_changes_nothing(root):
    first = take_snapshot(root)
    pointer = (root / "data/raw/source.parquet.dvc").read_bytes()
    second = take_snapshot(root)
    assert (second.version, second.changed) == (first.version, False)
    assert (root / "data/raw/source.parquet.dvc").read_bytes() == pointer


def test_an_older_version_can_be_got_back(root):
    first = take_snapshot(root)
    (root / "table.csv").write_text("age,left\n50,yes\n")
    assert take_snapshot(root).changed
    restore_by_md5(root, first.version, target=root / "old.parquet")
    assert len(pd.read_parquet(root / "old.parquet")) == 2


def test_the_example_needs_no_file(root):
    edit_section(root / "params.yaml", "data", {"source": "example", "target": "churned"})
    assert take_snapshot(root).rows > 20_000


def test_a_plan_is_written_only_where_there_is_none(root):
    take_snapshot(root)
    plan = load_params(root).paths.plan
    assert read_record(plan, Plan) == Plan("tune")
    write_record(plan, Plan("refit"))
    take_snapshot(root)
    assert read_record(plan, Plan) == Plan("refit")


@pytest.mark.parametrize("point", ["snapshot.plan_reset", "snapshot.written"])
def test_new_rows_begin_a_new_search_wherever_the_snapshot_fails(root, monkeypatch, point):
    take_snapshot(root)
    plan = load_params(root).paths.plan
    write_record(plan, Plan("refit"))
    (root / "table.csv").write_text("age,left\n50,yes\n")
    monkeypatch.setattr(failpoints, "_visits", Counter())
    monkeypatch.setenv("EVERTUNE_FAULT", f"{point}:raise")
    with pytest.raises(RuntimeError):
        take_snapshot(root)
    monkeypatch.delenv("EVERTUNE_FAULT")
    assert read_record(plan, Plan) == Plan("tune")
    take_snapshot(root)
    assert read_record(plan, Plan) == Plan("tune")
    assert len(read_table(root / "data/raw/source.parquet")) == 1


def test_rows_of_production_stay_and_are_none_at_first(root):
    absorbed = root / "data/raw/production_labels.parquet"
    take_snapshot(root)
    assert list(read_table(absorbed)) == ["moment"]
    write_table(absorbed, pd.DataFrame({"moment": pd.to_datetime(["2024-01-01"])}))
    take_snapshot(root)
    assert len(read_table(absorbed)) == 1


def test_a_source_that_cannot_be_read_leaves_the_last_snapshot(root):
    first = take_snapshot(root)
    (root / "table.csv").write_text("age,left\n31\n")
    with pytest.raises(TableError, match="row 1 has fewer than 2 cells"):
        take_snapshot(root)
    (root / "table.csv").write_text("age,left\n31,yes\n007,no\n")
    assert take_snapshot(root).version == first.version
