import pytest

from evertune.evaluation.evaluation_record import BaselineRow, Evaluation, Guard, MetricRow
from evertune.evaluation.explain import Importance
from evertune.search.summary import FamilyRow, SearchSummary, Setting

BASELINES = (
    BaselineRow(
        name="zero_rule",
        kind="none",
        description="always 'no'",
        holdout={"roc_auc": 0.5, "log_loss": 0.52},
        folds={"roc_auc": 0.5, "log_loss": 0.53},
        lift=0.34,
        low=0.31,
        high=0.37,
        n_rows=200,
    ),
    BaselineRow(
        name="logistic_regression",
        kind="model",
        description="logistic regression with default values",
        holdout={"roc_auc": 0.81, "log_loss": 0.42},
        folds={"roc_auc": 0.8, "log_loss": 0.43},
        lift=0.03,
        low=0.01,
        high=0.05,
        paired=True,
        n_rows=200,
    ),
    BaselineRow(
        name="human",
        kind="given",
        description="people, where they judged",
        holdout={"roc_auc": None, "log_loss": None},
        folds={},
    ),
)
METRICS = (
    MetricRow(
        name="roc_auc",
        greater_is_better=True,
        holdout=0.84,
        low=0.8,
        high=0.88,
        training=0.9,
        gap=0.06,
        folds=0.83,
        folds_low=0.79,
        folds_high=0.87,
        baseline="logistic_regression",
        baseline_holdout=0.81,
        lift=0.03,
        lift_low=0.01,
        lift_high=0.05,
    ),
    MetricRow(
        name="log_loss",
        greater_is_better=False,
        holdout=0.4,
        baseline="logistic_regression",
        baseline_holdout=0.42,
        lift=0.02,
    ),
)


@pytest.fixture
def evaluation() -> Evaluation:
    """A model that is a little better than logistic regression."""
    return Evaluation(
        target="churned",
        task="binary",
        classes=("no", "yes"),
        metric="roc_auc",
        greater_is_better=True,
        confidence=0.95,
        n_training=800,
        n_holdout=200,
        holdout={"roc_auc": 0.84, "log_loss": 0.4},
        lift={"roc_auc": 0.03, "log_loss": 0.02},
        best_baseline="logistic_regression",
        chosen="model",
        reasons=("It is better than the best simple model, logistic regression.",),
        family="lightgbm",
        settings=(Setting("learning_rate", 0.1), Setting("n_leaves", 31)),
        search=SearchSummary(12, 5, 6, 1, 58.2, (FamilyRow("lightgbm", 12, 5, 0.83),)),
        metrics=METRICS,
        baselines=BASELINES,
        confusion=((150, 10), (25, 15)),
        importance=(Importance("tenure", 0.12, 0.1, 0.14), Importance("plan", -0.01, -0.02, 0.0)),
        guards=(Guard("log_loss", 0.5, 0.4, kept=True),),
        notes=("The folds chose this trial, so that its figure on them is flattering.",),
    )
