from dataclasses import dataclass

import pytest

from evertune.errors import StageError
from evertune.monitoring.window_store import load_window_records, save_window_record
from evertune.times import TimeWindow
from tests.logs import day


@dataclass(frozen=True)
class Profile:
    mean: float | None


def keep(log, number, mean, **more):
    named = {"kind": "profile", "version": "1", "record": Profile(mean)} | more
    save_window_record(log, window=TimeWindow(day(number), day(number + 1)), **named)


def kept(log, type_=Profile, **more):
    return load_window_records(log, **({"kind": "profile", "version": "1", "type_": type_} | more))


def test_what_is_kept_comes_back_by_the_start_of_its_window(log):
    keep(log, 2, 0.5)
    keep(log, 1, float("nan"))
    assert list(kept(log).items()) == [(day(1), Profile(None)), (day(2), Profile(0.5))]


def test_what_is_kept_again_takes_the_place_of_the_old(log):
    keep(log, 1, 0.5)
    keep(log, 1, 0.75)
    assert kept(log) == {day(1): Profile(0.75)}


def test_kinds_and_versions_do_not_mix(log):
    keep(log, 1, 0.5)
    keep(log, 1, 0.75, version="2")
    keep(log, 1, 0, kind="metrics", record={"rows": 3.0})
    assert kept(log, dict[str, float], kind="metrics") == {day(1): {"rows": 3.0}}
    assert kept(log) == {day(1): Profile(0.5)}


def test_a_record_of_another_kind_is_named(log):
    keep(log, 1, 0, record={"median": 1.0})
    with pytest.raises(StageError, match=r"the profile of 2024-01-02.* cannot be read: mean"):
        kept(log)
