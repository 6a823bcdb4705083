"""What `evertune train` would do now, and why, without doing it.

`plan_training` takes the snapshot on a stand-in for the project's folder
(`evertune.versioning.preview`), asks DVC there, stage by stage, what is not as it recorded it, and
asks the registry's records whether the result is judged already: the very functions that a run
asks. Nothing of the project is written, and no server is started or needed.

A stage whose own inputs have changed runs for certain. A stage behind it runs only if that one
makes other files than before, which nobody can know without running it.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.errors import EvertuneError, InputError, ParamsError
from evertune.files import (
    is_project_locked,
    read_lines,
    read_record,
    template_folder,
)
from evertune.fingerprint import FOLDER as CODE_FOLDER
from evertune.fingerprint import code_changes
from evertune.messages import to_safe_json
from evertune.orchestration.step_times import read_step_seconds
from evertune.plan import Plan
from evertune.search.check_params import check_search_params
from evertune.search.leaderboard import all_failed
from evertune.search.trial_log import parse_header, parse_trial
from evertune.stages.snapshot import preview_source, write_snapshot
from evertune.trials import Trial
from evertune.versioning import dvc
from evertune.versioning.preview import (
    RecordedStage,
    name_project,
    project_preview,
    recorded_stage,
    stage_files,
)

PARAMS_FILE = "params.yaml"
SEARCH, FIT = "search", "fit"
MODULES_SHOWN = 3
DATABASES = ("mlflow.db", "predictions.db")
State = Literal["run", "may run", "up to date"]
SnapshotState = Literal["new", "changed", "up to date", "unknown"]
ReasonKind = Literal[
    "never run", "parameter", "file", "code", "library", "output", "stage definition", "upstream"
]
OUTPUT_WORDS = {
    "deleted": "is missing",
    "modified": "was changed since",
    "new": "is not recorded by DVC",
    "not in cache": "is not in DVC's cache",
}
FILE_WORDS = {"deleted": "is missing", "modified": "has changed", "new": "is a new dependency"}


@dataclass(frozen=True)
class Reason:
    """Why a stage runs, or may run.

    Attributes
    ----------
    kind : str
        `upstream`, of a stage that may run, where an earlier stage may change a file.
    what : str
        The file, dotted key, module or library.
    text : str
        For a person.
    old, new : optional
        Values of a key, versions of a library; None where there is none.
    """

    kind: ReasonKind
    what: str
    text: str
    old: Any = None
    new: Any = None


@dataclass(frozen=True)
class PlannedStage:
    """A stage of dvc.yaml.

    Attributes
    ----------
    state : str
        `may run` where that depends on what earlier stages make.
    seconds : float, optional
        About how long it takes; None if that is not known.
    seconds_from : str
        Where that is known from.
    kept_trials : int, optional
        Of a search that runs: trials of a killed run that it goes on from.
    fault : str, optional
        Why the stage cannot run.
    """

    name: str
    state: State
    reasons: tuple[Reason, ...] = ()
    seconds: float | None = None
    seconds_from: str = ""
    kept_trials: int | None = None
    fault: str | None = None


@dataclass(frozen=True)
class PlannedStep:
    """What is known of the snapshot, or of registering."""

    state: SnapshotState | State
    text: str


@dataclass(frozen=True)
class TrainPlan:
    """What a run would do.

    Attributes
    ----------
    least_seconds, most_seconds : float
        Of the stages that run, without and with those that may; unknown times are left out.
    unknown : tuple of str
        Stages that run or may run, of which no time is known.
    is_running : bool
        Whether a run holds the project now, so that all this may change at any moment.
    """

    snapshot: PlannedStep
    stages: tuple[PlannedStage, ...]
    register: PlannedStep
    least_seconds: float
    most_seconds: float
    unknown: tuple[str, ...]
    is_running: bool


def plan_training(root: Path) -> TrainPlan:
    """Return what `evertune train` would do now; nothing is changed.

    Parameters
    ----------
    root : Path
        The project's folder; its lock is not needed.

    Raises
    ------
    EvertuneError
        What a run would refuse at once: faults of params.yaml, of the table, or of dvc.yaml.
    """
    params = load_params(root)
    check_search_params(root)
    with project_preview(root) as place:
        try:
            seen = load_params(place)
            snapshot = _snapshot_on(seen, root)
            names = dvc.list_stages(place)
            times = read_step_seconds(params.paths.state)
            stages = _plan_stages(place, seen, names, snapshot, times)
            register = _plan_register(place, params, stages)
        except EvertuneError as error:  # the stand-in is nobody's business
            raise type(error)(name_project(str(error), place, root)) from error
    certain = [stage for stage in stages if stage.state == "run"]
    possible = [stage for stage in stages if stage.state == "may run"]
    least = sum(stage.seconds or 0.0 for stage in certain)
    return TrainPlan(
        snapshot,
        stages,
        register,
        least_seconds=least,
        most_seconds=least + sum(stage.seconds or 0.0 for stage in possible),
        unknown=tuple(stage.name for stage in (*certain, *possible) if stage.seconds is None),
        is_running=is_project_locked(params.paths.state),
    )


def _snapshot_on(seen: Params, root: Path) -> PlannedStep:
    """Take the snapshot on the stand-in, as `snapshot_step` does in the project."""
    source = seen.data.source
    is_new = not seen.paths.source.is_file()
    table = preview_source(root)
    if table is None:
        what = "query" if seen.data.address_variable else "model data.existing_model"
        text = f"only a run asks the {what}; the plan assumes that its result is as it was"
        return PlannedStep("unknown", text)
    changed = write_snapshot(seen.paths, table)
    rows = f"{len(table)} rows"
    if is_new:
        return PlannedStep("new", f"the first version of {source}, {rows}")
    if changed:
        return PlannedStep("changed", f"{source} has changed, {rows}: a new version")
    return PlannedStep("up to date", f"{source} is as in the last version, {rows}")


def _plan_stages(
    place: Path,
    params: Params,
    names: Sequence[str],
    snapshot: PlannedStep,
    last_seconds: Mapping[str, float],
) -> tuple[PlannedStage, ...]:
    files, made_by, planned = stage_files(place), dict[str, str](), []
    if snapshot.state == "unknown":
        made_by[os.path.relpath(params.paths.source, place)] = "snapshot"
    statuses = dvc.stage_statuses(place, names)
    for name, status in statuses.items():
        dependencies, outputs = files[name]
        uncertain = {
            path: stage
            for path in dependencies
            for other, stage in made_by.items()
            if _overlap(path, other)
        }
        reasons = tuple(_reasons(place, name, status, uncertain))
        upstream = tuple(_upstream_reasons(uncertain))
        if not reasons and not upstream:
            planned.append(PlannedStage(name, "up to date"))
            continue
        made_by |= dict.fromkeys(outputs, name)
        trials: tuple[Trial, ...] = ()
        fault: str | None = None
        if name == SEARCH:
            trials, fault = _kept_trials(place, params)
        seconds, known_from = None, ""
        if fault is None:
            seconds, known_from = _estimate(name, params, trials, last_seconds)
        planned.append(
            PlannedStage(
                name,
                "run" if reasons else "may run",
                reasons or upstream,
                seconds=seconds,
                seconds_from=known_from,
                kept_trials=len(trials) or None,
                fault=fault or _missing_stage_file(place, name),
            )
        )
    return tuple(planned)


def _overlap(path: str, other: str) -> bool:
    return Path(path).is_relative_to(other) or Path(other).is_relative_to(path)


def _reasons(
    place: Path, name: str, status: Mapping[str, Mapping[str, Any]], uncertain: Mapping[str, str]
) -> Iterator[Reason]:
    """Yield why a stage runs for certain; a file that an earlier stage makes anew is no reason."""
    recorded = recorded_stage(place, name)
    if status and recorded is None:
        yield Reason("never run", name, "it has not run in this project yet")
        return
    for path, words in status.get("changed deps", {}).items():
        if path == PARAMS_FILE and isinstance(words, dict):
            yield from _param_reasons(place, recorded, words)
        elif Path(path).parent == CODE_FOLDER:
            yield from _code_reasons(place, name, recorded, path)
        elif path not in uncertain:
            yield Reason("file", path, f"{path} {FILE_WORDS.get(str(words), f'is {words}')}")
    for path, word in status.get("changed outs", {}).items():
        yield Reason("output", path, f"its output {path} {OUTPUT_WORDS.get(word, f'is {word}')}")
    for kind in sorted(status.keys() - {"changed deps", "changed outs"}):
        yield Reason("stage definition", "dvc.yaml", f"its definition in dvc.yaml: {kind}")


def _upstream_reasons(uncertain: Mapping[str, str]) -> Iterator[Reason]:
    for stage in sorted(set(uncertain.values())):
        paths = [path for path, maker in uncertain.items() if maker == stage]
        text = f"if `{stage}` makes another {' or '.join(paths)} than before"
        yield Reason("upstream", stage, text)


def _param_reasons(
    place: Path, recorded: RecordedStage | None, sections: Mapping[str, str]
) -> Iterator[Reason]:
    from evertune.config.yaml_file import read_yaml

    before = {} if recorded is None else recorded.params
    now = read_yaml(place / PARAMS_FILE).values
    for section in sections:
        for key, old, new in _differences(section, before.get(section), now.get(section)):
            text = f"{key}: {_shown(old)} -> {_shown(new)}"
            yield Reason("parameter", key, text, old=old, new=new)


def _differences(key: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted keys in which two values differ; None is shown as `not set`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from _differences(f"{key}.{name}", old.get(name), new.get(name))
    elif old != new:
        yield key, old, new


def _shown(value: object) -> str:
    return "not set" if value is None else to_safe_json(value)


def _code_reasons(
    place: Path, name: str, recorded: RecordedStage | None, path: str
) -> Iterator[Reason]:
    md5 = "" if recorded is None else recorded.dependencies.get(path, "")
    changes = code_changes(place, name, recorded_md5=md5)
    for each in changes:
        if each.kind == "libraries":
            text = f"library {each.name}: {each.old or 'not used'} -> {each.new or 'not used'}"
            yield Reason("library", each.name, text, old=each.old, new=each.new)
    parts = [
        each.name if each.kind != "files" else f"your {each.name}"
        for each in changes
        if each.kind != "libraries"
    ]
    if parts:
        more = f" and {len(parts) - MODULES_SHOWN} more" if len(parts) > MODULES_SHOWN else ""
        text = f"code that it runs has changed: {', '.join(parts[:MODULES_SHOWN])}{more}"
        yield Reason("code", ", ".join(parts), text)
    if not changes:
        text = "code that it runs, or a library, has changed since it ran"
        yield Reason("code", path, f"{text} (which one was not recorded)")


def _kept_trials(place: Path, params: Params) -> tuple[tuple[Trial, ...], str | None]:
    """Return the trials that the search goes on from, and why it would be refused, if it would."""
    from evertune.stages.search import apply_plan, search_digest  # seconds to import

    paths = params.paths
    inputs = (paths.training, paths.folds, paths.table_schema, paths.plan)
    try:
        if not all(path.is_file() for path in inputs):
            apply_plan(params.search, Plan())
            return (), None
        search = apply_plan(params.search, read_record(paths.plan, Plan))
        lines = read_lines(paths.trials)
        digest = search_digest(paths, params.metric, search, root=place)
        if not lines or parse_header(lines[0]).digest != digest:
            return (), None
        trials = tuple(map(parse_trial, lines[1:]))
    except ParamsError as error:
        return (), str(error)
    except (InputError, ValueError):  # not what this release writes: the search begins anew
        return (), None
    return (() if all_failed(trials) else trials), None


def _estimate(
    name: str,
    params: Params,
    trials: tuple[Trial, ...],
    last_seconds: Mapping[str, float],
) -> tuple[float | None, str]:
    """Return about how long a stage takes, None if that is not known, and where from."""
    last = last_seconds.get(name)
    if name == SEARCH:
        from evertune.stages.search import apply_plan, search_budget

        plan = read_record(params.paths.plan, Plan) if params.paths.plan.is_file() else Plan()
        budget = search_budget(apply_plan(params.search, plan), trials, started=0.0)
        if plan.mode != "refit" and budget.seconds is not None:
            return max(0.0, budget.seconds - budget.spent_seconds), "its budget"
    if last is not None:
        return last, "the last run"
    if name == FIT and params.fit.budget_seconds is not None:
        return float(params.fit.budget_seconds), "its budget, at most"
    return None, ""


def _missing_stage_file(place: Path, name: str) -> str | None:
    folder = place / "pipelines"
    folder = folder if folder.is_dir() else template_folder() / "pipelines"
    if (folder / f"{name}.py").is_file():
        return None
    return f"pipelines/{name}.py is not there: restore it, or take the stage out of dvc.yaml"


def _plan_register(place: Path, params: Params, stages: tuple[PlannedStage, ...]) -> PlannedStep:
    """Return whether the result would be registered and judged; databases are read as copies."""
    if any(stage.state == "run" for stage in stages):
        return PlannedStep("run", "a new result is registered and judged")
    if any(stage.state == "may run" for stage in stages):
        return PlannedStep("may run", "a new result is registered and judged, if there is one")
    state = params.paths.state
    elsewhere = "MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else None
    elsewhere = elsewhere or params.scoring.log_variable
    if elsewhere is not None:
        text = f"the server that {elsewhere} names knows whether this result is judged already"
        return PlannedStep("may run", text)
    if not (state / "mlflow.db").is_file():
        return PlannedStep("run", "nothing is registered in this project yet")
    from evertune.registry.already_registered import settled_verdict

    for name in DATABASES:
        for file in sorted(state.glob(f"{name}*")):
            if not file.name.endswith("-shm"):
                shutil.copy2(file, load_params(place).paths.state / file.name)
    if (state / "artifacts").is_dir():  # runs have their verdicts there
        (load_params(place).paths.state / "artifacts").symlink_to((state / "artifacts").resolve())
    settled = settled_verdict(place)
    if settled is None:
        return PlannedStep("run", "this result is not judged yet, or not against this champion")
    return PlannedStep("up to date", f"judged already: {settled.decision}")
