from dataclasses import replace
from functools import cache

import pytest

from evertune.config.schema import PolicySection
from evertune.simulation.policies import ReplayConfig, never_retrain
from evertune.simulation.results import ReplayResult, count_events, mean_loss
from tests.benchmarks.simulation import LoopConfig, run_loop
from tests.simulation.streams import stream_of

COURSE = ReplayConfig(start=60, window_days=7, label_delay=2)
BEFORE, TURNED, BACK = [0.1] * 90, [0.9] * 60, [0.1] * 40


@cache
def played(name: str) -> ReplayResult:
    days = {"quiet": [0.1] * 150, "turned": BEFORE + TURNED, "back": BEFORE + [0.9] * 6 + BACK}
    return run_loop(stream_of(days[name], rows_a_day=50), COURSE, LoopConfig())


def test_nothing_happens_where_nothing_changes():
    assert played("quiet").events == ()


def test_a_change_of_the_relation_is_noticed_learned_and_promoted():
    kinds = [event.kind for event in played("turned").events]
    assert kinds[0] == "alarmed"
    assert "retuned" in kinds
    assert "promoted" in kinds


def test_nothing_is_known_of_a_change_before_its_labels_come():
    first = played("turned").events[0]
    assert first.moment >= stream_of([0.1]).origin.replace(month=4, day=2)


def test_the_loop_is_better_than_never_after_a_change():
    still = never_retrain(stream_of(BEFORE + TURNED, rows_a_day=50), COURSE)
    assert mean_loss(played("turned").losses) < mean_loss(still.losses) / 2


def test_a_promoted_model_that_turns_out_worse_is_rolled_back():
    assert count_events(played("back").events)["rolled back"] == 1


def test_a_loop_that_must_not_learn_keeps_the_first_model():
    stream = stream_of(BEFORE + TURNED, rows_a_day=50)
    idle = LoopConfig(policy=PolicySection(least_rows=100_000))
    assert run_loop(stream, COURSE, idle).losses == never_retrain(stream, COURSE).losses


def test_newer_rows_are_tried_now_and_then_where_that_is_asked_for():
    checked = LoopConfig(policy=PolicySection(refit_interval_days=14))
    events = run_loop(stream_of([0.1] * 150, rows_a_day=50), COURSE, checked).events
    assert [each.moment.date().isoformat() for each in events if each.kind == "refitted"] == [
        "2024-03-15", "2024-03-29", "2024-04-12", "2024-04-26", "2024-05-10", "2024-05-24",
    ]  # fmt: skip
    assert count_events(events)["promoted"] == 0


def test_a_change_that_cannot_be_learned_is_refused_and_left_to_a_person():
    noisy = stream_of([0.1] * 90 + [0.5] * 80, rows_a_day=50)
    events = run_loop(
        replace(noisy, fit=lambda *_: noisy.fit(range(50), None)), COURSE, LoopConfig()
    ).events
    assert count_events(events)["refused"] == 2
    assert count_events(events)["promoted"] == 0
    assert "not learnable" in events[-1].detail


@pytest.mark.parametrize("name", ["quiet", "turned", "back"])
def test_every_row_counts_once(name):
    rows = sum(each.window.n_rows for each in played(name).losses)
    days = {"quiet": 150, "turned": 150, "back": 136}
    assert rows == 50 * (days[name] - 60)
