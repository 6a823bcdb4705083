"""Evaluate a registered version on any labelled table: CSV, Parquet or a .sql file.

`assess_version` reads the version, its run's metrics on its own hold-out, and the table. It
writes pages, plots and metrics to a folder in state/evaluations and, on request, a run in
MLflow. Rows that the version was trained or chosen on are left out and counted, since they
would flatter it.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.loader import load_params
from evertune.config.schema import DialectSection, EvaluationSection
from evertune.data.cleaning import with_formats_of
from evertune.data.feedback import (
    EvaluationTable,
    count_unseen_category_rows,
    digest_table,
    parse_evaluation_table,
)
from evertune.data.readers import inspect_source
from evertune.data.schema import TableSchema, encode_target
from evertune.data.validation import format_issues
from evertune.errors import InputError, TableError
from evertune.evaluation.evaluation_record import Evaluation
from evertune.evaluation.other_table import (
    Assessment,
    assess_model,
    compare_with_holdout,
    describe_left_out_rows,
    summarize_assessment,
)
from evertune.evaluation.plots import evaluation_plots
from evertune.evaluation.report import write_report
from evertune.evaluation.thresholds import misclassification_costs
from evertune.files import read_record, write_record
from evertune.models.fitted_model import Model, predict
from evertune.registry.mlflow_registry import open_registry

METRICS_FILE = "figures.json"


@dataclass(frozen=True)
class AssessmentResult:
    """What an evaluation on demand came to: its folder, and lines for a person."""

    folder: Path
    lines: tuple[str, ...]


def assess_version(
    root: Path, version: str, *, source: str, out: Path | None = None, logged: bool = False
) -> AssessmentResult:
    """Judge a version by a table and write the pages.

    Parameters
    ----------
    root : Path
        The project's folder.
    version : str
        Its number or an alias, such as `champion`.
    source : str
        A CSV, Parquet or .sql file, seen from the project's folder.
    out : Path, optional
        Where the pages go; None: a folder of their own below state/evaluations.
    logged : bool
        Whether a run in MLflow shows them, too.

    Raises
    ------
    InputError
        There is no such version, or the table cannot judge it.
    """
    params = load_params(root)
    registry, section, name = open_registry(params), params.evaluation, Path(source).name
    judged = registry.version(version)
    model = registry.load_model(judged)
    with TemporaryDirectory() as beside:
        own_file = registry.download_artifact(judged.run_id, name=METRICS_FILE, folder=Path(beside))
        own = None if own_file is None else read_record(own_file, Evaluation)

    data = params.data.model_copy(update={"source": source, "dialect": DialectSection()})
    read = inspect_source(data, root)
    # Numbers are written as in this file, everything else is as the model knows it.
    schema = with_formats_of(read.table, model.schema)
    rows = _labelled_rows(read.table, schema, model, section=section, name=name)

    y_true = encode_target(rows.table, model.schema)
    pred = predict(model.fitted, rows.table, model.schema)
    metrics = load_metrics(params.metric, model.schema.task, root)
    found = assess_model(model, rows.table, y_true, pred, metrics, section=section, own=own)
    costs = misclassification_costs(section.costs, model.schema.classes)
    plots = evaluation_plots(found, y_true, pred, costs=costs)
    assessment = Assessment(
        model=registry.name,
        version=judged.number,
        table=name,
        digest=digest_table(read.table),
        n_rows=len(read.table),
        n_judged=len(rows.table),
        n_trained=rows.n_trained,
        n_unlabelled=rows.n_unlabelled,
        n_repeated=rows.n_repeated,
        n_unseen=count_unseen_category_rows(rows.table, schema),
        figures=compare_with_holdout(found, own),
    )
    folder = out or params.paths.state / "evaluations" / f"{judged.number}-{assessment.digest}"
    if folder.is_file():
        raise InputError(f"expected a folder for the pages, but {folder} is a file")
    write_report(
        found,
        plots,
        scores_file=folder / METRICS_FILE,
        plots_folder=folder / "plots",
        report_folder=folder / "report",
        assessment=assessment,
    )
    write_record(folder / "assessment.json", assessment)
    lines = [
        summarize_assessment(assessment),
        *describe_left_out_rows(assessment),
        f"the page: {folder}/report/report.html",
    ]
    if logged:
        run_id = registry.log_assessment(
            assessment, folder=folder, source=root / source, rows=read.table
        )
        lines.append(f"MLflow shows it as run {run_id}")
    return AssessmentResult(folder, tuple(lines))


def _labelled_rows(
    raw: pd.DataFrame, schema: TableSchema, model: Model, *, section: EvaluationSection, name: str
) -> EvaluationTable:
    extra = (*section.slices, *section.sensitive)
    rows, issues = parse_evaluation_table(raw, schema, trained=model.row_keys, extra=extra)
    if rows is None:
        raise TableError(f"{name}: the table cannot judge a model.\n{format_issues(issues)}")
    if rows.table.empty:
        raise TableError(
            f"{name}: expected rows with a target that the version was not trained on, but of"
            f" {len(raw)} rows {rows.n_unlabelled} have no target and {rows.n_trained} were"
            " trained on; give newer rows."
        )
    return rows
