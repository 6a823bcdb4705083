from datetime import UTC, datetime

import pytest

from evertune.registry.holdout_reuse import (
    HoldoutUse,
    holdout_use_number,
    row_key_sketch,
    sketch_overlap,
)

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def keys(first, last):
    return [f"row {number}" for number in range(first, last)]


def look(name, first, last, tests=1):
    return HoldoutUse(name, NOW, "2", "1", last - first, row_key_sketch(keys(first, last)), tests)


def test_a_sketch_does_not_depend_on_the_order_of_rows():
    assert row_key_sketch(keys(0, 500)) == row_key_sketch(reversed(keys(0, 500)))


@pytest.mark.parametrize(
    ("first", "expected"), [(0, 1.0), (2500, 0.5), (4000, 0.2), (4500, 0.1), (5000, 0.0)]
)
def test_the_overlap_is_near_the_share_of_rows(first, expected):
    found = sketch_overlap(row_key_sketch(keys(first, first + 5000)), row_key_sketch(keys(0, 5000)))
    assert found == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize(("now", "before"), [((0, 500), (0, 20_000)), ((0, 20_000), (0, 2500))])
def test_the_overlap_counts_the_rows_that_judge_now(now, before):
    share = min(before[1], now[1]) / now[1]
    assert sketch_overlap(
        row_key_sketch(keys(*now)), row_key_sketch(keys(*before))
    ) == pytest.approx(share, abs=0.06)


def test_rows_that_cannot_be_told_apart_count_as_the_same():
    assert sketch_overlap(row_key_sketch(keys(0, 3)), row_key_sketch(keys(0, 200_000))) in (
        0.0,
        1.0,
    )


def test_no_rows_share_none():
    assert sketch_overlap((), row_key_sketch(keys(0, 3))) == 0.0


def test_a_renewed_hold_out_starts_again():
    earlier = [look("a", 0, 1000), look("b", 0, 1000)]
    assert holdout_use_number(row_key_sketch(keys(2000, 3000)), earlier) == 1
    assert holdout_use_number(row_key_sketch(keys(500, 1500)), earlier) == 3


def test_every_test_that_could_promote_was_a_look():
    assert holdout_use_number(row_key_sketch(keys(0, 100)), [look("a", 0, 100, tests=2)]) == 3
