"""The evaluation report: scores as JSON, plots, and one HTML page that needs no other file."""

from base64 import b64encode
from collections.abc import Mapping
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from evertune.evaluation import formatting
from evertune.evaluation.baselines import RANDOM_BASELINES
from evertune.evaluation.data_card import TARGET_QUANTILES
from evertune.evaluation.evaluation_record import Evaluation
from evertune.evaluation.model_card import usage_cautions
from evertune.evaluation.other_table import Assessment, describe_left_out_rows
from evertune.evaluation.plots import MAX_COLUMNS_PLOTTED, model_in_use, ranked_baselines
from evertune.files import atomic_folder, write_record, write_text
from evertune.messages import format_percent

PREDICTION_PLOTS = ("confusion", "roc", "precision_recall", "predicted", "residuals")
SEARCH_PLOTS = (
    "search_best",
    "search_weights",
    "search_budget",
    "search_importance",
    "search_slices",
)


def write_report(
    evaluation: Evaluation,
    plots: Mapping[str, bytes],
    *,
    scores_file: Path,
    plots_folder: Path,
    report_folder: Path,
    assessment: Assessment | None = None,
) -> None:
    """Write an evaluation: first the folders of plots and report, at last its JSON file.

    Parameters
    ----------
    plots : mapping of str to bytes
        PNG by name.
    assessment : Assessment, optional
        If the evaluated rows are not the model's own hold-out.
    """
    with atomic_folder(plots_folder) as folder:
        for name, plot in plots.items():
            (folder / f"{name}.png").write_bytes(plot)
    with atomic_folder(report_folder) as folder:
        write_text(folder / "report.html", report_html(evaluation, plots, assessment))
    write_record(scores_file, evaluation)


@cache
def _page_template() -> Template:
    """Return the page's template; compiling it takes longer than filling it in."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "figure": formatting.format_score,
        "lift": formatting.format_lift,
        "metric": formatting.metric_name,
        "value": formatting.format_hyperparameter,
        "words": formatting.humanize,
        "percent": format_percent,
        "count": formatting.format_count,
        "rows": partial(formatting.count_noun, noun="row"),
        "short": formatting.format_two_digits,
    }
    text = files("evertune.templates").joinpath("report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


def report_html(
    evaluation: Evaluation, plots: Mapping[str, bytes], assessment: Assessment | None = None
) -> str:
    """Return the page of an evaluation with its plots, PNG by name, as part of it."""
    calibration = (row for row in evaluation.metrics if row.name == "calibration_error")
    counts = [sum(row) for row in evaluation.confusion]
    return _page_template().render(
        evaluation=evaluation,
        assessment=assessment,
        left_out=() if assessment is None else describe_left_out_rows(assessment),
        where="the hold-out" if assessment is None else assessment.table,
        cautions=usage_cautions(evaluation),
        plots={
            name: f"data:image/png;base64,{b64encode(plot).decode()}"
            for name, plot in plots.items()
        },
        ranked=ranked_baselines(evaluation),
        in_use=model_in_use(evaluation),
        primary=evaluation.metrics[0],
        calibration=next((row for row in calibration if row.holdout is not None), None),
        importance=evaluation.importance[:MAX_COLUMNS_PLOTTED],
        positive_share=counts[1] / max(sum(counts), 1) if len(counts) == 2 else None,
        interval=formatting.format_interval,
        prediction_plots=PREDICTION_PLOTS,
        search_plots=SEARCH_PLOTS,
        random_baselines=RANDOM_BASELINES,
        quantiles=TARGET_QUANTILES,
    )
