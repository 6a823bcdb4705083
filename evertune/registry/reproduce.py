"""Restore a registered version's project, fit it again, and compare the result with the record.

`restore_project` writes data, parameters, plan, trials and code to a folder of its own, and
nothing else: the files come from the version's run, data by md5 from DVC, code from the working
tree or git, whichever differs less from dvc.lock. There `run` stands in for the search: it fits
the recorded trials with their recorded numbers of iterations and searches nothing;
`drop_unrecorded_members` removes ensemble members that the registered model lacks. Fits have
ample time but some deadline, because without one solvers that restart at each chunk would end
elsewhere. `compare_with_registered` then compares tables, refits, metrics and predictions (a
`Reproduction`).
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np

from evertune.config.loader import load_params, load_paths
from evertune.config.yaml_file import read_yaml
from evertune.errors import InputError, StageError
from evertune.files import read_record, read_table, remove_path, write_record
from evertune.models.model import (
    Ensemble,
    FittedPipeline,
    Model,
    model_configurations,
    normalized_ensemble,
    predict,
)
from evertune.models.persistence import load_model
from evertune.registry import versions
from evertune.registry.mlflow_client import TrackingStore, open_tracking_store
from evertune.registry.runs import download_artifact
from evertune.registry.versions import ModelVersion
from evertune.trials import Configuration, MetricValues, Trial
from evertune.types import Predictions, probabilities_or_values
from evertune.versioning.dvc import cache_folder, folder_contents, restore_by_md5
from evertune.versioning.git import extract_commit

MD5_PATTERN = re.compile(r"\bmd5: '?([0-9a-f]{32}(?:\.dir)?)\b")
CODE_SUFFIXES = (".py", ".jinja", ".txt")


def lock_outputs(lock: Mapping[str, Any]) -> dict[str, str]:
    """Return the md5 of everything that the stages wrote, by its path in the project.

    Examples
    --------
    >>> lock_outputs({"stages": {"fit": {"outs": [{"path": "data/model", "md5": "5f.dir"}]}}})
    {'data/model': '5f.dir'}
    """
    return dict(_lock_entries(lock, "outs"))


def lock_code(lock: Mapping[str, Any]) -> dict[str, str]:
    """Return the md5 of every module, page and list of pins that a stage depends on.

    Examples
    --------
    >>> deps = [{"path": "pipelines/fit.py", "md5": "3a"}, {"path": "data/pool", "md5": "5f.dir"}]
    >>> lock_code({"stages": {"fit": {"deps": deps}}})
    {'pipelines/fit.py': '3a'}
    """
    return {path: md5 for path, md5 in _lock_entries(lock, "deps") if path.endswith(CODE_SUFFIXES)}


def find_md5s(text: str) -> frozenset[str]:
    r"""Return every md5 that a dvc.lock or a .dvc file names.

    Examples
    --------
    >>> find_md5s("outs:\n- md5: 3f5b7ae8b0a1c2d3e4f5061728394a5b.dir\n  size: 1\n")
    frozenset({'3f5b7ae8b0a1c2d3e4f5061728394a5b.dir'})
    """
    return frozenset(MD5_PATTERN.findall(text))


def find_path_md5(text: str, path: str) -> str | None:
    r"""Return the md5 that a dvc.lock names for a path; None where it names none.

    Examples
    --------
    >>> md5 = "3f5b7ae8b0a1c2d3e4f5061728394a5b.dir"
    >>> find_path_md5(f"outs:\n- path: data/pool\n  hash: md5\n  md5: {md5}\n", "data/pool") == md5
    True
    """
    found = re.search(rf"path: {re.escape(path)}\n\s+hash: md5\n\s+{MD5_PATTERN.pattern[2:]}", text)
    return found[1] if found else None


def _lock_entries(lock: Mapping[str, Any], part: str) -> Iterator[tuple[str, str]]:
    for stage in lock.get("stages", {}).values():
        for entry in stage.get(part, []):
            if "md5" in entry:
                yield entry["path"], entry["md5"]


METRIC_TOLERANCE = 1e-6  # of figures, in their own unit relative to 1 or to their size
PREDICTION_TOLERANCE = 1e-6  # of probabilities; of values, relative to their spread
RECORDED_FILE = "recorded.json"  # in the folder of a version that is made again
REBUILT_FILE = "rebuilt.json"


@dataclass(frozen=True)
class ComparisonRow:
    """One thing that was recorded, beside what it is now.

    Attributes
    ----------
    what : str
    recorded, rebuilt : str
        As a person reads them.
    difference : float, optional
        Of numbers.
    tolerance : float, optional
        What the difference may be.
    equal : bool
    """

    what: str
    recorded: str
    rebuilt: str
    difference: float | None
    tolerance: float | None
    equal: bool


@dataclass(frozen=True)
class FoldRefit:
    """One fold of a trial that was fitted again with the recorded number of iterations.

    Attributes
    ----------
    number, fold : int
    family : str
    recorded, rebuilt : dict
        Figures on the fold's validation rows.
    """

    number: int
    fold: int
    family: str
    recorded: MetricValues
    rebuilt: MetricValues


@dataclass(frozen=True)
class RecordedModel:
    """What a version's record decides beside files that every project has.

    Attributes
    ----------
    version : str
    pool : tuple of int, optional
        The trials whose models the search had kept; None where that is not known any more.
    members : tuple of Configuration, optional
        What the registered model is made of, the heaviest first; None where it is no ensemble.
    """

    version: str
    pool: tuple[int, ...] | None = None
    members: tuple[Configuration, ...] | None = None


def trials_to_refit(trials: Iterable[Trial], pool: Sequence[int] | None) -> tuple[Trial, ...]:
    """Return the trials whose models are fitted again: all that the model was chosen among.

    Parameters
    ----------
    trials : iterable of Trial
        In the order in which they ended.
    pool : sequence of int, optional
        Those whose models the search had kept. Where it is not known, all that ran on every fold
        are taken, or the first with any fold where none did.

    Examples
    --------
    >>> from evertune.trials import FoldResult
    >>> folds = (FoldResult(0, {"rmse": 1.0}, 0.1, 0.1),)
    >>> def trial(number, status):
    ...     return Trial(number, Configuration("tree"), status, folds, 1.0, None, 1.0)
    >>> trials = [trial(0, "complete"), trial(1, "stopped"), trial(2, "complete")]
    >>> [trial.number for trial in trials_to_refit(trials, None)]
    [0, 2]
    >>> [trial.number for trial in trials_to_refit(trials, (2,))]
    [2]
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
    whole = normalized_ensemble(kept)
    return Ensemble(whole.members, fitted.temperature, fitted.threshold)


def metrics_by_name(evaluation: Mapping[str, Any], kind: str) -> MetricValues:
    """Return the figures of one kind, such as `training`, that figures.json has of each metric.

    Examples
    --------
    >>> metrics_by_name({"metrics": [{"name": "mae", "training": 1.25}]}, "training")
    {'mae': 1.25}
    """
    return {row["name"]: row.get(kind) for row in evaluation.get("metrics", [])}


def metric_rows(recorded: MetricValues, rebuilt: MetricValues) -> tuple[ComparisonRow, ...]:
    """Return the figures of a record beside those of now, in the order of the record.

    Examples
    --------
    >>> (row,) = metric_rows({"mae": 2.0}, {"mae": 2.5})
    >>> row.difference, row.equal
    (0.5, False)
    """
    return tuple(_metric_row(name, recorded[name], rebuilt.get(name)) for name in recorded)


def text_row(what: str, recorded: object, rebuilt: object) -> ComparisonRow:
    """Return two things beside each other that are the same or not.

    Examples
    --------
    >>> text_row("members", 3, 2).equal
    False
    """
    return ComparisonRow(what, str(recorded), str(rebuilt), None, None, recorded == rebuilt)


def prediction_row(recorded: Predictions, rebuilt: Predictions) -> ComparisonRow:
    """Return the largest difference between two predictions of a row.

    Of probabilities it is their difference; of values, it is divided by the standard deviation of
    what was recorded.

    Examples
    --------
    >>> said = Predictions(np.array([1.0, 3.0]))
    >>> prediction_row(said, Predictions(np.array([1.0, 3.5]))).difference
    0.5
    """
    left, right = probabilities_or_values(recorded), probabilities_or_values(rebuilt)
    what, shape = "predictions of the hold-out", f"{len(left)} rows"
    if left.shape != right.shape:
        return ComparisonRow(what, shape, f"{len(right)} rows", None, PREDICTION_TOLERANCE, False)
    spread = 1.0 if recorded.probabilities is not None else float(left.std()) or 1.0
    largest = float(np.abs(left - right).max(initial=0.0)) / spread
    equal = largest <= PREDICTION_TOLERANCE
    return ComparisonRow(what, shape, shape, largest, PREDICTION_TOLERANCE, equal)


def worst_metric_row(what: str, recorded: MetricValues, rebuilt: MetricValues) -> ComparisonRow:
    """Return the figure that differs most, beside its record; it stands for all of them.

    Examples
    --------
    >>> worst_metric_row("training", {"mae": 2.0, "rmse": 3.0}, {"mae": 2.0, "rmse": 3.5}).what
    'training: 2 figures, rmse'
    """
    rows = metric_rows(recorded, rebuilt)
    if not rows:
        return text_row(what, "no figure", "no figure")
    worst = max(rows, key=lambda row: (not row.equal, row.difference or 0.0))
    return replace(worst, what=f"{what}: {len(rows)} figures, {worst.what}")


def refit_rows(refits: Iterable[FoldRefit]) -> tuple[ComparisonRow, ...]:
    """Return for each family the figure of a fold that differs most from the recorded one.

    Examples
    --------
    >>> refits = [FoldRefit(0, fold, "tree", {"mae": 1.0}, {"mae": 1.0}) for fold in (0, 1)]
    >>> refit_rows(refits)[0].what
    'tree, 2 folds fitted again: 2 figures, mae'
    """
    families: dict[str, list[FoldRefit]] = {}
    for refit in refits:
        families.setdefault(refit.family, []).append(refit)
    return tuple(_family_row(family, found) for family, found in sorted(families.items()))


def environment_differences(
    recorded: str, installed: str, *, names: Iterable[str]
) -> tuple[str, ...]:
    r"""Return what is installed in another version than was recorded, of some names.

    Parameters
    ----------
    recorded, installed : str
        Lines such as `numpy==2.4.6`.
    names : iterable of str

    Examples
    --------
    >>> environment_differences("numpy==2.4.6\n", "numpy==2.5.0\n", names=["NumPy"])
    ('numpy 2.4.6 was recorded, 2.5.0 is installed',)
    """
    wanted, here = parse_requirements(recorded), parse_requirements(installed)
    looked_at = sorted(
        {canonical_package_name(name) for name in names} & (wanted.keys() | here.keys())
    )
    return tuple(
        f"{name} {wanted.get(name, 'not at all')} was recorded,"
        f" {here.get(name, 'none')} is installed"
        for name in looked_at
        if wanted.get(name) != here.get(name)
    )


def parse_requirements(lines: str) -> dict[str, str]:
    r"""Return the version of each package of lines such as `numpy==2.4.6`; comments are none.

    Examples
    --------
    >>> parse_requirements("# pinned\nSciPy==1.18.0\n")
    {'scipy': '1.18.0'}
    """
    pairs = [line.split("==") for line in lines.split("\n") if "==" in line and line[0] != "#"]
    return {canonical_package_name(pair[0]): pair[1].strip() for pair in pairs}


def canonical_package_name(name: str) -> str:
    """Return the name of a package as registries compare it.

    Examples
    --------
    >>> canonical_package_name("ruamel.yaml_String")
    'ruamel-yaml-string'
    """
    return name.strip().lower().replace("_", "-").replace(".", "-")


def _metric_row(name: str, recorded: float | None, rebuilt: float | None) -> ComparisonRow:
    left, right = _metric_text(recorded), _metric_text(rebuilt)
    if recorded is None or rebuilt is None:
        return ComparisonRow(name, left, right, None, METRIC_TOLERANCE, recorded == rebuilt)
    difference = abs(recorded - rebuilt)
    tolerance = METRIC_TOLERANCE * max(1.0, abs(recorded))
    return ComparisonRow(name, left, right, difference, tolerance, difference <= tolerance)


def _family_row(family: str, refits: Sequence[FoldRefit]) -> ComparisonRow:
    what = f"{family}, {len(refits)} folds fitted again"
    rows = [worst_metric_row(what, refit.recorded, refit.rebuilt) for refit in refits]
    worst = max(rows, key=lambda row: (not row.equal, row.difference or 0.0))
    n_figures = sum(len(refit.recorded) for refit in refits)
    return replace(worst, what=f"{what}: {n_figures} figures, {worst.what.rpartition(', ')[2]}")


def _metric_text(figure: float | None) -> str:
    return "undefined" if figure is None else f"{figure:.6g}"


PROJECT_FOLDER = "project"  # the folder among a run's artifacts
LOCK_FILE = "dvc.lock"
RECORDED_METRICS_FILE = "recorded.figures.json"
RECORDED_ENVIRONMENT_FILE = "recorded.environment.txt"
TABLE_TAGS = {"source": "dvc.source", "production_labels": "dvc.absorbed"}
CODE_FOLDERS = ("evertune", "flows", "pipelines", "infra")
REBUILD_MODULE = "pipelines/rebuild.py"  # what makes a version again; older code has it not
COMMIT_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True)
class RestoredCode:
    """Which code was laid out.

    Attributes
    ----------
    what : str
        In words.
    changed : tuple of str
        Files that a stage depends on and that are not as they were recorded.
    """

    what: str
    changed: tuple[str, ...]


def restore_project_files(store: TrackingStore, version: ModelVersion, *, folder: Path) -> None:
    """Write to a folder what the run of a version keeps of its project, each file at its place.

    Raises
    ------
    StageError
        The run lacks one of them.
    """
    _make_dvc_project(folder)
    with tempfile.TemporaryDirectory() as beside:
        project = _required_artifact(store, version, PROJECT_FOLDER, Path(beside))
        for name in ("params.yaml", "dvc.yaml", LOCK_FILE):
            shutil.copyfile(_required_file(project / name, version), folder / name)
        places = read_paths(folder)
        _copy_file(_required_file(project / places["plan"].name, version), places["plan"])
        for name in TABLE_TAGS:
            pointer = places[name].with_name(f"{places[name].name}.dvc")
            _copy_file(_required_file(project / pointer.name, version), pointer)
        for kept, target in (
            (places["trials"].name, places["trials"]),
            (places["figures"].name, folder / RECORDED_METRICS_FILE),
            ("environment.txt", folder / RECORDED_ENVIRONMENT_FILE),
        ):
            _copy_file(_required_artifact(store, version, kept, Path(beside)), target)


def restore_data(root: Path, version: ModelVersion, *, folder: Path) -> None:
    """Write the tables that a version learned from to a folder, by their md5s.

    Raises
    ------
    StageError
        DVC's store and its remote have one of them no more.
    """
    places = read_paths(folder)
    for name, tag in TABLE_TAGS.items():
        if tag not in version.tags:
            raise StageError(
                f"expected version {version.number} to carry the tag {tag} with the md5 of its"
                " data, but it has none; it was registered by something else"
            )
        restore_by_md5(root, version.tags[tag], target=places[name])


def restore_code(root: Path, version: ModelVersion, *, folder: Path) -> RestoredCode:
    """Write the code that a version was made with to a folder, as near as it can be had.

    The md5s in dvc.lock tell whether code is the recorded one: that at hand is taken if it is, else
    that of the recorded commit, whichever has fewer files that differ.
    """
    recorded = lock_code(read_lock(folder))
    _copy_code(root, folder)
    here = RestoredCode("the code at hand", changed_files(folder, recorded))
    commit = version.tags.get(COMMIT_TAG)
    if not here.changed or commit is None:
        return here
    with tempfile.TemporaryDirectory(dir=folder) as name:
        committed = Path(name)
        if not extract_commit(root, commit, folder=committed):
            return here
        changed = changed_files(committed, recorded)
        if not (committed / REBUILD_MODULE).is_file() or len(changed) >= len(here.changed):
            return here
        _replace_code(committed, folder)
    return RestoredCode(f"the code of commit {commit[:12]}", changed)


def changed_files(folder: Path, recorded: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files of a folder that are not there or have another md5 than was recorded."""
    return tuple(path for path in sorted(recorded) if file_md5(folder / path) != recorded[path])


def file_md5(path: Path) -> str | None:
    """Return the md5 of a file, as DVC takes it; None where there is none."""
    if not path.is_file():
        return None
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def read_lock(folder: Path) -> Mapping[str, Any]:
    """Return what the dvc.lock of a folder says."""
    return read_yaml(folder / LOCK_FILE).values


def read_paths(folder: Path) -> dict[str, Path]:
    """Return the places of a project by their names in params.yaml, whatever else stands there."""
    return load_paths(folder).model_dump(by_alias=True)


def environment_text() -> str:
    """Return what is installed, a line such as `numpy==2.4.6` for each package."""
    found = {(each.name, each.version) for each in distributions()}
    return "".join(f"{name}=={number}\n" for name, number in sorted(found))


def _make_dvc_project(folder: Path) -> None:
    """Make a folder a DVC project of its own: that around it would take its stages for its own."""
    settings = folder / ".dvc" / "config"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("[core]\n    no_scm = True\n    analytics = False\n", encoding="utf-8")


def _required_artifact(
    store: TrackingStore, version: ModelVersion, name: str, beside: Path
) -> Path:
    found = download_artifact(store, version.run_id, name=name, folder=beside)
    if found is None:
        raise _missing_artifact_error(version, name)
    return found


def _required_file(path: Path, version: ModelVersion) -> Path:
    if not path.is_file():
        raise _missing_artifact_error(version, f"{PROJECT_FOLDER}/{path.name}")
    return path


def _missing_artifact_error(version: ModelVersion, name: str) -> StageError:
    return StageError(
        f"expected {name} among the artifacts of run {version.run_id}, which made version"
        f" {version.number}, but it is not there; without it the version cannot be made again"
    )


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_code(root: Path, folder: Path) -> None:
    own = root if (root / "pipelines").is_dir() else Path(__file__).parents[2]
    for name in CODE_FOLDERS:
        if (own / name).is_dir():
            shutil.copytree(own / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for module in root.glob("*.py"):  # functions of the user's own, such as a metric
        shutil.copy2(module, folder / module.name)


def _replace_code(committed: Path, folder: Path) -> None:
    for path in committed.iterdir():
        if path.name in CODE_FOLDERS or path.suffix == ".py":
            remove_path(folder / path.name)
            shutil.move(path, folder / path.name)


REPRODUCED_FOLDER = "reproduced"  # below state
COMPARED_TABLES = ("clean", "training", "holdout", "selection", "folds")
MD5_DIGITS_SHOWN, MAX_FILES_SHOWN = 12, 5


@dataclass(frozen=True)
class RestoredProject:
    """A version's project as it was, ready to be run.

    Attributes
    ----------
    version : str
    folder : Path
    notes : tuple of str
        What is not as it was recorded, in words.
    """

    version: str
    folder: Path
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Reproduction:
    """A version beside what was made of its record.

    Attributes
    ----------
    version : str
    rows : tuple of ComparisonRow
    notes : tuple of str
    """

    version: str
    rows: tuple[ComparisonRow, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Whether everything is what was recorded."""
        return all(row.equal for row in self.rows)


def restore_project(root: Path, number: str, *, into: Path | None = None) -> RestoredProject:
    """Return a folder with the data, parameters, plan, trials and code of a version.

    Parameters
    ----------
    root : Path
        The project's folder; it is only read.
    number : str
        Of the version.
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
    store = open_tracking_store(params.paths.state, params.registry.name)
    version = _find_version(store, number)
    folder = (into or params.paths.state / REPRODUCED_FOLDER / number).absolute()
    _check_empty_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    restore_project_files(store, version, folder=folder)
    restore_data(root, version, folder=folder)
    code = restore_code(root, version, folder=folder)
    model = versions.load_version_model(store, version)
    write_record(
        folder / RECORDED_FILE, _read_recorded_model(root, folder, version=number, model=model)
    )
    return RestoredProject(
        number, folder, (f"with {code.what}", *_difference_notes(folder, code.changed))
    )


def compare_with_registered(root: Path, laid_out: RestoredProject) -> Reproduction:
    """Return the version beside what its folder holds, once the stages have run there.

    Parameters
    ----------
    root : Path
        The project's folder; it is only read.
    laid_out : RestoredProject
    """
    params, folder = load_params(root), laid_out.folder
    store = open_tracking_store(params.paths.state, params.registry.name)
    registered = versions.load_version_model(store, _find_version(store, laid_out.version))
    rows = (
        *_table_rows(folder),
        *refit_rows(read_record(folder / REBUILT_FILE, tuple[FoldRefit, ...])),
        *_evaluation_rows(folder),
        *_model_rows(folder, registered),
    )
    return Reproduction(laid_out.version, rows, laid_out.notes)


def _find_version(store: TrackingStore, number: str) -> versions.ModelVersion:
    known = {version.number: version for version in versions.list_versions(store)}
    if number not in known:
        raise InputError(
            f"expected a version of {store.name}, but got {number!r}; there"
            f" {'are ' + ', '.join(known) if known else 'is none yet'}: see `evertune models`"
        )
    return known[number]


def _check_empty_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"expected an empty folder or none, but {folder} has files; remove it, or name another"
            " with --into"
        )


def _read_recorded_model(root: Path, folder: Path, *, version: str, model: Model) -> RecordedModel:
    """Return what the record says of the pool and of the members of the registered model."""
    pool = read_paths(folder)["pool"].relative_to(folder).as_posix()
    md5 = lock_outputs(read_lock(folder)).get(pool)
    names = folder_contents(cache_folder(root), md5) if md5 else {}
    kept = tuple(sorted(int(Path(name).stem) for name in names)) or None
    members = model_configurations(model) if isinstance(model.fitted, Ensemble) else None
    return RecordedModel(version, kept, members)


def _difference_notes(folder: Path, changed: tuple[str, ...]) -> Iterator[str]:
    if changed:
        more = (
            f" and {len(changed) - MAX_FILES_SHOWN} more" if len(changed) > MAX_FILES_SHOWN else ""
        )
        named = ", ".join(changed[:MAX_FILES_SHOWN])
        yield f"code that is not as it was recorded: {named}{more}"
    pins = folder / "infra" / "constraints.txt"
    recorded, installed = (
        (folder / RECORDED_ENVIRONMENT_FILE).read_text(encoding="utf-8"),
        environment_text(),
    )
    names = (
        parse_requirements(pins.read_text(encoding="utf-8"))
        if pins.is_file()
        else parse_requirements(recorded)
    )
    yield from environment_differences(recorded, installed, names=names)


def _table_rows(folder: Path) -> Iterator[ComparisonRow]:
    places, recorded = read_paths(folder), lock_outputs(read_lock(folder))
    for name in COMPARED_TABLES:
        md5 = recorded.get(places[name].relative_to(folder).as_posix())
        if md5 is not None:
            yield text_row(
                f"{name} table",
                md5[:MD5_DIGITS_SHOWN],
                (file_md5(places[name]) or "")[:MD5_DIGITS_SHOWN],
            )


def _evaluation_rows(folder: Path) -> Iterator[ComparisonRow]:
    recorded, rebuilt = (
        _read_metrics(path)
        for path in (folder / RECORDED_METRICS_FILE, read_paths(folder)["figures"])
    )
    yield text_row("chosen", recorded["chosen"], rebuilt["chosen"])
    yield worst_metric_row(
        "training", *(metrics_by_name(each, "training") for each in (recorded, rebuilt))
    )
    for row in metric_rows(recorded["holdout"], rebuilt["holdout"]):
        yield replace(row, what=f"hold-out {row.what}")


def _read_metrics(path: Path) -> dict[str, Any]:
    return read_record(path, dict[str, Any])


def _model_rows(folder: Path, registered: Model) -> Iterator[ComparisonRow]:
    places = read_paths(folder)
    model = load_model(_chosen_model_folder(folder, places))
    holdout = read_table(places["holdout"])
    yield text_row("members", _members_text(registered), _members_text(model))
    yield text_row("rows learned from", len(registered.row_keys), len(model.row_keys))
    said = [predict(each.fitted, holdout, each.schema) for each in (registered, model)]
    yield prediction_row(*said)


def _chosen_model_folder(folder: Path, places: dict[str, Path]) -> Path:
    """Return where the model is that the evaluation of the record chose."""
    head, _, simplest = str(_read_metrics(folder / RECORDED_METRICS_FILE)["chosen"]).partition(":")
    return places["baselines"] / "models" / simplest if head == "simplest" else places["model"]


def _members_text(model: Model) -> str:
    if not isinstance(model.fitted, Ensemble):
        return model.configuration.family
    return ", ".join(
        f"{member.configuration.family} {member.weight:.3g}" for member in model.fitted.members
    )
