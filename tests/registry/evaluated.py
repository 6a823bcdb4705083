"""An evaluation and evidence that pass every gate, for tests to change."""

from evertune.evaluation.evaluation_record import BaselineRow, Evaluation, MetricRow
from evertune.registry.gates import ChampionComparison, GateEvidence
from evertune.search.summary import SearchSummary
from evertune.stats.results import PairedDifference


def baseline(name, kind, figure, low):
    return BaselineRow(
        name, kind, "", {"f1": figure}, {}, lift=0.6 - figure, low=low, high=0.5, n_rows=100
    )


GUESS = baseline("zero_rule", "none", 0.4, 0.1)
SIMPLE = baseline("small_tree", "model", 0.7, -0.2)
EVALUATION = Evaluation(
    target="churned",
    task="binary",
    classes=("no", "yes"),
    metric="f1",
    greater_is_better=True,
    confidence=0.95,
    n_training=400,
    n_holdout=100,
    holdout={"f1": 0.6, "log_loss": 0.5},
    lift={"f1": 0.2},
    best_baseline="zero_rule",
    chosen="model",
    reasons=("it is better",),
    family="lightgbm",
    settings=(),
    search=SearchSummary(3, 3, 0, 0, 1.0),
    metrics=(MetricRow("f1", True, 0.6), MetricRow("log_loss", False, 0.5)),
    baselines=(GUESS, SIMPLE),
    confusion=((40, 10), (10, 40)),
)
EVIDENCE = GateEvidence("4", 100, faults=())


def difference(mean, low, high, p_value=None):
    return PairedDifference(mean, low, high, None, 100, p_value=p_value)


def rival(mean, low, high):
    return ChampionComparison("3", difference(mean, low, high))
