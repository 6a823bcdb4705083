"""Labels of a table, and the log as a file: what needs a champion's schema and a log."""

import shutil

import pandas as pd
import pytest
from tests.flows.conftest import CHECKOUT as ROOT

from evertune.data.schema import TableSchema
from evertune.database import close_log, open_log
from evertune.errors import StageError, TableError
from evertune.files import write_record
from evertune.models.persistence import ModelMetadata
from evertune.monitoring.labels import LabelCounts, load_label_table
from evertune.monitoring.prediction_log import export_prediction_log, read_log
from evertune.registry import versions
from evertune.registry.mlflow_client import ModelDescription, open_run, open_tracking_store
from evertune.trials import Configuration
from tests.logs import CLASSES, append, day, logged

pytestmark = pytest.mark.slow
SCHEMA = TableSchema((), "left", "binary", CLASSES, identifier="customer")
EXAMPLE = pd.DataFrame({"age": [31]})
PAGE = ModelDescription("1", "", {"age": "any"}, {"prediction": "any"}, EXAMPLE, ("numpy",), {}, {})


@pytest.fixture
def root(tmp_path, state):
    """Return a project with a champion that has a schema and nothing else."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    store = open_tracking_store(state, "churn")
    write_record(
        tmp_path / "made" / "model.json", ModelMetadata(SCHEMA, Configuration("linear"), {})
    )
    run_id = open_run(store, "digest", title="search")
    version = versions.register_version(store, run_id, model=tmp_path / "made", page=PAGE)
    versions.promote_version(store, version.number, over=None)
    return tmp_path


@pytest.fixture
def log(root):
    opened = open_log(root / "state", model="churn")
    append(opened, logged("a", identifier="c1"), logged("b", identifier="c2"))
    yield opened
    close_log(opened)


def truths(log):
    frame = read_log(log, None, None, classes=CLASSES).dropna(subset="truth")
    return dict(zip(frame["id"], frame["truth"], strict=True))


def test_labels_come_by_the_id_of_their_prediction(root, log):
    table = pd.DataFrame({"prediction_id": ["a", "b", "later"], "left": ["no", "", "yes"]})
    assert load_label_table(root, table, now=day(9)) == LabelCounts(new=1, early=1)
    assert truths(log) == {"a": 0.0}


def test_labels_come_by_the_identifier_of_their_row(root, log):
    table = pd.DataFrame({"customer": ["c2", "c3"], "left": ["yes", "yes"]})
    assert load_label_table(root, table, now=day(9)) == LabelCounts(new=1, unknown=1)
    assert truths(log) == {"b": 1.0}


def test_a_table_of_all_labels_may_be_loaded_every_day(root, log):
    tables = [pd.DataFrame({"prediction_id": ["a"], "left": [value]}) for value in ("no", "yes")]
    times = [(0, 1), (0, 2), (1, 3)]
    counts = [load_label_table(root, tables[place], now=day(number)) for place, number in times]
    assert counts == [LabelCounts(new=1), LabelCounts(repeated=1), LabelCounts(corrected=1)]
    assert truths(log) == {"a": 1.0}


def test_labels_that_cannot_be_used_are_counted_and_the_others_kept(root, log):
    said = ["2024-01-02", "2024-01-02", "2099-01-01", "soon"]
    table = pd.DataFrame({"prediction_id": list("abab"), "left": ["no", "?", "no", "no"]})
    counts = load_label_table(root, table.assign(labelled_at=said), now=day(9))
    assert (counts.new, counts.refused, truths(log)) == (1, 3, {"a": 0.0})
    assert [fault.partition(", the")[0] for fault in counts.faults] == [
        "- column 'left': 1 of 4 cells are no labels",
        "- column 'labelled_at': 1 of 4 cells are no dates",
        "- column 'labelled_at': 1 of 4 labels are from the future",
    ]


def test_a_table_without_any_usable_label_is_refused(root):
    table = pd.DataFrame({"prediction_id": ["a"], "left": ["YESS"]})
    with pytest.raises(TableError, match=r"No label .*\n.*no labels.* Did you mean 'yes'\?"):
        load_label_table(root, table, now=day(9))


def test_a_table_that_lacks_columns_is_told_all_of_them(root):
    words = r"expected a column 'prediction_id' or 'customer'.*\n.*'left' with the labels"
    with pytest.raises(TableError, match=words):
        load_label_table(root, pd.DataFrame({"id": ["a"]}), now=day(9))


def test_without_a_champion_there_is_nothing_to_label(tmp_path, state):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    with pytest.raises(StageError, match="churn has no champion yet; run `evertune train`"):
        load_label_table(tmp_path, pd.DataFrame(), now=day(9))


def test_the_log_is_exported_with_the_champions_classes(root, log):
    assert export_prediction_log(root, root / "log.parquet", start=day(0), end=day(1)) == 2
    assert list(pd.read_parquet(root / "log.parquet")["p_1"]) == [0.75, 0.75]
