from dataclasses import replace

import numpy as np
import pytest

from evertune.types import Predictions
from tests.registry.planted_models import found, model, rows, verdict, with_checks

BINOMIAL = 17  # of 200 at 5 %: more come by chance in 1.5 % of cases
EVER = 3  # of 15 at 5 %: more come by chance in 0.6 % of cases


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("noise", "decision"), [(2.0, "keep"), (1.0, "not promoted"), (0.2, "promote")]
)
def test_a_worse_an_equal_and_a_better_model_get_the_right_verdict(rng, noise, decision):
    made = rows(rng, 600)
    theirs, ours = model(made, rng, 1.0), model(made, rng, noise)
    given = verdict(with_checks(found(made, ours, theirs), made, ours, theirs)).decision
    assert given == decision or (decision == "not promoted" and given != "promote")


def test_the_same_model_again_is_not_promoted(rng):
    made = rows(rng)
    said = model(made, rng, 1.0)
    assert verdict(with_checks(found(made, said, said), made, said, said)).decision == "keep"


def test_a_better_model_that_knows_the_rows_is_refused(rng):
    made = rows(rng)
    ours, theirs = model(made, rng, 0.1), model(made, rng, 1.0)
    leaking = replace(found(made, ours, theirs), n_trained=150)
    assert verdict(leaking).decision == "keep"


def test_a_model_whose_probabilities_are_not_numbers_is_not_promoted(rng):
    made = rows(rng)
    ours, theirs = model(made, rng, 0.1), model(made, rng, 1.0)
    hard = np.abs(made.logits) < 0.5  # silent where it would be wrong
    values = np.where(hard, np.nan, ours.values)
    given = verdict(found(made, Predictions(values, ours.probabilities), theirs))
    assert given.decision == "not enough evidence"
    assert given.reasons[0].startswith(f"it gives no finite prediction for {hard.sum()} of 300")


def test_a_model_that_is_better_on_average_and_worse_on_a_slice_is_kept_out(rng):
    made = rows(rng, 600)
    theirs = model(made, rng, np.where(np.arange(600) < 300, 6.0, 0.2))
    ours = model(made, rng, np.where(np.arange(600) < 300, 0.1, 2.0))
    given = verdict(with_checks(found(made, ours, theirs), made, ours, theirs))
    assert {each.name: each.outcome for each in given.gates}["champion"] == "pass"
    assert given.decision == "keep"
    assert given.reasons[0].startswith("worse where plan is b: roc_auc is worse by ")


def test_two_hundred_retunes_that_change_nothing_promote_at_most_the_stated_share(rng):
    promoted = 0
    for _ in range(200):
        made = rows(rng, 100)
        ours, theirs = model(made, rng, 1.0), model(made, rng, 1.0)
        promoted += verdict(found(made, ours, theirs, draws=100)).promoted
    assert promoted <= BINOMIAL


def test_many_looks_at_one_hold_out_promote_at_most_the_stated_share_together(rng):
    ever = 0
    for _ in range(15):
        made = rows(rng, 100)
        theirs = model(made, rng, 1.0)
        ever += any(
            verdict(found(made, model(made, rng, 1.0), theirs, look=look, draws=100)).promoted
            for look in range(1, 10, 2)
        )
    assert ever <= EVER
