"""Explain a search of a project, as `evertune explain-search` and the report do.

Reads params.yaml, the schema and a trials file. Writes a folder with `report.md`,
`explanation.json` and the plots; and, on request, the trials as an Optuna study in SQLite, which
optuna-dashboard shows.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from evertune.config.custom_metrics import load_metrics
from evertune.config.loader import load_params
from evertune.config.schema import SearchSection
from evertune.data.schema import TableSchema
from evertune.errors import InputError
from evertune.files import atomic_folder, read_record, write_record, write_text
from evertune.metrics.metrics import Metric
from evertune.search.configurations import build_space
from evertune.search.space import ALL_SPACES, Space
from evertune.search.summary import MIN_EXPLAINED_TRIALS, can_explain
from evertune.search.trial_log import read_header, read_trials
from evertune.trials import Trial

REPORT_FAMILIES = 1  # whose parameters the report of a model explains: each takes a second


@dataclass(frozen=True)
class ExplanationResult:
    """What an explanation came to: its folder, and lines for a person."""

    folder: Path
    lines: tuple[str, ...]


def explain_trials(
    root: Path,
    *,
    trials_file: Path | None = None,
    output: Path | None = None,
    study_file: Path | None = None,
) -> ExplanationResult:
    """Write what mattered in a search.

    Parameters
    ----------
    root : Path
        The project's folder.
    trials_file : Path, optional
        Of any search on the project's table; by default the project's own.
    output : Path, optional
        A folder, replaced as a whole; by default `explanation` in the project's state.
    study_file : Path, optional
        Where an Optuna study of the trials is written, replacing an older one.

    Raises
    ------
    InputError
        There are no trials, or too few to explain any family and no study is asked for; or a file
        is in the way.
    """
    params = load_params(root)
    path = trials_file or params.paths.trials
    folder = output or params.paths.state / "explanation"
    _check_places(path, folder, study_file)
    header, trials = read_header(path), read_trials(path)
    schema = read_record(params.paths.table_schema, TableSchema)
    metrics = {each.name: each for each in load_metrics(params.metric, schema.task, root)}
    if header.metric not in metrics:
        raise InputError(
            f"{path}: expected scores in a metric of this project, but they are in"
            f" {header.metric!r}; known are {', '.join(metrics)}"
        )
    metric = metrics[header.metric]
    space = searched_space(trials, params.search, schema, metric)
    lines: list[str] = []
    if study_file is not None:
        address = f"sqlite:///{study_file}"
        names = write_study(trials, space, metric, study_file, name=params.registry.name, of=path)
        lines.append(f"the trials as {len(names)} Optuna studies: optuna-dashboard {address}")
    from evertune.evaluation.explanation_plots import explanation_plots
    from evertune.evaluation.explanation_report import explanation_lines, explanation_report
    from evertune.search.explanation import explain_search, search_study

    if not can_explain(trials):
        fault = (
            f"{path}: expected at least {MIN_EXPLAINED_TRIALS} trials of one family on all folds,"
            " but there are fewer; raise search.budget_seconds or search.budget_trials, or name"
            " fewer search.families"
        )
        if not lines:
            raise InputError(fault)
        return ExplanationResult(folder, (*lines, f"nothing is explained: {fault}"))
    found = explain_search(trials, space, metric)
    pictures = explanation_plots(found, search_study(trials, space, metric))
    with atomic_folder(folder) as new:
        for name, picture in pictures.items():
            (new / f"{name}.png").write_bytes(picture)
        write_record(new / "explanation.json", found)
        write_text(new / "report.md", explanation_report(found, pictures))
    lines = [*explanation_lines(found), f"the report: {folder / 'report.md'}", *lines]
    return ExplanationResult(folder, tuple(lines))


def report_plots(
    trials: Sequence[Trial], search: SearchSection, schema: TableSchema, metric: Metric
) -> dict[str, bytes]:
    """Return the plots of what mattered in a search for the report of its model.

    They are `search_importance` and, of the family with the best trial, `search_slices`; none if
    no family has enough trials.
    """
    if not can_explain(trials):
        return {}
    from evertune.evaluation.explanation_plots import explanation_plots
    from evertune.search.explanation import explain_search, search_study

    space = searched_space(trials, search, schema, metric)
    found = explain_search(trials, space, metric, max_families=REPORT_FAMILIES)
    pictures = explanation_plots(found, search_study(trials, space, metric), details=False)
    return {f"search_{name.partition('_')[0]}": picture for name, picture in pictures.items()}


def searched_space(
    trials: Sequence[Trial], search: SearchSection, schema: TableSchema, metric: Metric
) -> Space:
    """Return the ranges that the families of some trials are searched in."""
    families = {trial.configuration.family for trial in trials} & set(ALL_SPACES)
    if not families:
        return {}
    return build_space(
        families,
        {str(name): ranges for name, ranges in search.space.items() if name in families},
        task=schema.task,
        metric=metric.name,
        columns=schema.features,
    )


def write_study(
    trials: Sequence[Trial], space: Space, metric: Metric, file: Path, *, name: str, of: Path
) -> tuple[str, ...]:
    """Write trials as Optuna studies into one SQLite file, and return the studies' names.

    One is over all families, and one of each family, called `NAME/FAMILY`.

    Parameters
    ----------
    name : str
        Of the study over all families.
    of : Path
        The trials file: the last trial ended when it was written.
    """
    import optuna

    from evertune.search.explanation import family_study, search_study

    last = max((trial.elapsed_seconds for trial in trials), default=0.0)
    started = datetime.fromtimestamp(of.stat().st_mtime) - timedelta(seconds=last)
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent, prefix=".study-") as beside:
        made = Path(beside) / "study.db"
        storage = optuna.storages.RDBStorage(f"sqlite:///{made}")
        whole = search_study(trials, space, metric, storage=storage, name=name, started=started)
        families = [each for each in space if any(t.configuration.family == each for t in trials)]
        for family in families:
            family_study(whole, family, storage=storage, name=f"{name}/{family}")
        storage.remove_session()
        storage.engine.dispose()
        made.replace(file)
    return (name, *(f"{name}/{family}" for family in families))


def _check_places(trials: Path, folder: Path, study_file: Path | None) -> None:
    if not trials.is_file():
        raise InputError(
            f"expected the trials of a search in {trials}, but there is no such file; run"
            " `evertune train`, or name another one with --trials"
        )
    if folder.is_file():
        raise InputError(f"expected a folder for the pages, but {folder} is a file")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "explanation.json").is_file():
        raise InputError(
            f"expected a new folder or one of an earlier explanation, but {folder} holds other"
            " files, which would be lost; name another one with --output"
        )
    if study_file is not None and study_file.exists() and not _is_study(study_file):
        raise InputError(
            f"--study: expected a new file or an Optuna study to replace, but {study_file} is"
            " something else; name another file"
        )


def _is_study(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as base:
            found = base.execute("SELECT name FROM sqlite_master WHERE name = 'study_directions'")
            return found.fetchone() is not None
    except sqlite3.DatabaseError:
        return False
