"""Names and figures as people write them, for reports and pictures."""

from pipelines.core.trials import Value

METRIC_NAMES = {
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
    return METRIC_NAMES.get(name, words(name))


def words(name: str) -> str:
    """Return a name without underscores.

    Examples
    --------
    >>> words("logistic_regression")
    'logistic regression'
    """
    return name.replace("_", " ")


def figure_text(figure: float | None) -> str:
    """Return a figure as people read it, with a dash where there is none.

    Examples
    --------
    >>> figure_text(0.84217), figure_text(1234.5678), figure_text(None), figure_text(0.0)
    ('0.842', '1,235', '-', '0.000')
    >>> figure_text(0.000123), figure_text(12.345), figure_text(4e-17)
    ('0.000123', '12.35', '0.000')
    """
    return _signed_text(figure, sign="")


def lift_text(lift: float | None) -> str:
    """Return a difference with its sign.

    Examples
    --------
    >>> lift_text(0.0217), lift_text(-3.0), lift_text(None)
    ('+0.022', '-3.000', '-')
    """
    return _signed_text(lift, sign="+")


def interval_text(low: float | None, high: float | None) -> str:
    """Return an interval, or nothing where there is none.

    Examples
    --------
    >>> interval_text(0.81, 0.86), interval_text(-0.01, 0.02), interval_text(None, None)
    ('0.810 to 0.860', '-0.010 to 0.020', '')
    """
    if low is None or high is None:
        return ""
    return f"{figure_text(low)} to {figure_text(high)}"


def value_text(value: Value) -> str:
    """Return the value of a hyperparameter, floats with four digits.

    Examples
    --------
    >>> value_text(0.020446398605250455), value_text(31), value_text(None), value_text("scaled")
    ('0.02045', '31', 'none', 'scaled')
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def _signed_text(figure: float | None, *, sign: str) -> str:
    if figure is None:
        return "-"
    for bound, form in ((1000.0, ",.0f"), (10.0, ".2f"), (0.001, ".3f")):
        if abs(figure) >= bound:
            return format(figure, sign + form)
    return format(figure, sign + ".3g") if abs(figure) > NEGLIGIBLE else "0.000"
