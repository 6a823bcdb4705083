"""Formats metric names, scores, intervals and hyperparameters for reports, plots and messages."""

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
    """Return a name without underscores.

    Examples
    --------
    >>> humanize("logistic_regression")
    'logistic regression'
    """
    return name.replace("_", " ")


def format_score(figure: float | None) -> str:
    """Return a figure as people read it, with a dash where there is none.

    Examples
    --------
    >>> format_score(0.84217), format_score(1234.5678), format_score(None), format_score(0.0)
    ('0.842', '1,235', '-', '0.000')
    >>> format_score(0.000123), format_score(12.345), format_score(4e-17)
    ('0.000123', '12.35', '0.000')
    """
    return _format_signed(figure, sign="")


def format_lift(lift: float | None) -> str:
    """Return a difference with its sign.

    Examples
    --------
    >>> format_lift(0.0217), format_lift(-3.0), format_lift(None)
    ('+0.022', '-3.000', '-')
    """
    return _format_signed(lift, sign="+")


def format_interval(low: float | None, high: float | None) -> str:
    """Return an interval, or nothing where there is none.

    Examples
    --------
    >>> format_interval(0.81, 0.86), format_interval(-0.01, 0.02), format_interval(None, None)
    ('0.810 to 0.860', '-0.010 to 0.020', '')
    """
    if low is None or high is None:
        return ""
    return f"{format_score(low)} to {format_score(high)}"


def format_hyperparameter(value: ParameterValue) -> str:
    """Return the value of a hyperparameter, floats with four digits.

    Examples
    --------
    >>> format_hyperparameter(0.020446398605250455), format_hyperparameter(31), format_hyperparameter(None), format_hyperparameter("scaled")
    ('0.02045', '31', 'none', 'scaled')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def _format_signed(figure: float | None, *, sign: str) -> str:
    if figure is None:
        return "-"
    for bound, form in ((1000.0, ",.0f"), (10.0, ".2f"), (0.001, ".3f")):
        if abs(figure) >= bound:
            return format(figure, sign + form)
    return format(figure, sign + ".3g") if abs(figure) > NEGLIGIBLE else "0.000"
