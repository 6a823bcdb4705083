import pandas as pd
import pytest

from evertune.database import open_log
from evertune.errors import InputError
from evertune.monitoring.prediction_log import (
    ShadowPrediction,
    append_predictions,
    append_shadow,
    find_logged,
    known_ids,
    newest_event,
    oldest_event,
    read_log,
    read_shadow,
    remove_older,
)
from tests.logs import CLASSES, NEW_YEAR, append, day, ids, label, logged


def test_a_prediction_comes_back_as_it_was_logged(log):
    row = logged("a", day(1.5), identifier="c1", probabilities=(0.1 + 0.2, 0.7))
    append(log, row)
    assert find_logged(log, ["a", "b"]) == {"a": ("1", row)}


def test_the_logged_frame_has_a_row_for_each_prediction_in_the_order_of_time(log):
    append(log, logged("b", day(2)), logged("c", day(1)), logged("a", day(1), identifier="c1"))
    frame = read_log(log, None, None, classes=CLASSES)
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


def test_an_empty_log_gives_a_frame_of_the_same_kinds(log):
    empty = read_log(log, None, None, classes=CLASSES, with_inputs=True)
    append(log, logged("a"))
    full = read_log(log, None, None, classes=CLASSES, with_inputs=True)
    assert len(empty) == 0
    pd.testing.assert_series_equal(empty.dtypes, full.dtypes)


def test_a_number_is_predicted_without_probabilities(log):
    append(log, logged("a", value=12.5, probabilities=None))
    label(log, ("a", "13.5", 3))
    frame = read_log(log, None, None, classes=())
    assert frame[["value", "truth"]].values.tolist() == [[12.5, 13.5]]
    assert "p_0" not in frame


def test_a_prediction_given_again_is_logged_once(log):
    assert append(log, logged("a"), logged("b")) == 2
    assert append(log, logged("b", value=0.0), logged("c")) == 1
    frame = read_log(log, None, None, classes=CLASSES)
    assert frame["value"].tolist() == [1.0, 1.0, 1.0]


def test_one_batch_with_the_same_id_twice_logs_it_once(log):
    assert append(log, logged("a"), logged("a")) == 1


def test_an_append_with_a_fault_changes_nothing(log):
    with pytest.raises(InputError, match=r"The id '\\x00' has characters that cannot be printed"):
        append(log, logged("a"), logged("\0"))
    assert known_ids(log, ["a"]) == set()


def test_nothing_to_log_is_nothing_logged(log):
    assert (append(log), append_shadow(log, [], version="1")) == (0, 0)


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(None, None, 3), (day(1), None, 2), (None, day(2), 2), (day(1), day(1), 0)],
)
def test_a_window_has_its_start_and_not_its_end(log, start, end, found):
    append(log, logged("a", day(0)), logged("b", day(1)), logged("c", day(2)))
    assert len(read_log(log, start, end, classes=CLASSES)) == found


def test_one_version_can_be_read_alone(log):
    append(log, logged("a"), version="1")
    append(log, logged("b"), version="2")
    frame = read_log(log, None, None, classes=CLASSES, version="2")
    assert frame["id"].tolist() == ["b"]


def test_models_that_share_a_database_see_only_their_own(log, address, tmp_path):
    other = open_log(tmp_path, model=f"{log.model}-other", address=address)
    append(log, logged("a"))
    assert (known_ids(other, ["a"]), newest_event(other), oldest_event(other)) == (
        set(),
        None,
        None,
    )
    assert append(other, logged("a")) == 1
    other.engine.dispose()


def test_shadows_stand_beside_what_was_answered(log):
    append(log, logged("a"), logged("b"))
    assert append_shadow(log, [ShadowPrediction("a", 0.0, (0.6, 0.4))], version="2") == 1
    label(log, ("a", "no", 1))
    frame = read_shadow(log, None, None, version="2", classes=CLASSES).drop(columns="labelled")
    assert frame.to_dict("records") == [
        {
            "id": "a",
            "moment": pd.Timestamp("2024-01-01"),
            "value": 0.0,
            "p_0": 0.6,
            "p_1": 0.4,
            "version": "1",
            "value_c": 1.0,
            "p_c_0": 0.25,
            "p_c_1": 0.75,
            "truth": 0.0,
        }
    ]


def test_a_shadow_is_logged_once_for_each_version(log):
    shadow = [ShadowPrediction("a", 0.0, None)]
    found = [append_shadow(log, shadow, version=version) for version in ("2", "2", "3")]
    assert found == [1, 0, 1]


def test_the_newest_event_is_a_prediction_or_a_label(log):
    append(log, logged("a", day(1)), logged("b", day(2)))
    assert (oldest_event(log), newest_event(log)) == (day(1), day(2))
    label(log, ("a", "yes", 9))
    assert newest_event(log) == day(9)


def test_more_ids_than_one_query_takes_are_found(log):
    append(log, *(logged(identity) for identity in ids(10_500)))
    assert len(known_ids(log, ids(10_600))) == 10_500


def test_what_is_older_goes_with_its_labels_and_shadows(log):
    append(log, logged("a", day(1)), logged("b", day(5)))
    append_shadow(
        log, [ShadowPrediction("a", 0.0, None), ShadowPrediction("b", 0.0, None)], version="2"
    )
    label(log, ("a", "yes", 6), ("b", "yes", 6), ("never predicted", "yes", 1))
    assert remove_older(log, day(5)) == 1
    append(log, logged("a", day(1)), logged("never predicted", day(1)))
    frame = read_log(log, None, None, classes=CLASSES)
    assert frame.loc[frame["truth"].notna(), "id"].tolist() == ["b"]
    assert len(read_shadow(log, None, None, version="2", classes=CLASSES)) == 1


def test_more_rows_than_one_step_takes_are_removed(log):
    append(log, *(logged(identity) for identity in ids(10_001)), logged("new", day(1)))
    assert remove_older(log, day(1)) == 10_001
    assert oldest_event(log) == day(1)


def test_microseconds_are_kept(log):
    moment = NEW_YEAR.replace(microsecond=1)
    append_predictions(log, [logged("a", moment)], version="1", received=moment)
    frame = read_log(log, moment, None, classes=CLASSES)
    assert frame["received"].dt.microsecond.tolist() == [1]
