from dataclasses import replace

import numpy as np
import pytest

from evertune.errors import InputError
from evertune.search.trial_log import (
    drop_entries,
    pool_megabytes,
    read_entries,
    save_entry,
    stored_numbers,
)
from tests.core.pooled import entry, folds_of_rows

FOLDS = folds_of_rows(12)


def made(number, *, classes=True):
    said = np.linspace(0.1, 0.9, 12)
    found = entry(number, said, FOLDS, classes=classes, data=b"bytes of a model")
    first = replace(found.folds[0], kind="skops", columns=(0, 2), iterations=7, whole=False)
    return replace(found, folds=(first, *found.folds[1:]))


@pytest.mark.parametrize("classes", [True, False])
def test_an_entry_is_read_back_as_it_was(tmp_path, classes):
    save_entry(tmp_path, made(3, classes=classes))
    (back,) = read_entries(tmp_path)
    expected = made(3, classes=classes)
    assert (back.number, back.configuration, back.form) == (3, expected.configuration, "scaled")
    for left, right in zip(back.folds, expected.folds, strict=True):
        assert (left.kind, left.data, left.columns) == (right.kind, right.data, right.columns)
        assert (left.iterations, left.whole) == (right.iterations, right.whole)
        assert np.array_equal(left.rows, right.rows)
        assert np.array_equal(left.predictions.values, right.predictions.values)
        assert np.array_equal(left.predictions.probabilities, right.predictions.probabilities)


def test_entries_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (11, 2, 100):
        save_entry(tmp_path, made(number))
    assert [each.number for each in read_entries(tmp_path)] == [2, 11, 100]
    assert [each.number for each in read_entries(tmp_path, [100, 2, 7])] == [2, 100]


def test_predictions_are_read_without_the_models(tmp_path):
    save_entry(tmp_path, made(0))
    (back,) = read_entries(tmp_path, models=False)
    assert {model.data for model in back.folds} == {b""}


def test_entries_are_dropped_and_the_pool_is_smaller(tmp_path):
    for number in range(3):
        save_entry(tmp_path, made(number))
    before = pool_megabytes(tmp_path)
    drop_entries(tmp_path, [0, 2, 9])
    assert stored_numbers(tmp_path) == (1,)
    assert pool_megabytes(tmp_path) == pytest.approx(before / 3)


def test_equal_entries_give_equal_bytes(tmp_path):
    for folder in ("first", "second"):
        save_entry(tmp_path / folder, made(0))
    contents = [next((tmp_path / name).iterdir()).read_bytes() for name in ("first", "second")]
    assert contents[0] == contents[1]


def test_where_there_is_no_pool_there_are_no_entries(tmp_path):
    assert read_entries(tmp_path / "none") == ()


def test_a_file_that_is_no_entry_is_refused(tmp_path):
    (tmp_path / "000001.zip").write_text("torn")
    with pytest.raises(InputError, match=r"000001.zip is not what the search wrote"):
        read_entries(tmp_path)
