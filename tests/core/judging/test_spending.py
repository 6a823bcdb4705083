import pytest

from evertune.registry.holdout_reuse import adjusted_confidence, alpha_share


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
