"""Models whose quality is known, because it was planted on made-up rows, before the gate."""

from dataclasses import replace

import numpy as np
import pytest

from evertune.config.schema import GatesSection
from evertune.evaluation.evaluation_record import BaselineRow
from evertune.evaluation.slices import Slice
from evertune.metrics.metrics import METRICS
from evertune.registry.evidence import (
    PairedPredictions,
    n_missing_predictions,
    slice_regressions,
    slice_tests,
)
from evertune.registry.gates import ChampionComparison, GateEvidence, evaluate_gates
from evertune.registry.holdout_reuse import adjusted_confidence
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions
from tests.registry.evaluated import EVALUATION

GUESS = BaselineRow("zero_rule", "none", "", {"roc_auc": 0.5}, {}, 0.2, 0.1, 0.3, n_rows=300)
GOOD = replace(EVALUATION, metric="roc_auc", holdout={"roc_auc": 0.7}, baselines=(GUESS,))
AUC, BRIER = METRICS["roc_auc"], METRICS["brier"]
BINOMIAL = 17  # of 200 at 5 %: more come by chance in 1.5 % of cases
EVER = 3  # of 15 at 5 %: more come by chance in 0.6 % of cases


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def draw_rows(rng, n_rows=300):
    """Return log odds and the outcomes that they give."""
    logits = rng.normal(0, 1.5, n_rows)
    return logits, (rng.uniform(size=n_rows) < 1 / (1 + np.exp(-logits))).astype(float)


def predict(logits, rng, noise):
    """Return the predictions of a model that sees the log odds through noise."""
    p = 1 / (1 + np.exp(-(logits + rng.normal(0, 1, logits.size) * noise)))
    return Predictions((p > 0.5).astype(float), np.column_stack([1 - p, p]))


def judge(y_true, ours, theirs, *, use=1, draws=300, checks=False, **changed):
    """Return the verdict about two models on rows that neither was trained on."""
    first, second = (
        BootstrapConfig(draws, adjusted_confidence(each, alpha=0.05), 0) for each in (use, use + 1)
    )
    pair = PairedPredictions(y_true, ours, theirs)
    improvement, loss = pair.improvement(AUC, first), pair.improvement(BRIER, second)
    evidence = GateEvidence(
        "2",
        y_true.size,
        n_missing=n_missing_predictions(ours),
        champion=ChampionComparison("1", improvement, loss=loss),
        holdout_use=use,
        confidence=first.confidence,
        faults=(),
    )
    if checks:
        half, plain = y_true.size // 2, BootstrapConfig(draws, 0.95, 0)
        slices = [Slice("plan", n, np.arange(k * half, (k + 1) * half)) for k, n in enumerate("ab")]
        regressions = slice_regressions((AUC, BRIER), pair, slices, plain)
        evidence = replace(
            evidence,
            slice_columns=("plan",),
            regressions=regressions,
            tests=slice_tests(regressions),
            has_probabilities=True,
            calibration=pair.drop(METRICS["calibration_error"], plain),
        )
    return evaluate_gates(GOOD, replace(evidence, **changed), GatesSection())


@pytest.mark.parametrize(
    ("noise", "decision"), [(2.0, "keep"), (1.0, "not promoted"), (0.2, "promote")]
)
def test_a_worse_an_equal_and_a_better_model_get_the_right_verdict(rng, noise, decision):
    logits, y_true = draw_rows(rng, 600)
    theirs, ours = predict(logits, rng, 1.0), predict(logits, rng, noise)
    given = judge(y_true, ours, theirs, checks=True).decision
    assert given == decision or (decision == "not promoted" and given != "promote")


def test_the_same_model_again_is_not_promoted(rng):
    logits, y_true = draw_rows(rng)
    same = predict(logits, rng, 1.0)
    assert judge(y_true, same, same, checks=True).decision == "keep"


def test_a_better_model_that_knows_the_rows_is_refused(rng):
    logits, y_true = draw_rows(rng)
    ours, theirs = predict(logits, rng, 0.1), predict(logits, rng, 1.0)
    assert judge(y_true, ours, theirs, n_trained=150).decision == "keep"


def test_a_model_that_is_silent_where_it_would_be_wrong_is_not_promoted(rng):
    logits, y_true = draw_rows(rng)
    ours, theirs = predict(logits, rng, 0.1), predict(logits, rng, 1.0)
    hard = np.abs(logits) < 0.5
    silent = Predictions(np.where(hard, np.nan, ours.values), ours.probabilities)
    verdict = judge(y_true, silent, theirs)
    assert verdict.decision == "not enough evidence"
    assert verdict.reasons[0].startswith(f"it gives no finite prediction for {hard.sum()} of 300")


def test_a_model_that_is_better_on_average_and_worse_on_a_slice_is_kept_out(rng):
    logits, y_true = draw_rows(rng, 600)
    first_half = np.arange(600) < 300
    theirs = predict(logits, rng, np.where(first_half, 6.0, 0.2))
    ours = predict(logits, rng, np.where(first_half, 0.1, 2.0))
    verdict = judge(y_true, ours, theirs, checks=True)
    assert {each.name: each.outcome for each in verdict.gates}["champion"] == "pass"
    assert verdict.decision == "keep"
    assert verdict.reasons[0].startswith("worse where plan is b: ROC AUC is worse by ")


def test_two_hundred_retunes_that_change_nothing_promote_at_most_the_stated_share(rng):
    promoted = 0
    for _ in range(200):
        logits, y_true = draw_rows(rng, 100)
        ours, theirs = predict(logits, rng, 1.0), predict(logits, rng, 1.0)
        promoted += judge(y_true, ours, theirs, draws=100).promoted
    assert promoted <= BINOMIAL


def test_many_uses_of_one_hold_out_promote_at_most_the_stated_share_together(rng):
    ever = 0
    for _ in range(15):
        logits, y_true = draw_rows(rng, 100)
        theirs = predict(logits, rng, 1.0)
        ever += any(
            judge(y_true, predict(logits, rng, 1.0), theirs, use=use, draws=100).promoted
            for use in range(1, 10, 2)
        )
    assert ever <= EVER
