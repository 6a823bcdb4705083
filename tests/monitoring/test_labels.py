"""Late labels: their rules against a plain dictionary, and tables of them."""

import shutil
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.data.schema import TableSchema
from evertune.database import open_log
from evertune.errors import StageError, TableError
from evertune.files import write_record
from evertune.models.persistence import ModelMetadata
from evertune.monitoring.load_labels import load_label_table
from evertune.monitoring.prediction_log import (
    Label,
    LabelCounts,
    export_prediction_log,
    open_prediction_log,
)
from evertune.registry.run_page import ModelDescription
from evertune.trials import Configuration
from tests.support.logs import CLASSES, append, day, label, logged, prediction_log
from tests.support.projects import CHECKOUT
from tests.support.registries import make_champion, open_state

SCHEMA = TableSchema((), "left", "binary", CLASSES, identifier="customer")
EXAMPLE = pd.DataFrame({"age": [31]})
PAGE = ModelDescription("1", "", {"age": "any"}, {"prediction": "any"}, EXAMPLE)
IDS, VALUES, DAYS = st.sampled_from("abc"), st.sampled_from(CLASSES), st.integers(1, 5)


class LateLabels(RuleBasedStateMachine):
    """Predictions and labels in any order; the dictionary holds the events of each id in order."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.log = prediction_log(open_log(Path(self.folder.name), model="m"))
        self.predicted: set[str] = set()
        self.events: dict[str, list[tuple[int, str]]] = {}
        self.clock = 0

    def teardown(self):
        self.log.close()
        self.folder.cleanup()

    def effective(self, row_id, *, known_at=99):
        """Return value and first day of the effective label: the newest, of equal ones the last."""
        known = [event for event in self.events.get(row_id, []) if event[0] <= known_at]
        if not known:
            return None
        value = max(enumerate(known), key=lambda item: (item[1][0], item[0]))[1][1]
        return value, min(number for number, each in known if each == value)

    @rule(row_id=IDS)
    def predict(self, row_id):
        append(self.log, logged(row_id))
        self.predicted.add(row_id)

    @rule(row_id=IDS, value=VALUES, number=DAYS, dated=st.booleans())
    def give_label(self, row_id, value, number, dated):
        current = self.effective(row_id)
        if current is None:
            expected = "new" if row_id in self.predicted else "early"
        else:
            is_known = (number, value) in self.events[row_id]
            expected = "repeated" if is_known or current[0] == value else "corrected"
        self.clock += 1
        counts = self.log.append_labels(
            [Label(row_id, value, day(number), dated)], received=day(100 + self.clock)
        )
        assert counts == LabelCounts(**{expected: 1})
        events = self.events.setdefault(row_id, [])
        if (dated or expected != "repeated") and (number, value) not in events:
            events.append((number, value))

    @rule(known_at=DAYS)
    def read_the_past(self, known_at):
        self.check(known_at)

    @invariant()
    def the_log_agrees(self):
        self.check(99)

    def check(self, known_at):
        frame = self.log.read(classes=CLASSES, known_at=day(known_at)).set_index("id")
        assert set(frame.index) == self.predicted
        for row_id in self.predicted:
            effective = self.effective(row_id, known_at=known_at)
            row = frame.loc[row_id]
            if effective is None:
                assert pd.isna(row["truth"])
                assert pd.isna(row["labelled"])
            else:
                assert CLASSES[int(row["truth"])] == effective[0]
                assert row["labelled"] == pd.Timestamp(day(effective[1])).tz_localize(None)


LateLabels.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
TestLateLabels = LateLabels.TestCase


def labels_of(log):
    frame = log.read(classes=CLASSES).dropna(subset="truth")
    return dict(zip(frame["id"], frame["truth"], strict=True))


def test_one_batch_may_label_correct_and_repeat(log):
    assert label(log, ("early", "yes", 1)) == LabelCounts(early=1)
    append(log, logged("a"), logged("early"))
    counts = label(log, ("a", "yes", 1), ("a", "no", 5), ("early", "yes", 3), ("unseen", "no", 1))
    assert counts == LabelCounts(new=1, corrected=1, repeated=1, early=1)
    assert labels_of(log) == {"a": 0.0, "early": 1.0}
    assert label(log) == LabelCounts()


def test_an_identifier_means_its_latest_prediction(log):
    append(log, logged("a", day(2), identifier="c1"), logged("b", day(1), identifier="c1"))
    assert log.find_ids_by_identifier(["c1", "c2"]) == {"c1": "a"}


@pytest.fixture
def root(tmp_path, state):
    """Return a project with a champion that has a schema and nothing else."""
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    registry = open_state(state)
    metadata = ModelMetadata(SCHEMA, Configuration("linear"), {})
    write_record(tmp_path / "made" / "model.json", metadata)
    run_id = registry.open_run("digest", title="search")
    version = registry.register_version(run_id, model=tmp_path / "made", description=PAGE)
    make_champion(registry, version.number)
    return tmp_path


@pytest.fixture
def champions_log(root):
    with open_prediction_log(load_params(root)) as log:
        append(log, logged("a", identifier="c1"), logged("b", identifier="c2"))
        yield log


@pytest.mark.slow
def test_a_table_of_labels_may_be_loaded_every_day_by_id_or_identifier(root, champions_log):
    by_id = pd.DataFrame({"prediction_id": ["a", "b", "later"], "left": ["no", "", "yes"]})
    by_identifier = pd.DataFrame({"customer": ["c2", "c3"], "left": ["yes", "yes"]})
    first = LabelCounts(new=1, early=1, unknown_example="'later'")
    assert load_label_table(root, by_id, now=day(9)) == first
    first = LabelCounts(new=1, unknown=1, unknown_example="'c3'")
    assert load_label_table(root, by_identifier, now=day(9)) == first
    again = load_label_table(root, by_id, now=day(10))
    assert again == LabelCounts(repeated=2, unknown_example="'later'")
    corrected = by_id.head(1).assign(left="yes")
    assert load_label_table(root, corrected, now=day(11)) == LabelCounts(corrected=1)
    assert labels_of(champions_log) == {"a": 1.0, "b": 1.0}
    assert export_prediction_log(root, root / "log.parquet", start=day(0), end=day(1)) == 2
    assert list(pd.read_parquet(root / "log.parquet")["p_1"]) == [0.75, 0.75]


@pytest.mark.slow
def test_undated_labels_do_not_move_a_clock_that_is_the_newest_event(root, champions_log):
    edit_section(root / "params.yaml", "monitoring", {"now": "latest_event"})
    newest = champions_log.newest_event()
    table = pd.DataFrame({"prediction_id": ["a", "b"], "left": ["no", "yes"]})
    assert load_label_table(root, table, now=day(3000)).new == 2
    assert champions_log.newest_event() == newest


@pytest.mark.slow
def test_labels_that_cannot_be_used_are_counted_and_the_others_loaded(root, champions_log):
    dates = ["2024-01-02", "2024-01-02", "2099-01-01", "soon"]
    table = pd.DataFrame({"prediction_id": list("abab"), "left": ["no", "?", "no", "no"]})
    counts = load_label_table(root, table.assign(labelled_at=dates), now=day(9))
    assert (counts.new, counts.refused, labels_of(champions_log)) == (1, 3, {"a": 0.0})
    assert [fault.partition(":")[0] for fault in counts.faults] == [
        "- column 'left'",
        "- column 'labelled_at'",
        "- column 'labelled_at'",
    ]
    unusable = pd.DataFrame({"prediction_id": ["a"], "left": ["YESS"]})
    with pytest.raises(TableError, match=r"No label .*\n.*Did you mean 'yes'\?"):
        load_label_table(root, unusable, now=day(9))
    with pytest.raises(TableError, match=r"'prediction_id' or 'customer'.*\n.*'left'"):
        load_label_table(root, pd.DataFrame({"id": ["a"]}), now=day(9))


def refusal(root, **columns):
    """Return why a table of labels is refused."""
    with pytest.raises(TableError) as caught:
        load_label_table(root, pd.DataFrame(columns), now=day(9))
    return str(caught.value)


@pytest.mark.slow
def test_a_table_of_which_no_id_is_known_is_refused_with_the_likely_cause(root, champions_log):
    append(champions_log, logged("x", day(3), identifier="00300"))
    said = refusal(root, customer=[300.0, 301.0], left=["no", "yes"])
    assert "None of the 2 ids" in said
    assert "'300' where the log has '00300': leading zeros were lost" in said
    assert labels_of(champions_log) == {}
    assert "'.0' was added" in refusal(root, customer=["00300.0"], left=["no"])
    said = refusal(root, customer=["c9"], left=["no"])
    assert "The one id of the file is not" in said
    assert "for example, 'c9' and the log '00300': the column 'customer' must have" in said
    said = refusal(root, prediction_id=["c1"], left=["no"])
    assert "rename it to 'customer'" in said
    some = pd.DataFrame({"customer": ["00300", "C1", "c2"], "left": ["no", "no", "no"]})
    counts = load_label_table(root, some, now=day(9))
    assert (counts.new, counts.unknown) == (2, 1)
    assert counts.unknown_example == "'C1', where the log has 'c1': upper and lower case differ"


@pytest.mark.slow
def test_labels_of_an_empty_log_are_refused(root):
    said = refusal(root, customer=["c1"], left=["no"])
    assert "The log has no prediction with 'customer' yet" in said


@pytest.mark.slow
def test_labels_of_one_file_that_contradict_each_other_are_named_and_refused(root, champions_log):
    table = pd.DataFrame({"customer": ["c1", "c2", "c1"], "left": ["no", "no", "yes"]})
    counts = load_label_table(root, table, now=day(9))
    assert (counts.new, counts.refused) == (1, 2)
    assert "'c1' has two labels: 'no' in row 1 and 'yes' in row 3" in counts.faults[0]
    assert labels_of(champions_log) == {"b": 0.0}
    again = load_label_table(root, table, now=day(10))
    assert (again.repeated, again.refused, again.corrected) == (1, 2, 0)
    history = table.assign(labelled_at=["2024-01-02", "2024-01-02", "2024-01-03"])
    assert load_label_table(root, history, now=day(10)) == LabelCounts(
        new=1, repeated=1, corrected=1
    )
    assert load_label_table(root, history, now=day(11)) == LabelCounts(repeated=3)
    assert labels_of(champions_log) == {"a": 1.0, "b": 0.0}


@pytest.mark.slow
def test_a_class_that_the_model_does_not_know_is_counted_and_kept(root, champions_log):
    table = pd.DataFrame({"customer": ["c1", "c2"], "left": ["moved", "yes"]})
    counts = load_label_table(root, table, now=day(9))
    assert counts == LabelCounts(new=2, new_classes={"moved": 1})
    assert labels_of(champions_log) == {"b": 1.0}
    assert champions_log.effective_labels(["a", "b"]) == {"a": "moved", "b": "yes"}
    assert load_label_table(root, table, now=day(10)).repeated == 2
    fixed = table.assign(left=["no", "yess"])
    counts = load_label_table(root, fixed, now=day(11))
    assert (counts.corrected, counts.refused, counts.new_classes) == (1, 1, {})
    assert labels_of(champions_log) == {"a": 0.0, "b": 1.0}
    only_new = refusal(root, customer=["c1", "c2"], left=["1", "0"])
    assert "expected one of 'no', 'yes'" in only_new.replace("Expected", "expected")


@pytest.mark.slow
def test_without_a_champion_no_label_can_be_read(tmp_path, state):
    assert state.parent == tmp_path
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    with pytest.raises(StageError, match="churn has no champion yet; run `evertune train`"):
        load_label_table(tmp_path, pd.DataFrame(), now=day(9))
