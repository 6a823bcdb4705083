"""Formats metric names, scores, intervals and hyperparameters for reports, plots and messages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evertune.trials import ParameterValue

METRIC_LABELS = {
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "brier": "Brier score",
    "rmse": "RMSE",
    "mae": "MAE",
    "mape": "MAPE",
    "r2": "R2",
    "pinball": "pinball loss",
}
FAMILY_LABELS = {
    "catboost": "CatBoost",
    "lightgbm": "LightGBM",
    "xgboost": "XGBoost",
    "linear": "a linear model",
    "tree": "a decision tree",
    "knn": "nearest neighbours",
    "svm": "a support vector machine",
    "mlp": "a neural network",
    "embedding_mlp": "a neural network with embeddings",
}
NEGLIGIBLE = 1e-9


def metric_name(name: str) -> str:
    """Return a metric's name as people write it.

    Examples
    --------
    >>> metric_name("roc_auc"), metric_name("cost_per_call")
    ('ROC AUC', 'cost per call')
    """
    return METRIC_LABELS.get(name, humanize(name))


def humanize(name: str) -> str:
    """Return a name without underscores."""
    return name.replace("_", " ")


def family_name(name: str) -> str:
    """Return a family of models as people write it.

    Examples
    --------
    >>> family_name("lightgbm"), family_name("extra_trees")
    ('LightGBM', 'extra trees')
    """
    return FAMILY_LABELS.get(name, humanize(name))


def format_score(score: float | None, *, sign: str = "") -> str:
    """Return a score with three or four digits that count, a dash if there is none.

    Examples
    --------
    >>> [format_score(score) for score in (0.84217, 12.345, 1234.5678, 2e12, 4e-17, None)]
    ['0.842', '12.35', '1,235', '2e+12', '0.000', '-']
    """
    if score is None:
        return "-"
    for bound, form in ((1e9, ".3g"), (1000.0, ",.0f"), (10.0, ".2f"), (0.001, ".3f")):
        if abs(score) >= bound:
            return format(score, sign + form)
    return format(score, sign + ".3g") if abs(score) > NEGLIGIBLE else "0.000"


def format_lift(lift: float | None) -> str:
    """Return a difference as a score with its sign.

    Examples
    --------
    >>> format_lift(0.0217), format_lift(-3.0), format_lift(None)
    ('+0.022', '-3.000', '-')
    """
    return format_score(lift, sign="+")


def format_interval(low: float | None, high: float | None) -> str:
    """Return an interval, "" if there is none.

    Examples
    --------
    >>> format_interval(0.81, 0.86), format_interval(None, None)
    ('0.810 to 0.860', '')
    """
    return "" if low is None or high is None else f"{format_score(low)} to {format_score(high)}"


def format_difference(
    difference: float | None, low: float | None, high: float | None, *, confidence: float
) -> str:
    """Return a difference with its sign and its interval.

    Examples
    --------
    >>> format_difference(-0.008, -0.023, 0.005, confidence=0.95)
    '-0.008, 95 % interval -0.023 to 0.005'
    >>> format_difference(0.1, None, None, confidence=0.95)
    '+0.100, no interval is known'
    """
    interval = format_interval(low, high)
    shown = f"{100 * confidence:g} % interval {interval}" if interval else "no interval is known"
    return f"{format_lift(difference)}, {shown}"


def format_count(count: float | None) -> str:
    """Return a count with commas, a dash if there is none.

    Examples
    --------
    >>> format_count(12345), format_count(None)
    ('12,345', '-')
    """
    return "-" if count is None else f"{count:,.0f}"


def count_noun(count: int, noun: str) -> str:
    """Return a count with its noun, whose plural ends in s.

    Examples
    --------
    >>> count_noun(1, "row"), count_noun(2, "row"), count_noun(12345, "trial")
    ('1 row', '2 rows', '12,345 trials')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_two_digits(value: float | None) -> str:
    """Return seconds or milliseconds with two digits that count, a dash if there are none.

    Examples
    --------
    >>> format_two_digits(0.0123), format_two_digits(1234.5), format_two_digits(None)
    ('0.012', '1,234', '-')
    """
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"


def format_hyperparameter(value: "ParameterValue") -> str:
    """Return the value of a hyperparameter, floats with four digits.

    Examples
    --------
    >>> [format_hyperparameter(value) for value in (0.020446398, 31, None, "scaled")]
    ['0.02045', '31', 'none', 'scaled']
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)
