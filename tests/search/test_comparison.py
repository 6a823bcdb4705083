import time

import pytest

from evertune.config.schema import SearchSection
from evertune.errors import InputError
from evertune.evaluation.comparison_plots import comparison_plots, plot_curves, plot_ranks
from evertune.evaluation.comparison_report import comparison_lines, comparison_report
from evertune.search.comparison import (
    ComparisonSettings,
    SearchRun,
    check_settings,
    compare_runs,
    known_names,
    summarize_run,
)
from evertune.search.comparison_runs import SearcherClock, run_one_search
from evertune.search.samplers import make_sampler
from evertune.search.study import SearchConfig
from evertune.search.trial_log import read_header, read_trials
from evertune.trials import Configuration, Trial
from tests.search.studies import OBJECTIVE, make_study, play

NONE = {"complete": 0, "stopped": 0, "failed": 0, "suggestion_milliseconds": (), "seconds": 1.0}


def settings(**given):
    values = {"searchers": ("tpe", "random"), "schedulers": ("none",), "n_seeds": 6}
    return ComparisonSettings(**{**values, "budget_trials": 3, **given})


def run(searcher, seed, *best, ended=(1.0, 2.0, 3.0), milliseconds=(2.0, 4.0), scheduler="none"):
    counts = {**NONE, "complete": len(best), "suggestion_milliseconds": milliseconds}
    return SearchRun(searcher, scheduler, seed, "d", ended[: len(best)], best, **counts)


def comparison(runs, wanted=None):
    return compare_runs(
        runs, wanted or settings(), metric="roc_auc", greater_is_better=True, n_rows=99, n_folds=3
    )


BETTER = [run("tpe", seed, None, 0.8, 0.9 + seed / 100) for seed in range(6)]
WORSE = [run("random", seed, 0.7, 0.8, 0.8) for seed in range(6)]


def test_the_known_searchers_and_schedulers_are_those_of_params():
    assert {"portfolio", "tpe", "random", "grid"} <= set(known_names("searcher"))
    assert {"racing", "asha", "none"} <= set(known_names("scheduler"))


def test_settings_that_can_be_run_are_accepted():
    check_settings(settings())
    check_settings(settings(searchers=("tpe",), schedulers=("racing", "none"), n_seeds=2))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"searchers": ("tpe", "randon")}, r"got 'randon'\. Did you mean 'random'\?"),
        ({"schedulers": ("rasing",)}, "Did you mean 'racing'"),
        ({"searchers": ("tpe", "tpe")}, "'tpe' is named 2 times"),
        ({"searchers": ("tpe",)}, "at least two searchers, or one with two schedulers"),
        ({"searchers": ()}, "at least two searchers"),
        ({"n_seeds": 1}, "--seeds: expected at least 2, since intervals are over seeds, but got 1"),
        ({"budget_trials": None}, "--trials or --budget: expected one of them, but got neither"),
        ({"budget_trials": 0}, "--trials: expected at least 1, but got 0"),
        ({"budget_seconds": -1.0}, "--budget: expected seconds above 0, but got -1"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(given, words):
    with pytest.raises(InputError, match=words):
        check_settings(settings(**given))


def test_all_faults_are_in_one_message():
    with pytest.raises(InputError, match=r"(?s)got 'x'.*--seeds.*--trials or --budget"):
        check_settings(settings(searchers=("x", "tpe"), n_seeds=0, budget_trials=None))


def test_runs_go_seed_by_seed_and_no_method_is_always_the_first():
    runs = list(settings(n_seeds=2).runs())
    assert [each[2] for each in runs] == [0, 0, 1, 1]
    assert [each[0] for each in runs] == ["tpe", "random", "random", "tpe"]


def test_a_run_knows_its_best_score_of_all_folds_at_each_trial():
    trials = [
        Trial(0, Configuration("tree"), "stopped", (), 0.9, "slow", 1.0),
        Trial(2, Configuration("tree"), "complete", (), 0.5, None, 3.0),
        Trial(1, Configuration("tree"), "complete", (), 0.7, None, 2.0),
        Trial(3, Configuration("tree"), "failed", (), None, "no luck", 4.0),
    ]
    names = {"searcher": "tpe", "scheduler": "none", "seed": 0, "digest": "d"}
    times = {"suggestion_milliseconds": (), "seconds": 5.0}
    found = summarize_run(trials, greater_is_better=True, **names, **times)
    assert found.best_scores == (None, 0.5, 0.7, 0.7)
    assert found.ended_seconds == (1.0, 3.0, 3.0, 4.0)
    assert (found.complete, found.stopped, found.failed) == (2, 1, 1)
    smaller = summarize_run(trials, greater_is_better=False, **names, **times)
    assert smaller.best == 0.5


def test_a_method_that_always_wins_six_times_is_better():
    found = comparison([*WORSE, *BETTER])
    assert [each.label for each in found.methods] == ["tpe", "random"]
    assert found.sentence.startswith("On this table tpe is better than random (Friedman test over")
    best = found.methods[0]
    assert best.low < best.mean < best.high
    assert best.mean == pytest.approx(0.925)
    assert (best.median_milliseconds, best.suggestions) == (3.0, 12)


def test_curves_begin_where_every_run_has_a_score_and_stay_after_its_end():
    short = [run("tpe", seed, 0.5, ended=(1.0,)) for seed in range(6)]
    found = {each.label: each for each in comparison([*short, *WORSE]).methods}
    assert [(p.at, p.mean) for p in found["tpe"].over_trials] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    later = {each.label: each for each in comparison([*BETTER, *WORSE]).methods}["tpe"]
    assert later.over_trials[0].at == 2
    assert later.over_seconds[0].at == pytest.approx(2.0, abs=3 / 100)


def test_equal_runs_show_no_difference():
    same = [run("tpe", seed, 0.7, 0.8, 0.8) for seed in range(6)]
    assert comparison([*same, *WORSE]).sentence.startswith("No difference between the methods is")


def test_too_few_seeds_say_how_many_would_do():
    few = [each for each in (*BETTER, *WORSE) if each.seed < 3]
    assert "at least 6 seeds are needed" in comparison(few, settings(n_seeds=3)).sentence


def test_a_method_without_a_score_ranks_last_and_is_named():
    none = [run("tpe", seed, None, None) for seed in range(6)]
    found = comparison([*none, *WORSE])
    assert found.ranks.names == ("random", "tpe")
    assert found.methods[1].mean is None
    assert "No trial of tpe ran on all folds." in found.sentence
    assert "no score and the last rank" in comparison_report(found, comparison_plots(found))


def test_a_scheduler_is_named_only_if_there_are_more():
    wanted = settings(schedulers=("none", "racing"), searchers=("tpe",))
    runs = [
        run("tpe", n, 0.7 + k, scheduler=s)
        for n in range(6)
        for k, s in enumerate(("none", "racing"))
    ]
    assert comparison(runs, wanted).ranks.names == ("tpe, racing", "tpe, none")


def test_the_report_shows_the_plots_and_what_they_do_not_show():
    found = comparison([*WORSE, *BETTER])
    pictures = comparison_plots(found)
    assert set(pictures) == {
        *("over_trials", "over_seconds", "best_scores", "ranks", "suggestion_time"),
    }
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    text = comparison_report(found, pictures)
    assert "| tpe | 0.925 |" in text
    assert "![Mean ranks with the critical difference](ranks.png)" in text
    assert "The 6 blocks of the test are 6 seeds on one table" in text
    assert comparison_lines(found)[1].split()[:2] == ["tpe", "0.925"]


def test_the_curves_and_ranks_are_drawn_with_their_names():
    found = comparison([*WORSE, *BETTER])
    figure = plot_curves(found, over="trials")
    assert figure.axes[0].get_xlabel() == "Trials that ended"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["tpe", "random"]
    texts = [text.get_text() for text in plot_ranks(found.ranks).axes[0].texts]
    assert {"tpe  1.00", "2.00  random", "critical difference 0.80"} <= set(texts)


def test_the_clock_measures_suggestions_and_changes_none_of_them():
    config = SearchConfig(("linear",), searcher="random", scheduler="none")
    plain = play(make_study(("linear",), trials=6, searcher="random", scheduler="none"))
    sampler = make_sampler(OBJECTIVE, config)
    clock = SearcherClock(sampler)
    began = time.perf_counter()
    measured = play(make_study(("linear",), trials=6, sampler=sampler, scheduler="none"))
    assert measured == plain
    assert len(clock.milliseconds) == 6
    assert 0 < sum(clock.milliseconds) <= 1000 * (time.perf_counter() - began)


def test_a_search_runs_with_its_own_trials_file(tmp_path):
    search = SearchSection(
        families=("linear",), searcher="random", scheduler="none", workers=1,
        budget_seconds=None, budget_trials=3, seed=4,
    )  # fmt: skip
    heard = []
    found = run_one_search(
        OBJECTIVE,
        search,
        digest="abc",
        trials_file=tmp_path / "trials.jsonl",
        root=tmp_path,
        state=tmp_path,
        on_trial=lambda trial, n: heard.append((trial.number, n)),
    )
    trials = read_trials(tmp_path / "trials.jsonl")
    assert read_header(tmp_path / "trials.jsonl").digest == found.digest == "abc"
    assert heard == [(0, 1), (1, 2), (2, 3)]
    assert found.best == min(trial.score for trial in trials if trial.status == "complete")
    assert (found.seed, len(trials), len(found.suggestion_milliseconds)) == (4, 3, 3)
