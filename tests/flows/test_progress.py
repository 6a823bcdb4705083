from dataclasses import replace

import pytest

from evertune.orchestration import progress
from evertune.orchestration.progress import (
    SearchProgress,
    fraction_done,
    print_step,
    search_line,
    search_line_with_time_left,
    seconds_left,
    step_progress,
)
from evertune.trials import Configuration, SearchHeader, Trial

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
    assert fraction_done(view) == pytest.approx(done)
    assert seconds_left(view) == pytest.approx(left)


def test_the_time_left_is_unknown_before_the_first_trial_of_a_budget_of_trials() -> None:
    assert seconds_left(SearchProgress(BY_TRIALS, (), None, None, seconds=3.0)) is None


def test_the_best_so_far_stands_beside_the_best_baseline() -> None:
    expected = "2 trials (1 failed), best roc_auc 0.8123 (linear), best baseline 0.5000 (zero_rule)"
    assert search_line(VIEW) == expected
    assert search_line_with_time_left(VIEW) == f"{expected}, 0:45 left"


def test_a_search_without_a_finished_trial_says_so() -> None:
    assert search_line(SearchProgress(HEADER, (), None, None, 1.0)) == "0 trials, no roc_auc yet"


def test_where_there_is_no_terminal_a_line_comes_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with step_progress("search") as show:
        show("too soon", 0.1)
        monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", 0.0)
        show("after a while [0]", 0.2)
    assert capsys.readouterr().out == "search     after a while [0]\n"


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
