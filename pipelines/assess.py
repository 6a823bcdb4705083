"""Judge a registered version by any labelled table.

Reads the version, what its run says of its own hold-out, and a table: CSV, Parquet or a .sql file.
Writes pages, pictures and figures to a folder below state/evaluations, and, where it is asked for,
a run in MLflow. Rows that the version was trained or chosen on are left out and counted.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipelines.core.appraising import Judged
from pipelines.core.assessing import assessed, own_figures
from pipelines.core.assessments import Assessment, assessment_line, left_out_lines
from pipelines.core.breaches import breach_text, listed
from pipelines.core.evaluation import Evaluation
from pipelines.core.gallery import gallery
from pipelines.core.labelled import Labelled, labelled, table_digest, unseen_rows
from pipelines.core.model import Model, predict
from pipelines.core.schema import Schema
from pipelines.core.truths import truth_of
from pipelines.errors import InputError, TableError
from pipelines.library.appraisal import costs_of, how_of
from pipelines.params import load_params
from pipelines.sections import Data, Params
from pipelines.sections import Evaluation as EvaluationSection
from pipelines.stores.assessments import log_assessment
from pipelines.stores.files import read_record, write_record
from pipelines.stores.metrics import metrics_of
from pipelines.stores.pages import kept_file
from pipelines.stores.registry import Version, all_versions, model_of
from pipelines.stores.reports import write_report
from pipelines.stores.sources import look_at_source
from pipelines.stores.tracking import Store, open_store

FIGURES = "figures.json"


@dataclass(frozen=True)
class Assessed:
    """What an evaluation on demand came to: its folder, and lines for a person."""

    folder: Path
    lines: tuple[str, ...]


def assess(
    root: Path, version: str, *, source: str, out: Path | None = None, logged: bool = False
) -> Assessed:
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
    store = open_store(params.paths.state, params.registry.name)
    asked = _asked(store, version)
    model, own = model_of(store, asked), _own(store, asked)
    raw, schema = _read(root, params.data, source=source, schema=model.schema)
    name = Path(source).name
    rows = _rows(raw, schema, model, section=params.evaluation, name=name)
    found, pictures = _judged(root, params, model, rows=rows.table, own=own)
    told = Assessment(
        model=store.name,
        version=asked.number,
        table=name,
        digest=table_digest(raw),
        n_rows=len(raw),
        n_judged=len(rows.table),
        n_trained=rows.n_trained,
        n_unlabelled=rows.n_unlabelled,
        n_repeated=rows.n_repeated,
        n_unseen=unseen_rows(rows.table, schema),
        figures=own_figures(found, own),
    )
    folder = out or params.paths.state / "evaluations" / f"{asked.number}-{told.digest}"
    _write(folder, found, pictures, told)
    lines = [assessment_line(told), *left_out_lines(told), f"the page: {folder}/report/report.html"]
    if logged:
        run_id = log_assessment(store, told, folder=folder, source=root / source, rows=raw)
        lines.append(f"MLflow shows it as run {run_id}")
    return Assessed(folder, tuple(lines))


def _asked(store: Store, version: str) -> Version:
    known = all_versions(store)
    for each in known:
        if version in (each.number, *each.aliases):
            return each
    names = [each.number for each in known] + [alias for each in known for alias in each.aliases]
    there = f"there are {listed(names)}" if names else "there is none; run `evertune train`"
    raise InputError(f"expected a version or alias of {store.name}, but got {version!r}; {there}")


def _own(store: Store, version: Version) -> Evaluation | None:
    with TemporaryDirectory() as beside:
        kept = kept_file(store, version.run_id, name=FIGURES, folder=Path(beside))
        return None if kept is None else read_record(kept, Evaluation)


def _read(root: Path, data: Data, *, source: str, schema: Schema) -> tuple[pd.DataFrame, Schema]:
    """Return the table, and the schema with the decimal sign that its file is written with."""
    asked = data.model_copy(update={"source": source, "dialect": type(data.dialect)()})
    looked = look_at_source(asked, root)
    decimal = looked.dialect.decimal or schema.decimal
    return looked.table, replace(schema, decimal=decimal)


def _rows(
    raw: pd.DataFrame, schema: Schema, model: Model, *, section: EvaluationSection, name: str
) -> Labelled:
    beside = (*section.slices, *section.sensitive)
    rows, breaches = labelled(raw, schema, trained=model.row_keys, beside=beside)
    if rows is None:
        raise TableError(f"{name}: the table cannot judge a model.\n{breach_text(breaches)}")
    if rows.table.empty:
        raise TableError(
            f"{name}: expected rows with a target that the version was not trained on, but of"
            f" {len(raw)} rows {rows.n_unlabelled} have no target and {rows.n_trained} were"
            " trained on; give newer rows."
        )
    return rows


def _judged(
    root: Path, params: Params, model: Model, *, rows: pd.DataFrame, own: Evaluation | None
) -> tuple[Evaluation, dict[str, bytes]]:
    schema, section = model.schema, params.evaluation
    costs = costs_of(section, schema.classes)
    judged = Judged(model, rows, truth_of(rows, schema), predict(model.fitted, rows, schema))
    metrics = metrics_of(params.metric, schema.task, root)
    found = assessed(judged, metrics, how=how_of(section), own=own, costs=costs)
    return found, gallery(found, judged.truth, predictions=judged.said, costs=costs)


def _write(folder: Path, found: Evaluation, pictures: dict[str, bytes], told: Assessment) -> None:
    if folder.is_file():
        raise InputError(f"expected a folder for the pages, but {folder} is a file")
    write_report(
        found,
        pictures,
        figures=folder / FIGURES,
        plots=folder / "plots",
        report=folder / "report",
        assessment=told,
    )
    write_record(folder / "assessment.json", told)
