from dataclasses import replace

from evertune.search.trial_log import append_trial, open_trials, read_trials
from evertune.trials import Configuration, FoldResult, SearchHeader, Trial

HEADER = SearchHeader("d1", "rmse", False, 2, 60.0, None)
FOLD = FoldResult(0, {"rmse": 1.5, "mape": None}, 0.1, 0.2)


def trial(number):
    configuration = Configuration("linear", {"numbers": "power", "regularisation": 1})
    return Trial(number, configuration, "stopped", (FOLD,), 1.5, "others were better", 3.25)


def test_trials_are_read_back_as_they_were(tmp_path):
    path = tmp_path / "trials.jsonl"
    open_trials(path, HEADER)
    append_trial(path, trial(0))
    append_trial(path, trial(1))
    assert read_trials(path) == (trial(0), trial(1))


def test_trials_of_the_same_search_are_kept(tmp_path):
    path = tmp_path / "trials.jsonl"
    open_trials(path, HEADER)
    append_trial(path, trial(0))
    assert open_trials(path, HEADER) == (trial(0),)
    assert read_trials(path) == (trial(0),)


def test_trials_of_another_search_are_dropped(tmp_path):
    path = tmp_path / "trials.jsonl"
    open_trials(path, HEADER)
    append_trial(path, trial(0))
    assert open_trials(path, SearchHeader("d2", "rmse", False, 2, 60.0, None)) == ()
    assert read_trials(path) == ()


def test_another_number_of_workers_is_the_same_search(tmp_path):
    path = tmp_path / "trials.jsonl"
    open_trials(path, HEADER)
    append_trial(path, trial(0))
    assert open_trials(path, replace(HEADER, workers=2)) == (trial(0),)


def test_a_torn_line_is_dropped(tmp_path):
    path = tmp_path / "trials.jsonl"
    open_trials(path, HEADER)
    append_trial(path, trial(0))
    with path.open("a") as file:
        file.write('{"number": 1, "conf')
    assert open_trials(path, HEADER) == (trial(0),)


def test_a_file_that_is_something_else_is_replaced(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text("not a header\n")
    assert open_trials(path, HEADER) == ()
    assert len(path.read_text().splitlines()) == 1
