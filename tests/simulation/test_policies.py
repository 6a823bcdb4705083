from dataclasses import replace

import numpy as np
import pytest

from evertune.simulation.policies import (
    ReplayConfig,
    best_in_hindsight,
    labelled_rows,
    never_retrain,
    retrain_on_schedule,
    rows_between,
)
from evertune.simulation.results import count_events, mean_loss
from tests.simulation.streams import said, stream_of

TURNED = stream_of([0.0] * 10 + [1.0] * 20)
COURSE = ReplayConfig(start=10, window_days=5)


def figures(played) -> list[float | None]:
    return [each.loss for each in played.losses]


def test_never_keeps_the_first_model():
    assert figures(never_retrain(TURNED, COURSE)) == [1.0] * 4


def test_a_model_that_stands_already_is_the_first_one():
    standing = replace(TURNED, first=lambda rows: said(1.0, rows))
    assert figures(never_retrain(standing, COURSE)) == [0.0] * 4


def test_a_schedule_learns_from_the_latest_labels_before_every_window():
    played = retrain_on_schedule(TURNED, COURSE, latest_days=5)
    assert figures(played) == [1.0, 0.0, 0.0, 0.0]
    assert count_events(played.events) == {"refitted": 3, "promoted": 3}


def test_a_schedule_learns_later_where_labels_come_late():
    late = replace(COURSE, label_delay=5)
    assert figures(retrain_on_schedule(TURNED, late, latest_days=5)) == [1.0, 1.0, 0.0, 0.0]


def test_a_schedule_on_all_rows_mixes_before_and_after():
    played = retrain_on_schedule(TURNED, COURSE, latest_days=None)
    assert figures(played)[1] == pytest.approx((2 / 3) ** 2)


def test_the_oracle_is_never_worse_than_any_other_policy():
    mixed = stream_of([0.1] * 10 + [0.9] * 8 + [0.2] * 12)
    best = figures(best_in_hindsight(mixed, COURSE, latest_days=[5]))
    for other in (never_retrain(mixed, COURSE), retrain_on_schedule(mixed, COURSE, latest_days=5)):
        assert all(mine <= theirs for mine, theirs in zip(best, figures(other), strict=True))


def test_windows_may_be_of_any_length():
    uneven = replace(COURSE, spans=((10.0, 12.0), (12.0, 30.0)))
    assert [each.window.n_rows for each in never_retrain(TURNED, uneven).losses] == [40, 360]


def test_windows_show_the_loss_that_is_asked_for():
    shown = replace(TURNED, shown=lambda truth, _: np.full(len(truth), 0.25))
    assert mean_loss(never_retrain(shown, COURSE).losses) == 0.25


def test_a_window_without_rows_has_no_loss():
    gap = replace(COURSE, spans=((40.0, 41.0),))
    assert figures(never_retrain(TURNED, gap)) == [None]


def test_labels_that_are_not_there_yet_are_not_known():
    known = labelled_rows(TURNED, 12, delay=1.5, latest_days=0.25)
    assert TURNED.days[known].tolist() == pytest.approx(np.arange(10.25, 10.5, 0.05))


def test_rows_lie_from_one_day_to_before_another():
    assert len(rows_between(TURNED, 2, 3)) == 20
