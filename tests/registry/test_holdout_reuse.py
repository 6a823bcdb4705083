from datetime import UTC, datetime

import pytest

from evertune.registry.holdout_reuse import (
    HoldoutUse,
    adjusted_confidence,
    alpha_share,
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


def test_the_shares_of_all_looks_sum_to_one():
    assert sum(alpha_share(look) for look in range(1, 100_000)) == pytest.approx(1, abs=1e-4)


def test_the_first_look_is_at_the_usual_confidence():
    assert adjusted_confidence(1, false_promotions=0.05) == pytest.approx(0.95)


def test_the_upper_tail_of_a_look_is_what_it_may_spend():
    tail = (1 - adjusted_confidence(3, false_promotions=0.06)) / 2
    assert tail == pytest.approx(0.06 / 12)


def test_looks_are_counted_from_one():
    with pytest.raises(ValueError, match=r"'look' must be at least 1. Got 0 instead."):
        alpha_share(0)


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_some_promotions_may_be_false_but_not_all(wrong):
    with pytest.raises(ValueError, match=r"must be above 0 and below 1. Got"):
        adjusted_confidence(1, false_promotions=wrong)
