from dataclasses import asdict
from json import dumps
from pathlib import Path
from time import sleep

import pytest

from evertune.errors import InputError
from evertune.evaluation.baselines import BaselineResult
from evertune.files import append_line, write_record
from evertune.orchestration.progress import (
    TrialsSnapshot,
    follow_search,
    parse_trial_lines,
    read_baselines,
    search_progress,
)
from evertune.trials import Configuration, SearchHeader, Trial


def header(digest: str, *, greater_is_better: bool = True) -> SearchHeader:
    return SearchHeader(digest, "roc_auc", greater_is_better, 5, 60.0, None)


def trial(number: int, score: float | None = 0.5, status: str = "complete") -> Trial:
    ended = "complete" if status == "complete" else "stopped"
    return Trial(number, Configuration("linear"), ended, (), score, None, 10.0 * number)


def line(record: SearchHeader | Trial) -> str:
    return dumps(asdict(record))


def baseline(name: str, figure: float | None) -> BaselineResult:
    return BaselineResult(name, "none", "", (), {"roc_auc": figure}, 0.0, 0.0)


OLD = [line(header("old")), line(trial(0)), line(trial(1))]
NEW = [line(header("new")), line(trial(0))]


@pytest.mark.parametrize(
    ("lines", "before", "n_new"),
    [
        (OLD, [], 2),
        ([*OLD, line(trial(2))], OLD, 1),
        (NEW, OLD, 1),
        (NEW[:1], OLD, 0),
    ],
)
def test_only_lines_of_the_search_that_was_started_are_new(
    lines: list[str], before: list[str], n_new: int
) -> None:
    now = parse_trial_lines(lines, before)
    assert now is not None
    assert now.n_new == n_new


@pytest.mark.parametrize(("lines", "before"), [([], []), (OLD, OLD)])
def test_no_new_line_is_nothing(lines: list[str], before: list[str]) -> None:
    assert parse_trial_lines(lines, before) is None


def test_a_follower_is_told_the_last_line_even_when_the_block_ends_at_once(tmp_path: Path) -> None:
    path, told = tmp_path / "trials.jsonl", list[TrialsSnapshot]()
    with follow_search(path, [lambda now, _: told.append(now)]):
        for text in OLD:
            append_line(path, text)
    assert told[-1].trials == (trial(0), trial(1))


def test_the_clock_goes_on_from_the_trials_of_an_earlier_start(tmp_path: Path) -> None:
    path, clocks = tmp_path / "trials.jsonl", list[float]()
    for text in OLD:
        append_line(path, text)
    with follow_search(path, [lambda _, seconds: clocks.append(seconds)]):
        append_line(path, line(trial(2)))
    assert clocks[-1] == pytest.approx(10.0, abs=5.0)


def write_slowly(path: Path, lines: list[str]) -> None:
    for text in lines:
        append_line(path, text)
        sleep(1)


def test_a_failure_to_tell_is_raised_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"

    def fail(now: TrialsSnapshot, _: float) -> None:
        raise RuntimeError(f"cannot tell {len(now.trials)} trials")

    with pytest.raises(RuntimeError, match="cannot tell 0 trials"), follow_search(path, [fail]):
        write_slowly(path, OLD[:2])


def test_a_failure_of_the_block_goes_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the block"), follow_search(tmp_path / "none", []):
        raise ValueError("the block")


@pytest.mark.parametrize(("greater", "best", "rival"), [(True, 0, "rule"), (False, 1, "random")])
def test_the_best_trial_stands_beside_the_best_baseline_whatever_the_metrics_direction(
    greater: bool, best: int, rival: str
) -> None:
    trials = (trial(0, 0.8), trial(1, 0.7), trial(2, 0.9, "stopped"), trial(3, 0.1, "stopped"))
    now = TrialsSnapshot(header("new", greater_is_better=greater), trials, 4)
    baselines = [baseline("random", 0.5), baseline("rule", 0.6), baseline("human", None)]
    view = search_progress(now, 1.0, baselines=baselines)
    assert view.best is not None
    assert (view.best.number, view.rival and view.rival[0]) == (best, rival)


def test_a_search_without_baselines_or_complete_trials_has_no_best_and_no_rival() -> None:
    view = search_progress(
        TrialsSnapshot(header("new"), (trial(0, 0.9, "stopped"),), 1), 1.0, baselines=[]
    )
    assert (view.best, view.rival) == (None, None)


def test_baselines_are_read_back(tmp_path: Path) -> None:
    write_record(tmp_path / "baselines.json", (baseline("rule", 0.6),))
    assert read_baselines(tmp_path) == (baseline("rule", 0.6),)


def test_missing_baselines_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"baselines\.json does not exist"):
        read_baselines(tmp_path)
