import numpy as np
import pandas as pd
import pytest

from evertune.data.holdout import hash_rows, is_in_holdout, is_latest

TABLE = pd.DataFrame(
    {
        "plan": pd.Series(["basic", "pro", None, "basic"], dtype="str"),
        "tenure": [1.0, -0.0, np.nan, 1.0],
        "since": pd.to_datetime(["2024-01-01", None, "2024-02-01", "2024-01-01"]),
    }
)
COLUMNS = ["plan", "tenure", "since"]


def test_keys_stay_what_they_are_over_versions():
    found = hash_rows(TABLE, COLUMNS).tolist()
    assert found == [
        "1908830136a90032",
        "3736913206d7ec0d",
        "12c2d23d15c4ac1a",
        "1908830136a90032",
    ]


def test_keys_do_not_hang_on_the_order_of_rows_or_columns():
    turned = hash_rows(TABLE[::-1], COLUMNS[::-1])[::-1]
    assert turned.tolist() == hash_rows(TABLE, COLUMNS).tolist()


def test_equal_rows_have_equal_keys_and_others_have_not():
    keys = hash_rows(TABLE, COLUMNS)
    assert keys[0] == keys[3]
    assert keys.nunique() == 3


def test_the_same_cells_under_other_names_have_other_keys():
    swapped = pd.DataFrame({"a": ["x"], "b": ["y"]})
    other = pd.DataFrame({"a": ["y"], "b": ["x"]})
    assert hash_rows(swapped, ["a", "b"])[0] != hash_rows(other, ["a", "b"])[0]


def test_zero_and_minus_zero_are_the_same_number():
    keys = hash_rows(pd.DataFrame({"x": [0.0, -0.0]}), ["x"])
    assert keys[0] == keys[1]


def test_keys_keep_the_index_and_have_sixteen_digits():
    keys = hash_rows(TABLE[2:], ["plan"])
    assert keys.index.tolist() == [2, 3]
    assert keys.str.fullmatch("[0-9a-f]{16}").all()


def test_dates_in_other_units_have_the_same_keys():
    units = [TABLE["since"].astype(f"datetime64[{unit}]").to_frame() for unit in ("ns", "us", "s")]
    first, *others = [hash_rows(table, ["since"]).tolist() for table in units]
    assert others == [first, first]


def test_a_key_needs_a_column():
    with pytest.raises(ValueError, match=r"needs at least one column. Got none"):
        hash_rows(TABLE, [])


def test_a_row_keeps_its_side_when_rows_are_added():
    keys = hash_rows(pd.DataFrame({"id": range(1000)}), ["id"])
    whole = is_in_holdout(keys, fraction=0.3, seed=4)
    assert is_in_holdout(keys[:200], fraction=0.3, seed=4).tolist() == whole[:200].tolist()


def test_a_greater_holdout_keeps_what_it_had():
    keys = hash_rows(pd.DataFrame({"id": range(1000)}), ["id"])
    small, large = (is_in_holdout(keys, fraction=share, seed=0) for share in (0.1, 0.3))
    assert not (small & ~large).any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_holdout_has_about_its_share(seed):
    keys = hash_rows(pd.DataFrame({"id": range(20_000)}), ["id"])
    assert is_in_holdout(keys, fraction=0.2, seed=seed).mean() == pytest.approx(0.2, abs=0.01)


def test_other_seeds_hold_out_other_rows():
    keys = hash_rows(pd.DataFrame({"id": range(20_000)}), ["id"])
    both = is_in_holdout(keys, fraction=0.2, seed=0) & is_in_holdout(keys, fraction=0.2, seed=1)
    assert both.mean() == pytest.approx(0.04, abs=0.01)


@pytest.mark.parametrize(
    ("times", "fraction", "expected"),
    [
        ([1, 2, 3, 4], 0.25, [4]),
        ([4, 3, 2, 1], 0.5, [3, 4]),
        ([1, 2, 3, 3, 3], 0.2, [3, 3, 3]),
        ([1, 2, 2, 2, 3], 0.4, [3]),
        ([1, 2, 2, 2, 3], 0.7, [2, 2, 2, 3]),
        ([1, 1, 1, 2], 0.9, [2]),
    ],
)
def test_the_latest_rows_are_about_the_share_and_part_no_time(times, fraction, expected):
    numbers = np.array(times, dtype=float)
    assert sorted(numbers[is_latest(numbers, fraction)]) == expected


def test_the_latest_of_dates_are_the_last():
    dates = np.array(["2024-03-01", "2023-01-01"], dtype="datetime64[us]")
    assert is_latest(dates, 0.5).tolist() == [True, False]


def test_rows_without_a_time_cannot_be_ordered():
    with pytest.raises(ValueError, match=r"Every row must have a time. Got 1 rows without"):
        is_latest(np.array([1.0, np.nan]), 0.2)


def test_rows_of_one_time_cannot_be_parted():
    with pytest.raises(ValueError, match="at least two different times"):
        is_latest(np.ones(3), 0.2)
