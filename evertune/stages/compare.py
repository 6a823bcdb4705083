"""Compare searchers on a project's table, as `evertune compare` does.

Reads params.yaml and what `prepare` and `split` wrote: the training rows, their folds and the
schema. Writes a folder: `runs/` with the trials of each run, `report.md`, `comparison.json` and the
plots; and a run in MLflow. The project's own trials, pool and model are not touched, nor is the
hold-out read. A run that is complete is not run again, unless what it depends on has changed.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evertune.config.loader import load_params
from evertune.config.schema import Params, SearchSection
from evertune.config.search_rules import OWN_SETTINGS
from evertune.errors import InputError
from evertune.evaluation.comparison_report import comparison_lines, comparison_report
from evertune.evaluation.formatting import count_noun, metric_name
from evertune.files import digest_files, read_record, write_record, write_text
from evertune.fingerprint import stage_fingerprints
from evertune.registry.mlflow_registry import open_registry
from evertune.search.comparison import (
    Comparison,
    ComparisonSettings,
    SearchRun,
    check_settings,
    compare_runs,
)
from evertune.search.comparison_runs import load_search_libraries, run_one_search
from evertune.search.objective import Objective, read_objective
from evertune.search.samplers import make_sampler
from evertune.search.study import SearchConfig
from evertune.stages.search import search_errors
from evertune.trials import Trial

RUN_FILE, TRIALS_FILE = "run.json", "trials.jsonl"
PROGRESS_SECONDS = 10.0  # between two lines about a run


@dataclass(frozen=True)
class ComparisonResult:
    """What a comparison came to: the folder, and lines for a person."""

    comparison: Comparison
    folder: Path
    lines: tuple[str, ...]


def compare_searchers(
    root: Path,
    settings: ComparisonSettings,
    *,
    output: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> ComparisonResult:
    """Run what is missing of a comparison, and write and log what all runs show.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    output : Path, optional
        A folder; by default `comparison` in the project's state.
    say : callable
        Takes a line of progress.

    Raises
    ------
    InputError
        The settings cannot be used, or no table is prepared yet.
    BusyError
        MLflow or the Ray cluster does not answer.
    """
    check_settings(settings)
    params = load_params(root)
    folder = output or params.paths.state / "comparison"
    if folder.is_file():
        raise InputError(f"expected a folder for the comparison, but {folder} is a file")
    objective = _read_objective(params, root)
    searches = _searches(params, settings, root=root)
    with search_errors():
        for searcher, scheduler in settings.methods:  # before hours of runs, not after
            search, _ = searches[searcher, scheduler, 0]
            make_sampler(objective, SearchConfig.of(search))
            load_search_libraries(search)
    registry = open_registry(params)
    runs = _run_missing(objective, searches, folder=folder, params=params, root=root, say=say)
    metric = objective.metrics[0]
    found = compare_runs(
        runs,
        settings,
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        n_rows=len(objective.table),
        n_folds=len(objective.folds),
        families=params.search.families,
    )
    files = _write(found, folder)
    digest = hashlib.sha256("\n".join(run.digest for run in runs).encode()).hexdigest()
    run_id = registry.log_comparison(found, files=files, digest=digest)
    lines = [
        *comparison_lines(found),
        f"the report: {folder / 'report.md'}",
        f"MLflow shows it as run {run_id}",
    ]
    return ComparisonResult(found, folder, tuple(lines))


Searches = dict[tuple[str, str, int], tuple[SearchSection, str]]


def _read_objective(params: Params, root: Path) -> Objective:
    paths = params.paths
    missing = [
        path.relative_to(root) if path.is_relative_to(root) else path
        for path in (paths.training, paths.folds, paths.table_schema)
        if not path.exists()
    ]
    if missing:
        raise InputError(
            "expected the table that the stages prepare and split make, but there is no"
            f" {', '.join(map(str, missing))} yet; run `evertune train` first, or `evertune"
            " snapshot` and `dvc repro split`"
        )
    return read_objective(paths, params.metric, root=root, seed=params.search.seed)


def _searches(params: Params, settings: ComparisonSettings, *, root: Path) -> Searches:
    """Return the settings of each run and the digest of all that its result depends on."""
    paths = params.paths
    shared = "\n".join(
        [
            digest_files([paths.training, paths.folds, paths.table_schema]),
            stage_fingerprints(root)["search"],
            params.metric.model_dump_json(),
        ]
    )
    found: Searches = {}
    for searcher, scheduler, seed in settings.runs():
        search = search_of_run(params.search, settings, searcher, scheduler=scheduler, seed=seed)
        own = search.model_dump_json(exclude={"workers"} if search.budget_seconds is None else None)
        digest = hashlib.sha256(f"{shared}\n{own}".encode()).hexdigest()
        found[searcher, scheduler, seed] = (search, digest)
    return found


def search_of_run(
    search: SearchSection,
    settings: ComparisonSettings,
    searcher: str,
    *,
    scheduler: str,
    seed: int,
) -> SearchSection:
    """Return the section `search` of one run, without what only another searcher takes.

    Raises
    ------
    InputError
        If the searcher or the scheduler does not go with the other keys of the section.
    """
    changes = {
        "searcher": searcher,
        "scheduler": scheduler,
        "seed": seed,
        "budget_trials": settings.budget_trials,
        "budget_seconds": settings.budget_seconds,
        **{key: () for key, owner in OWN_SETTINGS.items() if owner != searcher},
    }
    own = search.model_copy(update=changes)
    faults = [f"search.{key}: {fault}" for key, fault in own.conflicts()]
    if faults:
        label = settings.label(searcher, scheduler)
        raise InputError(f"{label} cannot run with this params.yaml: {'; '.join(faults)}")
    return own


def _run_missing(
    objective: Objective,
    searches: Searches,
    *,
    folder: Path,
    params: Params,
    root: Path,
    say: Callable[[str], None],
) -> list[SearchRun]:
    places = {key: folder / "runs" / f"{key[0]}-{key[1]}-{key[2]}" for key in searches}
    runs = {key: _stored_run(places[key], digest) for key, (_, digest) in searches.items()}
    missing = [key for key, run in runs.items() if run is None]
    if len(missing) < len(searches):
        say(f"{len(searches) - len(missing)} of {len(searches)} runs are there already")
    began = time.monotonic()
    for done, key in enumerate(missing):
        search, digest = searches[key]
        name = f"run {len(searches) - len(missing) + done + 1} of {len(searches)}: " + ", ".join(
            [
                key[0],
                *([key[1]] if len({each[1] for each in searches}) > 1 else []),
                f"seed {key[2]}",
            ]
        )
        progress = _RunProgress(name, search, metric=objective.metrics[0].name, say=say)
        with search_errors():
            run = run_one_search(
                objective,
                search,
                digest=digest,
                trials_file=places[key] / TRIALS_FILE,
                root=root,
                state=params.paths.state,
                on_trial=progress.on_trial,
            )
        write_record(places[key] / RUN_FILE, run)
        runs[key] = run
        mean = (time.monotonic() - began) / (done + 1)
        left = len(missing) - done - 1
        rest = f"; {left} left, about {_duration(left * mean)}" if left else "; the last one"
        score = "no score" if run.best is None else f"{metric_name(progress.metric)} {run.best:.5g}"
        trials = count_noun(len(run.best_scores), "trial")
        say(f"{name}: {score} after {trials}, {run.seconds:.1f} s{rest}")
    return [run for run in runs.values() if run is not None]


def _stored_run(place: Path, digest: str) -> SearchRun | None:
    """Return a run that is complete; None if it is missing or of something else."""
    path = place / RUN_FILE
    if not path.is_file():
        return None
    try:
        run = read_record(path, SearchRun)
    except InputError:  # an earlier release wrote it
        return None
    return run if run.digest == digest else None


class _RunProgress:
    """Says how far a run is, every ten seconds."""

    def __init__(
        self, name: str, search: SearchSection, *, metric: str, say: Callable[[str], None]
    ) -> None:
        self.metric = metric
        self._name, self._search, self._say = name, search, say
        self._said = time.monotonic()

    def on_trial(self, trial: Trial, n_trials: int) -> None:
        """Say how many trials ended and what is left, unless it was said a moment ago."""
        if time.monotonic() - self._said < PROGRESS_SECONDS:
            return
        self._said = time.monotonic()
        search, parts = self._search, []
        if search.budget_trials is not None:
            parts.append(f"{count_noun(search.budget_trials - n_trials, 'trial')} left")
        if search.budget_seconds is not None:
            parts.append(f"{max(0.0, search.budget_seconds - trial.elapsed_seconds):.0f} s left")
        self._say(f"{self._name}: {count_noun(n_trials, 'trial')} ended, {', '.join(parts)}")


def _write(found: Comparison, folder: Path) -> list[Path]:
    """Write the plots, the figures and the report; return the files."""
    from evertune.evaluation.comparison_plots import comparison_plots

    pictures = comparison_plots(found)
    files = []
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)
        files.append(folder / f"{name}.png")
    write_record(folder / "comparison.json", found)
    write_text(folder / "report.md", comparison_report(found, pictures))
    return [*files, folder / "comparison.json", folder / "report.md"]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
