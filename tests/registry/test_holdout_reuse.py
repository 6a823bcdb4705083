from datetime import UTC, datetime

import pytest

from evertune.registry.holdout_reuse import (
    HoldoutUse,
    adjusted_confidence,
    holdout_use_number,
    row_key_sketch,
    sketch_overlap,
)

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def sketch(first, last):
    return row_key_sketch(f"row {number}" for number in range(first, last))


def use(name, first, last, tests=1):
    return HoldoutUse(name, NOW, "2", "1", last - first, sketch(first, last), tests)


@pytest.mark.parametrize(
    ("first", "expected"), [(0, 1.0), (2500, 0.5), (4000, 0.2), (4500, 0.1), (5000, 0.0)]
)
def test_the_overlap_is_near_the_share_of_rows(first, expected):
    overlap = sketch_overlap(sketch(first, first + 5000), sketch(0, 5000))
    assert overlap == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize(("now", "before"), [((0, 500), (0, 20_000)), ((0, 20_000), (0, 2500))])
def test_the_overlap_counts_the_rows_of_this_use(now, before):
    share = min(before[1], now[1]) / now[1]
    assert sketch_overlap(sketch(*now), sketch(*before)) == pytest.approx(share, abs=0.06)


def test_if_sketches_do_not_show_which_rows_are_shared_all_or_none_are():
    assert sketch_overlap(sketch(0, 3), sketch(0, 200_000)) in (0.0, 1.0)
    assert sketch_overlap((), sketch(0, 3)) == 0.0


def test_a_renewed_hold_out_starts_again():
    earlier = [use("a", 0, 1000), use("b", 0, 1000)]
    assert holdout_use_number(sketch(2000, 3000), earlier) == 1
    assert holdout_use_number(sketch(500, 1500), earlier) == 3


def test_every_test_that_could_promote_was_a_use():
    assert holdout_use_number(sketch(0, 100), [use("a", 0, 100, tests=2)]) == 3


def test_the_first_use_has_the_usual_confidence_and_the_tails_of_all_uses_sum_to_alpha():
    confidences = [adjusted_confidence(number, alpha=0.05) for number in range(1, 20_000)]
    assert confidences[0] == pytest.approx(0.95)
    assert sum((1 - each) / 2 for each in confidences) == pytest.approx(0.05, rel=1e-4)


@pytest.mark.parametrize(("number", "alpha"), [(0, 0.05), (1, 0.0), (1, 1.0)])
def test_uses_are_counted_from_one_and_alpha_is_a_probability(number, alpha):
    with pytest.raises(ValueError, match="must be"):
        adjusted_confidence(number, alpha=alpha)
