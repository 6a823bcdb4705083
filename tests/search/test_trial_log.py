from dataclasses import replace

import numpy as np
import pytest

from evertune.errors import InputError
from evertune.models.families import COMMON_DEFAULTS, FAMILIES
from evertune.search.configurations import build_space, nearest_configuration
from evertune.search.space import DEFAULT_SPACES
from evertune.search.trial_log import (
    TrialLog,
    append_trial,
    drop_entries,
    open_trials,
    pool_megabytes,
    read_entries,
    read_header,
    read_trials,
    save_entry,
    stored_numbers,
)
from evertune.trials import Configuration, FoldResult, SearchHeader, Trial
from tests.search.studies import evaluate, make_study

HEADER = SearchHeader("d1", "rmse", False, 2, 60.0, None)
FOLD = FoldResult(0, {"rmse": 1.5, "mape": None}, 0.1, 0.2)


def trial(number, score=1.5, status="stopped"):
    configuration = Configuration("linear", {"numeric_transform": "power", "alpha": 1})
    return Trial(number, configuration, status, (FOLD,), score, "others were better", 3.25)


def artifacts(number, *, classes=False):
    """Return the artifacts of a trial, with all that a fold model may have."""
    stored = []
    study = make_study(("linear",), trials=1, on_finished=lambda *each: stored.append(each[1]))
    evaluate(study, study.ask(), 1.0)
    study.flush()
    first, *others = stored[0].folds
    if classes:
        shares = np.column_stack([np.linspace(0, 1, len(first.rows))] * 2)
        first = replace(first, predictions=replace(first.predictions, probabilities=shares))
    first = replace(first, columns=(0, 2), iterations=7, whole=False)
    return replace(stored[0], number=number, folds=(first, *others))


def test_trials_are_read_back_as_they_were(tmp_path):
    path = tmp_path / "trials.jsonl"
    open_trials(path, HEADER)
    append_trial(path, trial(0))
    append_trial(path, trial(1))
    assert read_trials(path) == (trial(0), trial(1))


def test_trials_of_release_0_1_are_read_under_the_names_of_today(golden_project_files):
    path = golden_project_files / "data" / "trials.jsonl"
    assert '"hist_boosting"' in path.read_text()
    configurations = [trial.configuration for trial in read_trials(path)]
    assert "hist_gradient_boosting" in {each.family for each in configurations}
    for each in configurations:
        assert set(each.hyperparameters) <= {*COMMON_DEFAULTS, *FAMILIES[each.family].defaults}
        near = nearest_configuration(each, build_space(DEFAULT_SPACES))
        assert near.hyperparameters.items() >= each.hyperparameters.items()


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


def test_a_header_says_the_version_of_the_file_and_one_without_is_read(tmp_path):
    path = tmp_path / "trials.jsonl"
    open_trials(path, HEADER)
    assert '"schema_version":1' in path.read_text()
    path.write_text(path.read_text().replace(',"schema_version":1', ""))
    append_trial(path, trial(0))
    assert read_header(path) == HEADER
    assert read_trials(path) == (trial(0),)


def test_a_file_of_a_later_release_is_refused(tmp_path):
    path = tmp_path / "trials.jsonl"
    open_trials(path, replace(HEADER, schema_version=99))
    with pytest.raises(InputError, match=r"version 1 or before, but found version 99"):
        read_trials(path)


def open_log(folder, megabytes=100.0):
    return TrialLog(
        folder / "trials.jsonl", folder / "pool", header=HEADER, max_pool_megabytes=megabytes
    )


def test_a_log_resumes_its_trials_and_drops_models_without_a_trial(tmp_path):
    open_log(tmp_path).record(trial(0), artifacts(0))
    save_entry(
        tmp_path / "pool", artifacts(1)
    )  # the process was killed before the trial was written
    assert open_log(tmp_path).trials == [trial(0)]
    assert stored_numbers(tmp_path / "pool") == (0,)


def test_a_log_of_failed_trials_starts_anew(tmp_path):
    for number in range(2):
        open_log(tmp_path).record(trial(number, None, "failed"), None)
        assert [each.number for each in read_trials(tmp_path / "trials.jsonl")] == [number]


def test_a_full_pool_loses_the_worst_models_and_keeps_the_best(tmp_path):
    log = open_log(tmp_path, megabytes=1e-9)
    for number, score in enumerate([3.0, 1.0, 2.0]):
        log.record(trial(number, score, "complete"), artifacts(number))
    assert stored_numbers(tmp_path / "pool") == (1,)
    assert len(log.trials) == 3


@pytest.mark.parametrize("classes", [True, False])
def test_an_entry_is_read_back_as_it_was(tmp_path, classes):
    save_entry(tmp_path, artifacts(3, classes=classes))
    (back,) = read_entries(tmp_path)
    expected = artifacts(3, classes=classes)
    assert (back.number, back.configuration) == (3, expected.configuration)
    for left, right in zip(back.folds, expected.folds, strict=True):
        assert (left.kind, left.data, left.columns) == (right.kind, right.data, right.columns)
        assert (left.iterations, left.whole) == (right.iterations, right.whole)
        assert np.array_equal(left.rows, right.rows)
        assert np.array_equal(left.predictions.values, right.predictions.values)
        assert np.array_equal(left.predictions.probabilities, right.predictions.probabilities)


def test_entries_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (11, 2, 100):
        save_entry(tmp_path, artifacts(number))
    assert [each.number for each in read_entries(tmp_path)] == [2, 11, 100]
    assert [each.number for each in read_entries(tmp_path, [100, 2, 7])] == [2, 100]


def test_predictions_are_read_without_the_models(tmp_path):
    save_entry(tmp_path, artifacts(0))
    (back,) = read_entries(tmp_path, models=False)
    assert {model.data for model in back.folds} == {b""}


def test_entries_are_dropped_and_the_pool_is_smaller(tmp_path):
    for number in range(3):
        save_entry(tmp_path, artifacts(number))
    before = pool_megabytes(tmp_path)
    drop_entries(tmp_path, [0, 2, 9])
    assert stored_numbers(tmp_path) == (1,)
    assert pool_megabytes(tmp_path) == pytest.approx(before / 3)


def test_equal_entries_give_equal_bytes(tmp_path):
    for folder in ("first", "second"):
        save_entry(tmp_path / folder, artifacts(0))
    contents = [next((tmp_path / name).iterdir()).read_bytes() for name in ("first", "second")]
    assert contents[0] == contents[1]


def test_where_there_is_no_pool_there_are_no_entries(tmp_path):
    assert read_entries(tmp_path / "none") == ()


def test_a_file_that_is_no_entry_is_refused(tmp_path):
    (tmp_path / "000001.zip").write_text("torn")
    with pytest.raises(InputError, match=r"000001.zip is not what the search wrote"):
        read_entries(tmp_path)


@pytest.mark.parametrize("line", [1, 2])
def test_a_torn_line_in_the_middle_is_named_with_what_to_do(tmp_path, line):
    path = tmp_path / "trials.jsonl"
    open_trials(path, HEADER)
    append_trial(path, trial(0))
    append_trial(path, trial(1))
    lines = path.read_text().splitlines()
    lines[line - 1] = lines[line - 1][:-20]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=rf"line {line}: .*remove the file and run"):
        read_trials(path)
