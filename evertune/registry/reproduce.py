"""Restore a registered version's project, fit it again, and compare the result with the record.

`restore_project` writes data, parameters, plan and trials to a folder of its own, and nothing
else: the files come from the version's run, data by md5 from DVC. The code is that of the
installed Evertune; where its version or a library's is not the recorded one, the notes say what
to install. With the recorded versions the result is the recorded one.

In that folder `evertune.stages.rebuild` stands in for the search: it fits the recorded trials
with their recorded numbers of iterations and searches nothing. `compare_with_registered` then
compares tables, refits, metrics and predictions.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import requires
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from evertune.config.loader import load_params, load_paths
from evertune.errors import InputError, StageError
from evertune.files import read_record, read_table, write_record
from evertune.models.fitted_model import (
    Ensemble,
    FittedPipeline,
    Model,
    model_configurations,
    normalized_ensemble,
    predict,
)
from evertune.models.persistence import load_model
from evertune.registry.mlflow_registry import ModelRegistry, ModelVersion, open_registry
from evertune.registry.registration_inputs import environment_text
from evertune.registry.run_page import DATA_PREFIX
from evertune.trials import Configuration, MetricValues, Trial
from evertune.types import Predictions, probabilities_or_values
from evertune.versioning.dvc import (
    LOCK_FILE,
    cache_folder,
    folder_contents,
    lock_outputs,
    make_private_project,
    restore_by_md5,
)

METRIC_TOLERANCE = 1e-6  # absolute below 1, else relative
PREDICTION_TOLERANCE = 1e-6  # of probabilities; of values, relative to their spread
MD5_DIGITS_SHOWN = 12
PROJECT_FOLDER = "project"  # among a run's artifacts
REPRODUCED_FOLDER = "reproduced"  # below state
RECORDED_FILE = "recorded.json"  # these four lie in the folder of a reproduced version
REBUILT_FILE = "rebuilt.json"
RECORDED_METRICS_FILE = "recorded.figures.json"
RECORDED_ENVIRONMENT_FILE = "recorded.environment.txt"
TABLE_NAMES = {"source": "source", "production_labels": "absorbed"}  # as runs record them
COMPARED_TABLES = ("clean", "training", "holdout", "selection", "folds")


@dataclass(frozen=True)
class ComparisonRow:
    """What was recorded beside what was made again; `difference` and `tolerance` are of numbers."""

    what: str
    recorded: str
    rebuilt: str
    difference: float | None
    tolerance: float | None
    equal: bool


@dataclass(frozen=True)
class FoldRefit:
    """One fold of a trial that was fitted again with the recorded number of iterations.

    `recorded` and `rebuilt` are the metrics on the fold's validation rows.
    """

    number: int
    fold: int
    family: str
    recorded: MetricValues
    rebuilt: MetricValues


@dataclass(frozen=True)
class RecordedModel:
    """What is known of a registered model beside the files that every project has.

    Attributes
    ----------
    pool : tuple of int, optional
        The trials whose models the search had kept; None if that is not known any more.
    members : tuple of Configuration, optional
        Of the ensemble, the heaviest first; None if it is none.
    """

    version: str
    pool: tuple[int, ...] | None = None
    members: tuple[Configuration, ...] | None = None


@dataclass(frozen=True)
class RestoredProject:
    """A version's project as it was, ready to be run; `notes` say what differs from the record."""

    version: str
    folder: Path
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Reproduction:
    """A version beside what was made of its record."""

    version: str
    rows: tuple[ComparisonRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether everything is as recorded."""
        return all(row.equal for row in self.rows)


def restore_project(root: Path, number: str, *, into: Path | None = None) -> RestoredProject:
    """Return a folder with the data, parameters, plan and trials of a version.

    Parameters
    ----------
    root : Path
        The project's folder; it is only read.
    number : str
        Of the version, or an alias.
    into : Path, optional
        A folder that is empty or not there; by default state/reproduced/<number>.

    Raises
    ------
    InputError
        There is no such version, or the folder is not empty.
    StageError
        Something of the record, or data, is gone.
    """
    params = load_params(root)
    registry = open_registry(params)
    version = registry.version(number)
    folder = (into or params.paths.state / REPRODUCED_FOLDER / version.number).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"expected an empty folder or none, but {folder} has files; remove it, or name another"
            " with --into"
        )
    make_private_project(folder)
    _restore_files(registry, version, root=root, folder=folder)
    places = read_paths(folder)
    for key, table in TABLE_NAMES.items():
        md5 = version.data_md5s.get(table)
        if md5 is None:
            raise StageError(
                f"expected the run of version {version.number} to have the parameter"
                f" {DATA_PREFIX}{table} with the md5 of its data, but it has none; its run was"
                " removed, or it was registered by something else"
            )
        restore_by_md5(root, md5, target=places[key])
    notes: tuple[str, ...] = ()
    members = None
    try:
        model = registry.load_model(version)
        members = model_configurations(model) if isinstance(model.fitted, Ensemble) else None
    except StageError as error:
        notes = (f"{error}, but cannot compare it",)
    recorded = RecordedModel(version.number, pool=_recorded_pool(root, folder), members=members)
    write_record(folder / RECORDED_FILE, recorded)
    environment = (folder / RECORDED_ENVIRONMENT_FILE).read_text(encoding="utf-8")
    notes += environment_notes(environment, environment_text())
    return RestoredProject(version.number, folder, notes)


def compare_with_registered(root: Path, restored: RestoredProject) -> Reproduction:
    """Compare the version with its folder, once the stages have run there.

    A version whose files are damaged differs.

    Parameters
    ----------
    root : Path
        The project's folder; it is only read.
    """
    registry, folder = open_registry(load_params(root)), restored.folder
    rows = [
        *_table_rows(folder),
        *refit_rows(read_record(folder / REBUILT_FILE, tuple[FoldRefit, ...])),
        *_evaluation_rows(folder),
    ]
    try:
        registered = registry.load_model(registry.version(restored.version))
        rows += _model_rows(folder, registered)
    except StageError:
        rows.append(text_row("the registered model", "cannot be loaded", "made again"))
    return Reproduction(restored.version, tuple(rows), restored.notes)


def trials_to_refit(trials: Iterable[Trial], pool: Sequence[int] | None) -> tuple[Trial, ...]:
    """Return the trials whose models are fitted again: all that the model was chosen among.

    Parameters
    ----------
    trials : iterable of Trial
        In the order in which they ended.
    pool : sequence of int, optional
        Those whose models the search had kept. If it is not known, all that ran on every fold
        are taken, or the first with any fold if none did.
    """
    some = [trial for trial in trials if trial.folds]
    if pool is not None:
        return tuple(trial for trial in some if trial.number in pool)
    whole = [trial for trial in some if trial.status == "complete" and trial.score is not None]
    return tuple(whole or some[:1])


def keep_recorded_members(
    fitted: FittedPipeline | Ensemble, members: Sequence[Configuration] | None
) -> FittedPipeline | Ensemble:
    """Return a model without the members that the registered one lacks.

    A fit in limited time leaves the lightest out; the others then share the whole weight.
    """
    if members is None or not isinstance(fitted, Ensemble):
        return fitted
    kept = [member for member in fitted.members if member.configuration in members]
    if not kept or len(kept) == len(fitted.members):
        return fitted
    return replace(fitted, members=normalized_ensemble(kept).members)


def environment_notes(recorded: str, installed: str) -> tuple[str, ...]:
    """Return where Evertune and what it requires are not installed as recorded."""

    def versions(lines: str) -> dict[str, str]:
        pairs = [line.split("==") for line in lines.splitlines() if "==" in line and line[0] != "#"]
        return {canonicalize_name(name): number.strip() for name, number in pairs}

    before, now = versions(recorded), versions(installed)
    required = {canonicalize_name(Requirement(line).name) for line in requires("evertune") or ()}
    notes = []
    for name in ["evertune", *sorted((required & (before.keys() | now.keys())) - {"evertune"})]:
        if before.get(name) == now.get(name):
            continue
        note = f"{name} {before.get(name, 'not at all')} was recorded"
        note += f", {now.get(name, 'none')} is installed"
        if name in before:
            note += f"; the same metrics need `pip install {name}=={before[name]}`"
        notes.append(note)
    return tuple(notes)


def text_row(what: str, recorded: object, rebuilt: object) -> ComparisonRow:
    """Return two things beside each other that are equal or not."""
    return ComparisonRow(what, str(recorded), str(rebuilt), None, None, recorded == rebuilt)


def metric_rows(recorded: MetricValues, rebuilt: MetricValues) -> tuple[ComparisonRow, ...]:
    """Return the recorded metrics beside those of now, in the order of the record."""
    rows = []
    for name, before in recorded.items():
        now, difference, tolerance = rebuilt.get(name), None, METRIC_TOLERANCE
        left, right = ("undefined" if score is None else f"{score:.6g}" for score in (before, now))
        equal = before == now
        if before is not None and now is not None:
            difference, tolerance = abs(before - now), METRIC_TOLERANCE * max(1.0, abs(before))
            equal = difference <= tolerance
        rows.append(ComparisonRow(name, left, right, difference, tolerance, equal))
    return tuple(rows)


def worst_metric_row(
    what: str, pairs: Iterable[tuple[MetricValues, MetricValues]]
) -> ComparisonRow:
    """Return the metric that differs most from its record, which stands for all of them.

    Parameters
    ----------
    pairs : iterable of (dict, dict)
        Recorded metrics and those of now.
    """
    rows = [row for pair in pairs for row in metric_rows(*pair)]
    if not rows:
        return text_row(what, "no metric", "no metric")
    worst = max(rows, key=lambda row: (not row.equal, row.difference or 0.0))
    return replace(worst, what=f"{what}: {len(rows)} metrics, {worst.what}")


def refit_rows(refits: Iterable[FoldRefit]) -> tuple[ComparisonRow, ...]:
    """Return for each family the metric of a fold that differs most from the recorded one."""
    families: dict[str, list[FoldRefit]] = {}
    for refit in refits:
        families.setdefault(refit.family, []).append(refit)
    return tuple(
        worst_metric_row(
            f"{family}, {len(folds)} folds fitted again",
            [(fold.recorded, fold.rebuilt) for fold in folds],
        )
        for family, folds in sorted(families.items())
    )


def prediction_row(recorded: Predictions, rebuilt: Predictions) -> ComparisonRow:
    """Return the largest difference between two predictions of a row.

    Of probabilities it is their difference; of values, it is divided by the standard deviation of
    the recorded ones.
    """
    left, right = probabilities_or_values(recorded), probabilities_or_values(rebuilt)
    what, shape = "predictions of the hold-out", f"{len(left)} rows"
    if left.shape != right.shape:
        return ComparisonRow(what, shape, f"{len(right)} rows", None, PREDICTION_TOLERANCE, False)
    spread = 1.0 if recorded.probabilities is not None else float(left.std()) or 1.0
    largest = float(np.abs(left - right).max(initial=0.0)) / spread
    equal = largest <= PREDICTION_TOLERANCE
    return ComparisonRow(what, shape, shape, largest, PREDICTION_TOLERANCE, equal)


def read_paths(folder: Path) -> dict[str, Path]:
    """Return the places of a project by their names in params.yaml, whatever else stands there."""
    return load_paths(folder).model_dump(by_alias=True)


def _restore_files(
    registry: ModelRegistry, version: ModelVersion, *, root: Path, folder: Path
) -> None:
    """Write what the run of a version keeps of its project, each file at its place."""
    with TemporaryDirectory() as beside:

        @cache
        def download(name: str) -> Path | None:
            return registry.download_artifact(version.run_id, name=name, folder=Path(beside))

        def artifact(name: str) -> Path:
            top, _, rest = name.partition("/")
            kept = download(top)
            if kept is None or not (kept / rest).exists():
                raise StageError(
                    f"expected {name} among the artifacts of run {version.run_id}, which made"
                    f" version {version.number}, but it is not there; without it the version"
                    " cannot be made again"
                )
            return kept / rest

        for name in ("params.yaml", "dvc.yaml", LOCK_FILE):
            shutil.copyfile(artifact(f"{PROJECT_FOLDER}/{name}"), folder / name)
        places = read_paths(folder)
        sources = {
            places["plan"]: f"{PROJECT_FOLDER}/{places['plan'].name}",
            places["trials"]: places["trials"].name,
            folder / RECORDED_METRICS_FILE: places["figures"].name,
            folder / RECORDED_ENVIRONMENT_FILE: "environment.txt",
        }
        for table in TABLE_NAMES:
            pointer = places[table].with_name(f"{places[table].name}.dvc")
            sources[pointer] = f"{PROJECT_FOLDER}/{pointer.name}"
        for target, name in sources.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artifact(name), target)
        # Functions of the user's own, such as a metric; runs of 0.1 don't keep them.
        recorded = artifact(PROJECT_FOLDER)
        own = list(recorded.glob("*.py")) or list(root.glob("*.py"))
        for module in own:
            shutil.copyfile(module, folder / module.name)


def _recorded_pool(root: Path, folder: Path) -> tuple[int, ...] | None:
    pool = read_paths(folder)["pool"].relative_to(folder).as_posix()
    md5 = lock_outputs(folder / LOCK_FILE).get(pool)
    names = folder_contents(cache_folder(root), md5) if md5 else {}
    return tuple(sorted(int(Path(name).stem) for name in names)) or None


def _table_rows(folder: Path) -> Iterator[ComparisonRow]:
    places, recorded = read_paths(folder), lock_outputs(folder / LOCK_FILE)
    for name in COMPARED_TABLES:
        md5, path = recorded.get(places[name].relative_to(folder).as_posix()), places[name]
        if md5 is not None:
            content = path.read_bytes() if path.is_file() else b""
            found = hashlib.md5(content, usedforsecurity=False).hexdigest()
            yield text_row(f"{name} table", md5[:MD5_DIGITS_SHOWN], found[:MD5_DIGITS_SHOWN])


def _evaluation_rows(folder: Path) -> Iterator[ComparisonRow]:
    recorded = read_record(folder / RECORDED_METRICS_FILE, dict[str, Any])
    rebuilt = read_record(read_paths(folder)["figures"], dict[str, Any])
    before, now = (
        {row["name"]: row.get("training") for row in each.get("metrics", [])}
        for each in (recorded, rebuilt)
    )
    yield text_row("chosen", recorded["chosen"], rebuilt["chosen"])
    yield worst_metric_row("training", [(before, now)])
    for row in metric_rows(_chosen_scores(recorded), _chosen_scores(rebuilt)):
        yield replace(row, what=f"hold-out {row.what}")


def _chosen_scores(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return the scores of the chosen model; 0.1 has those of the search's model in `holdout`."""
    _, _, simplest = str(evaluation["chosen"]).partition(":")
    rows = {row["name"]: row["holdout"] for row in evaluation.get("baselines", [])}
    scores: dict[str, Any] = rows.get(simplest, evaluation["holdout"])
    return scores


def _model_rows(folder: Path, registered: Model) -> Iterator[ComparisonRow]:
    def members(model: Model) -> str:
        if not isinstance(model.fitted, Ensemble):
            return model.configuration.family
        return ", ".join(f"{m.configuration.family} {m.weight:.3g}" for m in model.fitted.members)

    places = read_paths(folder)
    recorded = read_record(folder / RECORDED_METRICS_FILE, dict[str, Any])
    _, _, simplest = str(recorded["chosen"]).partition(":")
    model = load_model(places["baselines"] / "models" / simplest if simplest else places["model"])
    holdout = read_table(places["holdout"])
    yield text_row("members", members(registered), members(model))
    yield text_row("rows learned from", len(registered.row_keys), len(model.row_keys))
    yield prediction_row(
        *(predict(each.fitted, holdout, each.schema) for each in (registered, model))
    )


def _members_text(model: Model) -> str:
    if not isinstance(model.fitted, Ensemble):
        return model.configuration.family
    return ", ".join(
        f"{member.configuration.family} {member.weight:.3g}" for member in model.fitted.members
    )
