from itertools import permutations

import pandas as pd
import pytest

from evertune.monitoring.labels import (
    LabelCounts,
    count_labels_without_prediction,
    find_ids_by_identifier,
)
from evertune.monitoring.prediction_log import read_log
from tests.logs import CLASSES, append, day, label, logged


def truths(log, **known):
    frame = read_log(log, None, None, classes=CLASSES, **known)
    return dict(zip(frame["id"], frame["truth"], strict=True))


def known_since(log, identity):
    frame = read_log(log, None, None, classes=CLASSES).set_index("id")
    return frame.loc[identity, "labelled"]


def test_a_label_joins_its_prediction(log):
    append(log, logged("a"), logged("b"))
    assert label(log, ("a", "no", 30)) == LabelCounts(new=1)
    assert truths(log) == {"a": 0.0, "b": pytest.approx(float("nan"), nan_ok=True)}


def test_an_early_label_joins_the_prediction_once_it_comes(log):
    assert label(log, ("a", "yes", 1)) == LabelCounts(early=1)
    assert count_labels_without_prediction(log) == 1
    append(log, logged("a", day(2)))
    assert (truths(log), count_labels_without_prediction(log)) == ({"a": 1.0}, 0)


def test_the_same_event_again_changes_nothing(log):
    append(log, logged("a"))
    label(log, ("a", "yes", 1), ("a", "no", 1))
    assert label(log, ("a", "yes", 1)) == LabelCounts(corrected=1)
    assert truths(log) == {"a": 0.0}


def test_a_repeated_label_is_known_since_it_was_first_said(log):
    append(log, logged("a"))
    label(log, ("a", "yes", 1))
    assert label(log, ("a", "yes", 5)) == LabelCounts(repeated=1)
    assert known_since(log, "a") == pd.Timestamp("2024-01-02")


def test_a_correction_is_known_since_it_was_made(log):
    append(log, logged("a"))
    assert label(log, ("a", "yes", 1), ("a", "no", 5)) == LabelCounts(new=1, corrected=1)
    assert (truths(log), known_since(log, "a")) == ({"a": 0.0}, pd.Timestamp("2024-01-06"))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_newest_label_counts_in_whatever_order_they_come(log, order):
    events = [("a", "yes", 1), ("a", "yes", 5), ("a", "no", 3)]
    append(log, logged("a"))
    for place in order:
        label(log, events[place])
    assert truths(log) == {"a": 1.0}


def test_of_two_labels_of_one_moment_the_last_received_counts(log):
    append(log, logged("a"))
    label(log, ("a", "yes", 1))
    label(log, ("a", "no", 1))
    assert truths(log) == {"a": 0.0}


def test_only_labels_that_were_known_then_are_read(log):
    append(log, logged("a"))
    label(log, ("a", "yes", 10), ("a", "no", 20))
    seen = [truths(log, known_at=day(number))["a"] for number in (9, 10, 20)]
    assert seen == [pytest.approx(float("nan"), nan_ok=True), 1.0, 0.0]


def test_a_label_without_a_date_is_kept_only_where_it_says_something_new(log):
    append(log, logged("a"))
    counts = [label(log, ("a", "yes", number), dated=False) for number in (1, 2)]
    label(log, ("a", "no", 1.5))
    assert counts == [LabelCounts(new=1), LabelCounts(repeated=1)]
    assert truths(log) == {"a": 0.0}


def test_an_early_label_given_again_is_a_repeated_one(log):
    label(log, ("a", "yes", 1))
    assert label(log, ("a", "yes", 1), ("b", "no", 1)) == LabelCounts(repeated=1, early=1)


def test_a_class_that_the_reader_does_not_know_is_no_truth(log):
    append(log, logged("a"))
    label(log, ("a", "perhaps", 1))
    frame = read_log(log, None, None, classes=CLASSES)
    assert frame["truth"].isna().tolist() == [True]


def test_an_identifier_stands_for_its_latest_prediction(log):
    append(log, logged("a", day(2), identifier="c1"), logged("b", day(1), identifier="c1"))
    assert find_ids_by_identifier(log, ["c1", "c2"]) == {"c1": "a"}


def test_no_labels_are_counted_as_none(log):
    assert label(log) == LabelCounts()
