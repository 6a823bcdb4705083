"""The evaluation report: scores as JSON, plots, one HTML page and one Markdown page.

`write_report` writes everything and replaces what the folders held before; the scores come
last. `report_html` embeds its plots and needs no other file. `report_markdown` links to them.
"""

import html
import os
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from evertune.evaluation.assessment import Assessment, describe_left_out_rows
from evertune.evaluation.data_card import TARGET_QUANTILES
from evertune.evaluation.explain import Importance
from evertune.evaluation.formatting import (
    format_hyperparameter,
    format_interval,
    format_lift,
    format_score,
    humanize,
    metric_name,
)
from evertune.evaluation.model_card import usage_cautions
from evertune.evaluation.plots import MAX_COLUMNS_PLOTTED, ranked_baselines
from evertune.evaluation.records import Evaluation, MetricRow
from evertune.files import atomic_folder, write_record, write_text

PREDICTION_PLOTS = ("confusion", "roc", "precision_recall", "predicted", "residuals")
SEARCH_PLOTS = ("search_best", "search_weights", "search_budget")
RANDOM_BASELINES = ("uniform_random", "label_distribution")


def report_html(
    evaluation: Evaluation, pictures: Mapping[str, bytes], assessment: Assessment | None = None
) -> str:
    """Return a page that needs no other file: the pictures are part of it.

    Parameters
    ----------
    evaluation : Evaluation
    pictures : mapping of str to bytes
        PNG pictures by name, such as `roc`; those that are not there are left out.
    assessment : Assessment, optional
        Where the rows that judge are not the model's own hold-out.
    """
    sources = {
        name: f"data:image/png;base64,{b64encode(picture).decode()}"
        for name, picture in pictures.items()
    }
    environment = _jinja_environment(autoescape=True)
    return _render_report(
        environment,
        "report.html.jinja",
        evaluation=evaluation,
        pictures=sources,
        assessment=assessment,
    )


def report_markdown(
    evaluation: Evaluation, pictures: Mapping[str, str], assessment: Assessment | None = None
) -> str:
    """Return the report as Markdown.

    Parameters
    ----------
    evaluation : Evaluation
    pictures : mapping of str to str
        Where each picture lies, seen from the report.
    assessment : Assessment, optional
        As for `report_html`.
    """
    environment = _jinja_environment(autoescape=False)
    environment.finalize = escape_markdown_cell
    return _render_report(
        environment,
        "report.md.jinja",
        evaluation=evaluation,
        pictures=pictures,
        assessment=assessment,
    )


def escape_markdown_cell(value: object) -> object:
    r"""Return text that stays text in a cell of a Markdown table; other values as they are.

    Examples
    --------
    >>> escape_markdown_cell("a|b<script>")
    'a\\|b&lt;script&gt;'
    """
    if not isinstance(value, str):
        return value
    return " ".join(html.escape(value, quote=False).replace("|", "\\|").split("\n"))


def _jinja_environment(autoescape: bool) -> Environment:
    environment = Environment(
        autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "figure": format_score,
        "lift": format_lift,
        "metric": metric_name,
        "value": format_hyperparameter,
        "words": humanize,
        "percent": format_percent,
        "count": format_count,
        "short": format_two_digits,
    }
    environment.globals |= {
        "interval": format_interval,
        "parts": PREDICTION_PLOTS,
        "searched": SEARCH_PLOTS,
        "guesses": RANDOM_BASELINES,
        "quantiles": TARGET_QUANTILES,
    }
    return environment


def format_percent(share: float | None) -> str:
    """Return a share as percent, a dash where there is none.

    Examples
    --------
    >>> format_percent(0.1234), format_percent(None)
    ('12.3 %', '-')
    """
    return "-" if share is None else f"{100 * share:.1f} %"


def format_count(count: float | None) -> str:
    """Return a count with commas, a dash where there is none.

    Examples
    --------
    >>> format_count(12345), format_count(None)
    ('12,345', '-')
    """
    return "-" if count is None else f"{count:,.0f}"


def format_two_digits(figure: float | None) -> str:
    """Return seconds or milliseconds with two digits that count, a dash where there are none.

    Examples
    --------
    >>> format_two_digits(0.0123), format_two_digits(1234.5), format_two_digits(None)
    ('0.012', '1,234', '-')
    """
    if figure is None:
        return "-"
    return f"{figure:,.0f}" if abs(figure) >= 10 else f"{figure:.2g}"


def _render_report(
    environment: Environment,
    template: str,
    *,
    evaluation: Evaluation,
    pictures: Mapping[str, str],
    assessment: Assessment | None,
) -> str:
    text = files("evertune.templates").joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(
        e=evaluation,
        a=assessment,
        left_out=() if assessment is None else describe_left_out_rows(assessment),
        where="the hold-out" if assessment is None else assessment.table,
        cautions=usage_cautions(evaluation),
        pictures=pictures,
        ranked=ranked_baselines(evaluation),
        main=evaluation.metrics[0],
        calibration=_calibration_row(evaluation),
        importance=_top_importance(evaluation),
        shares=_holdout_class_shares(evaluation),
    )


def _calibration_row(evaluation: Evaluation) -> MetricRow | None:
    """Return the row of the expected calibration error, where there are probabilities."""
    rows = (row for row in evaluation.metrics if row.name == "calibration_error")
    return next((row for row in rows if row.holdout is not None), None)


def _top_importance(evaluation: Evaluation) -> tuple[Importance, ...]:
    return evaluation.importance[:MAX_COLUMNS_PLOTTED]


def _holdout_class_shares(evaluation: Evaluation) -> list[tuple[str, int, float]]:
    """Return name, rows and share of each class on the hold-out."""
    counts = [sum(row) for row in evaluation.confusion]
    return [
        (name, count, count / max(sum(counts), 1))
        for name, count in zip(evaluation.classes, counts, strict=False)
    ]


def write_report(
    found: Evaluation,
    pictures: Mapping[str, bytes],
    *,
    figures: Path,
    plots: Path,
    report: Path,
    assessment: Assessment | None = None,
) -> None:
    """Write an evaluation; what the folders held before is replaced, the figures come last.

    Parameters
    ----------
    found : Evaluation
    pictures : mapping of str to bytes
        PNG by name.
    figures : Path
        The JSON file.
    plots, report : Path
        Folders.
    assessment : Assessment, optional
        Where the rows that judge are not the model's own hold-out.
    """
    with atomic_folder(plots) as folder:
        for name, picture in pictures.items():
            (folder / f"{name}.png").write_bytes(picture)
    beside = Path(os.path.relpath(plots, report))
    places = {name: (beside / f"{name}.png").as_posix() for name in pictures}
    with atomic_folder(report) as folder:
        write_text(folder / "report.html", report_html(found, pictures, assessment))
        write_text(folder / "report.md", report_markdown(found, places, assessment))
    write_record(figures, found)
