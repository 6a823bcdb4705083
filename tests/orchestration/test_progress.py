from dataclasses import asdict, replace
from json import dumps
from pathlib import Path
from time import sleep

import pytest
from mlflow import MlflowClient

from evertune.errors import InputError
from evertune.evaluation.baselines import BaselineResult
from evertune.files import append_line, write_record
from evertune.orchestration import progress
from evertune.orchestration.progress import (
    SearchProgress,
    TrialsSnapshot,
    follow_search,
    mlflow_listener,
    parse_trial_lines,
    print_step,
    read_baselines,
    search_progress,
    step_progress,
    terminal_listener,
)
from evertune.registry.mlflow_connection import TranslatingClient
from evertune.registry.mlflow_registry import ModelRegistry
from evertune.trials import Configuration, SearchHeader, Trial
from tests.support.registries import open_state


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


HEADER = SearchHeader("digest", "roc_auc", True, 5, budget_seconds=60.0, budget_trials=None)
BY_TRIALS = replace(HEADER, budget_seconds=None, budget_trials=4)
BY_BOTH = replace(HEADER, budget_trials=4)
TRIAL = Trial(0, Configuration("linear"), "complete", (), 0.81234, None, 10.0)
FAILED = Trial(1, Configuration("lightgbm"), "failed", (), None, "no memory", 12.0)
VIEW = SearchProgress(HEADER, (TRIAL, FAILED), TRIAL, ("zero_rule", 0.5), seconds=15.0)


@pytest.mark.parametrize(
    ("header", "seconds", "done", "left"),
    [
        (HEADER, 15.0, 0.25, 45.0),
        (HEADER, 70.0, 1.0, 0.0),
        (BY_TRIALS, 15.0, 0.5, 15.0),
        (BY_BOTH, 15.0, 0.5, 15.0),
        (BY_BOTH, 45.0, 0.75, 15.0),
    ],
)
def test_the_budget_that_is_used_first_counts(
    header: SearchHeader, seconds: float, done: float, left: float
) -> None:
    view = replace(VIEW, header=header, seconds=seconds)
    assert view.fraction_done == pytest.approx(done)
    assert view.seconds_left == pytest.approx(left)


def test_the_time_left_is_unknown_before_the_first_trial_of_a_budget_of_trials() -> None:
    assert SearchProgress(BY_TRIALS, (), None, None, seconds=3.0).seconds_left is None


def test_a_search_without_a_finished_trial_says_so() -> None:
    assert SearchProgress(HEADER, (), None, None, 1.0).line == "0 trials, no roc_auc yet"


def test_where_there_is_no_terminal_a_line_comes_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with step_progress("search") as show:
        show("too soon", 0.1)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", 0.05)
    with step_progress("search") as show:
        show("after a while [0]", 0.2)
        sleep(0.5)
    assert set(capsys.readouterr().out.splitlines()) == {"search     after a while [0]"}


def test_a_step_that_shows_nothing_itself_is_not_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", 0.05)
    with step_progress("evaluate", stderr=True):
        sleep(0.5)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("evaluate   running for 0 s\n")


def test_in_a_terminal_a_bar_moves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with step_progress("search") as show:
        show("3 trials", 0.5)
    assert "3 trials" in capsys.readouterr().out


def test_a_long_line_is_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    print_step("search", "x" * 200)
    assert capsys.readouterr().out == "search     " + "x" * 200 + "\n"


TRIALS = tuple(
    Trial(number, Configuration("linear"), "complete", (), number / 10, None, 1.0)
    for number in range(3)
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return open_state(tmp_path)


def runs(store: ModelRegistry) -> list[str]:
    found = MlflowClient(store.address).search_runs([store.experiment_id])
    return sorted(run.info.run_name for run in found)


def test_the_terminal_shows_the_line_and_the_part_that_is_done() -> None:
    shown: list[tuple[str, float | None]] = []
    rule = BaselineResult("rule", "none", "", (), {"roc_auc": 0.1}, 0.0, 0.0)
    terminal_listener(lambda text, done: shown.append((text, done)), [rule])(
        TrialsSnapshot(HEADER, TRIALS, 3), 30
    )
    line = "3 trials, best roc_auc 0.2000 (linear), best baseline 0.1000 (rule), 0:30 left"
    assert shown == [(line, 0.5)]


@pytest.mark.slow
def test_trials_get_runs_as_they_end_and_each_only_one(store: ModelRegistry) -> None:
    tell = mlflow_listener(store, title="search", most=10)
    tell(TrialsSnapshot(HEADER, TRIALS[:1], 1), 1.0)
    assert len(runs(store)) == 2
    tell(TrialsSnapshot(HEADER, TRIALS, 3), 2.0)
    tell(TrialsSnapshot(HEADER, TRIALS, 3), 2.5)
    assert len(runs(store)) == 4


@pytest.mark.slow
def test_no_new_trial_makes_no_new_run(store: ModelRegistry) -> None:
    mlflow_listener(store, title="search", most=10)(TrialsSnapshot(HEADER, TRIALS, 0), 1.0)
    assert runs(store) == []


@pytest.mark.slow
def test_a_search_goes_on_where_mlflow_stops_answering(
    store: ModelRegistry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store._client = TranslatingClient("http://127.0.0.1:9")  # the server goes away
    tell = mlflow_listener(store, title="search", most=10)
    tell(TrialsSnapshot(HEADER, TRIALS, 3), 1.0)
    tell(TrialsSnapshot(HEADER, TRIALS, 3), 2.0)
    assert capsys.readouterr().out.count("continues without MLflow") == 1
