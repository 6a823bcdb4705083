"""Models that are planted on made-up rows, and what the gate says of them."""

from dataclasses import dataclass, replace

import numpy as np

from evertune.config.schema import GatesSection
from evertune.evaluation.evaluation_record import BaselineRow
from evertune.evaluation.slices import Slice
from evertune.metrics.metrics import METRICS
from evertune.registry.evidence import (
    ChampionComparison,
    GateEvidence,
    PairedPredictions,
    calibration_error_increase,
    n_missing_predictions,
    slice_regressions,
    slice_tests,
)
from evertune.registry.gates import evaluate_gates
from evertune.registry.holdout_reuse import adjusted_confidence
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions
from tests.registry.evaluated import EVALUATION

GUESS = BaselineRow("zero_rule", "none", "", {"roc_auc": 0.5}, {}, 0.2, 0.1, 0.3, n_rows=300)
GOOD = replace(EVALUATION, metric="roc_auc", holdout={"roc_auc": 0.7}, baselines=(GUESS,))
AUC, BRIER = METRICS["roc_auc"], METRICS["brier"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows whose outcome is a chance of `logits`; the first half of them is a slice."""

    logits: np.ndarray
    truth: np.ndarray

    @property
    def slices(self):
        half = self.truth.size // 2
        return (Slice("plan", "a", np.arange(half)), Slice("plan", "b", np.arange(half, 2 * half)))


def rows(rng, n_rows=300):
    logits = rng.normal(0, 1.5, n_rows)
    return Rows(logits, (rng.uniform(size=n_rows) < 1 / (1 + np.exp(-logits))).astype(float))


def model(made, rng, noise):
    """Return what a model says that sees the logits through noise, one number or one a row."""
    chances = 1 / (1 + np.exp(-(made.logits + rng.normal(0, 1, made.truth.size) * noise)))
    return Predictions((chances > 0.5).astype(float), np.column_stack([1 - chances, chances]))


def found(made, ours, theirs, *, look=1, draws=300):
    """Return the evidence of two models on rows that neither was trained on."""
    first, second = (
        BootstrapConfig(draws, adjusted_confidence(each, false_promotions=0.05), 0)
        for each in (look, look + 1)
    )
    pair = PairedPredictions(made.truth, ours, theirs)
    rival = ChampionComparison(
        "1",
        pair.improvement(AUC, first),
        loss=pair.improvement(BRIER, second),
    )
    return GateEvidence(
        "2", made.truth.size, n_missing=n_missing_predictions(ours), champion=rival, look=look,
        confidence=first.confidence, faults=(),
    )  # fmt: skip


def with_checks(evidence, made, ours, theirs):
    """Return the evidence with that of slices and calibration."""
    pair, drawn = PairedPredictions(made.truth, ours, theirs), BootstrapConfig(300, 0.95, 0)
    falls = slice_regressions((AUC, BRIER), pair, made.slices, drawn)
    return replace(
        evidence,
        slice_columns=("plan",),
        regressions=falls,
        tests=slice_tests(falls),
        has_probabilities=True,
        calibration=calibration_error_increase(pair, drawn),
    )


def verdict(evidence):
    return evaluate_gates(GOOD, evidence, GatesSection())
