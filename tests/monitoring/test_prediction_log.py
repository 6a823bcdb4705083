import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.database import open_log
from evertune.errors import InputError, StageError
from evertune.monitoring.log_frames import (
    keep_effective_labels,
    logged_predictions,
    make_log_frame,
    read_inputs,
)
from evertune.monitoring.prediction_log import (
    ShadowPrediction,
    apply_retention,
    open_prediction_log,
)
from evertune.times import TimeWindow
from tests.support.logs import (
    CLASSES,
    NEW_YEAR,
    append,
    day,
    ids,
    known_ids,
    label,
    logged,
    prediction_log,
)
from tests.support.production import project
from tests.support.projects import CHECKOUT


def test_a_prediction_comes_back_as_it_was_logged(log):
    row = logged("a", day(1.5), identifier="c1", probabilities=(0.1 + 0.2, 0.7))
    append(log, row)
    assert log.find(["a", "b"]) == {"a": ("1", row)}


def test_the_logged_frame_has_a_row_for_each_prediction_in_the_order_of_time(log):
    append(log, logged("b", day(2)), logged("c", day(1)), logged("a", day(1), identifier="c1"))
    frame = log.read(classes=CLASSES)
    assert frame["id"].tolist() == ["a", "c", "b"]
    assert frame.drop(columns="id").iloc[0].dropna().to_dict() == {
        "request_id": "r",
        "identifier": "c1",
        "moment": pd.Timestamp("2024-01-02"),
        "received": pd.Timestamp("2024-01-01"),
        "version": "1",
        "value": 1.0,
        "p_0": 0.25,
        "p_1": 0.75,
    }


def test_an_empty_log_gives_a_frame_of_the_same_types(log):
    empty = log.read(classes=CLASSES, with_inputs=True)
    append(log, logged("a"))
    full = log.read(classes=CLASSES, with_inputs=True)
    assert len(empty) == 0
    pd.testing.assert_series_equal(empty.dtypes, full.dtypes)


def test_a_number_is_predicted_without_probabilities(log):
    append(log, logged("a", value=12.5, probabilities=None))
    label(log, ("a", "13.5", 3))
    frame = log.read(classes=())
    assert frame[["value", "truth"]].values.tolist() == [[12.5, 13.5]]
    assert logged_predictions(frame).probabilities is None


def test_a_prediction_that_comes_again_is_logged_once(log):
    assert (append(log), append(log, logged("a"), logged("b"))) == (0, 2)
    assert append(log, logged("b", value=0.0), logged("c"), logged("c")) == 1
    assert log.read(classes=CLASSES)["value"].tolist() == [1.0, 1.0, 1.0]


def test_an_append_with_a_fault_changes_nothing(log):
    with pytest.raises(InputError, match=r"The id '\\x00' has characters that cannot be printed"):
        append(log, logged("a"), logged("\0"))
    assert log.find(["a"]) == {}


@pytest.mark.parametrize(
    ("start", "end", "version", "ids"),
    [
        (None, None, None, ["a", "b", "c"]),
        (day(1), None, None, ["b", "c"]),
        (None, day(2), None, ["a", "b"]),
        (day(1), day(1), None, []),
        (None, None, "2", ["c"]),
    ],
)
def test_predictions_are_read_by_time_and_version(log, start, end, version, ids):
    append(log, logged("a", day(0)), logged("b", day(1)))
    append(log, logged("c", day(2)), version="2")
    assert log.read(start, end, classes=CLASSES, version=version)["id"].tolist() == ids


def test_models_that_share_a_database_see_only_their_own(log, address, tmp_path):
    append(log, logged("a"))
    with open_log(tmp_path, model=f"{log.model}-other", address=address) as opened:
        other = prediction_log(opened)
        assert (other.find(["a"]), other.newest_event(), other.oldest_event()) == ({}, None, None)
        assert append(other, logged("a")) == 1


def test_shadows_stand_beside_the_answers(log):
    append(log, logged("a"), logged("b"))
    assert log.append_shadow([ShadowPrediction("a", 0.0, (0.6, 0.4))], version="2") == 1
    label(log, ("a", "no", 1))
    frame = log.read_shadow(version="2", classes=CLASSES)
    assert frame[["id", "version", "value", "value_c", "truth"]].values.tolist() == [
        ["a", "1", 0.0, 1.0, 0.0]
    ]
    assert frame["moment"].tolist() == [pd.Timestamp("2024-01-01")]
    assert logged_predictions(frame).probabilities.tolist() == [[0.6, 0.4]]
    assert logged_predictions(frame, "_c").probabilities.tolist() == [[0.25, 0.75]]


def test_a_shadow_is_logged_once_for_each_version(log):
    shadow = [ShadowPrediction("a", 0.0, None)]
    added = [log.append_shadow(shadow, version=version) for version in ("2", "2", "3")]
    assert added == [1, 0, 1]


def test_the_newest_event_is_a_prediction_or_a_label(log):
    append(log, logged("a", day(1)), logged("b", day(2)))
    assert (log.oldest_event(), log.newest_event()) == (day(1), day(2))
    label(log, ("a", "yes", 9))
    assert log.newest_event() == day(9)


def test_old_predictions_go_with_their_labels_and_shadows(log):
    append(log, logged("a", day(1)), logged("b", day(5)))
    shadows = [ShadowPrediction("a", 0.0, None), ShadowPrediction("b", 0.0, None)]
    log.append_shadow(shadows, version="2")
    label(log, ("a", "yes", 6), ("b", "yes", 6), ("never predicted", "yes", 1))
    assert log.remove_older(day(5)) == 1
    append(log, logged("a", day(1)), logged("never predicted", day(1)))
    frame = log.read(classes=CLASSES)
    assert frame.loc[frame["truth"].notna(), "id"].tolist() == ["b"]
    assert len(log.read_shadow(version="2", classes=CLASSES)) == 1


def test_more_rows_than_one_step_takes_are_found_exported_and_removed(log, tmp_path):
    append(log, *(logged(each) for each in ids(10_005)), logged("new", day(1)))
    label(log, *((each, "yes", number) for each in ids(5) for number in (1, 2)))
    assert len(log.find(ids(10_600))) == 10_005
    assert log.export(tmp_path / "log.parquet", classes=CLASSES) == 10_006
    assert pd.read_parquet(tmp_path / "log.parquet")["id"].nunique() == 10_006
    assert log.remove_older(day(1)) == 10_005
    assert log.oldest_event() == day(1)


def test_moments_are_exact_to_the_microsecond(log):
    moment = NEW_YEAR.replace(microsecond=1)
    log.append_predictions([logged("a", moment)], version="1", received=moment)
    frame = log.read(moment, classes=CLASSES)
    assert frame["received"].dt.microsecond.tolist() == [1]


def test_the_exported_file_is_the_logged_frame_with_inputs(log, tmp_path):
    file = tmp_path / "log.parquet"
    assert log.export(file, classes=CLASSES) == 0
    assert list(pd.read_parquet(file))[-1] == "inputs"
    append(log, *(logged(str(number), day(number), identifier="c") for number in range(4)))
    label(log, ("1", "no", 5), ("1", "yes", 6))
    assert log.export(file, start=day(1), end=day(3), classes=CLASSES) == 2
    expected = log.read(day(1), day(3), classes=CLASSES, with_inputs=True)
    pd.testing.assert_frame_equal(pd.read_parquet(file), expected)


@dataclass(frozen=True)
class Mean:
    mean: float | None


def save(log, number, record, *, kind="profile", version="1"):
    window = TimeWindow(day(number), day(number + 1))
    log.save_window_record(kind=kind, version=version, window=window, record=record)


def test_window_records_are_stored_by_kind_version_and_start(log):
    save(log, 2, Mean(0.5))
    save(log, 1, Mean(0.25))
    save(log, 1, Mean(float("nan")))
    save(log, 1, Mean(0.75), version="2")
    save(log, 1, {"rows": 3.0}, kind="metrics")
    profiles = log.load_window_records(kind="profile", version="1", type_=Mean)
    assert list(profiles.items()) == [(day(1), Mean(None)), (day(2), Mean(0.5))]
    metrics = log.load_window_records(kind="metrics", version="1", type_=dict[str, float])
    assert metrics == {day(1): {"rows": 3.0}}


def test_a_window_record_of_another_type_is_named(log):
    save(log, 1, {"median": 1.0})
    with pytest.raises(StageError, match=r"the profile of 2024-01-02.* cannot be read: mean"):
        log.load_window_records(kind="profile", version="1", type_=Mean)


@pytest.mark.parametrize(("retention", "left"), [("10", {"new"}), ("null", {"old", "new"})])
def test_retention_removes_what_is_older(tmp_path, retention, left):
    params = tmp_path / "params.yaml"
    project(tmp_path)
    params.write_text(
        params.read_text().replace("retention_days: 730", f"retention_days: {retention}")
    )
    with open_prediction_log(load_params(tmp_path)) as log:
        append(log, logged("old", day(0)), logged("new", day(20)))
        removed = apply_retention(tmp_path, now=day(20.5))
        assert (removed, set(log.find(["old", "new"]))) == (2 - len(left), left)


def test_unknown_moments_are_missing():
    frame = make_log_frame([["a", None], ["b", 86_400_000_000]], ["id", "labelled"], classes=())
    assert frame["labelled"].tolist() == [pd.NaT, pd.Timestamp("1970-01-02")]


@pytest.mark.parametrize("classes", [("no", "yes"), ()])
def test_probabilities_of_other_classes_are_missing(classes):
    frame = make_log_frame([["[0.1,0.2,0.7]"]], ["probabilities"], classes=classes)
    assert frame.isna().to_numpy().all()
    assert list(frame) == [f"p_{code}" for code in range(len(classes))]


def test_one_row_without_probabilities_leaves_those_of_other_rows():
    rows = [["[0.1,0.9]", 1.0], [None, 0.0]]
    frame = make_log_frame(rows, ["probabilities", "value"], classes=CLASSES)
    proba = logged_predictions(frame).probabilities
    np.testing.assert_array_equal(proba, [[0.1, 0.9], [np.nan, np.nan]])
    assert logged_predictions(frame.tail(1)).probabilities is None


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [(["yes", "1.5"], (), [np.nan, 1.5]), (["1", "2", None], ("0", "1"), [1, np.nan, np.nan])],
)
def test_labels_that_the_model_does_not_know_are_missing(labels, classes, expected):
    frame = make_log_frame([[label] for label in labels], ["label"], classes=classes)
    assert frame["truth"].tolist() == pytest.approx(expected, nan_ok=True)


def test_rows_without_a_label_stay_as_they_are():
    frame = pd.DataFrame({"id": ["a", "b"], "truth": np.nan, "labelled": pd.NaT})
    pd.testing.assert_frame_equal(keep_effective_labels(frame), frame)


def test_inputs_are_read_with_the_columns_of_all_rows():
    rows = ['{"age":31,"plan":"a"}', '{"plan":"b","new":true}']
    frame = read_inputs(pd.DataFrame({"inputs": rows}, index=[7, 9]))
    assert (list(frame), list(frame.index)) == (["age", "plan", "new"], [7, 9])
    assert frame["plan"].tolist() == ["a", "b"]
    assert read_inputs(pd.DataFrame({"inputs": pd.Series([], dtype="str")})).shape == (0, 0)


# each row is printed only once it is in the log, as a service acknowledges it
WRITER = """
import sys, pathlib
from tests.support.logs import append, label, logged
from evertune.database import open_log
log = open_log(pathlib.Path(sys.argv[1]), model=sys.argv[3], address=sys.argv[2])
for number in range(int(sys.argv[5])):
    rows = [logged(f"{sys.argv[4]}-{number}-{place}") for place in range(3)]
    append(log, *rows)
    label(log, *((row.id, "yes", 1) for row in reversed(rows)))
    print(number, flush=True)
"""


def writer(tmp_path, address, model, start, *, times):
    arguments = [str(tmp_path), address, model, start, str(times)]
    command = [sys.executable, "-c", WRITER, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)


@pytest.mark.slow
def test_writers_at_once_lose_nothing_and_double_nothing(address, tmp_path):
    names = ["a", "b", "same", "same"]
    processes = [writer(tmp_path, address, "many", name, times=50) for name in names]
    printed = [process.communicate(timeout=120)[0].split() for process in processes]
    with open_log(tmp_path, model="many", address=address) as log:
        frame = prediction_log(log).read(classes=CLASSES)
    assert [len(numbers) for numbers in printed] == [50] * 4
    assert (len(frame), frame["id"].nunique(), frame["truth"].sum()) == (450, 450, 450)


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_it_acknowledged(address, tmp_path):
    process = writer(tmp_path, address, "killed", "k", times=1_000_000)
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    printed = process.communicate()[0].split()
    with open_log(tmp_path, model="killed", address=address) as log:
        known = known_ids(log, (f"k-{number}-2" for number in printed))
    assert len(known) == len(printed) > 10
