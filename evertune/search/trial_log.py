"""Store the trials of a search: a file of JSON lines, and a pool with their fold models.

The first line of the trials file is a header that identifies the search, then each trial is a line,
forced to disk as soon as it has ended. `TrialLog` writes both: it resumes a search that was
killed, drops the trials of any other search, and holds the pool to a size. The number of workers
does not make it another search.

A pool entry is one zip archive with a trial's out-of-fold predictions and fold models, without
pickle; equal entries give equal bytes, so DVC's hashes are stable.
"""

import io
import json
import zipfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from evertune.errors import InputError
from evertune.failpoints import failpoint
from evertune.files import append_line, atomic_write, read_lines, write_text
from evertune.search.leaderboard import all_failed, top_trials
from evertune.trials import TRIALS_SCHEMA_VERSION, Configuration, SearchHeader, Trial
from evertune.types import Predictions

if TYPE_CHECKING:
    from evertune.ensemble.oof import FoldModel, TrialArtifacts

T = TypeVar("T")
ARCHIVE_SUFFIX = ".zip"
MEGABYTE = 1e6

_HEADER: TypeAdapter[SearchHeader] = TypeAdapter(SearchHeader)
_TRIAL: TypeAdapter[Trial] = TypeAdapter(Trial)


class TrialLog:
    """The trials file and the pool of one search.

    Parameters
    ----------
    path, pool : Path
        The file and the folder; either may not exist yet.
    max_pool_megabytes : float
        Beyond it the pool loses the worst trials' models; the best trial's always stay.

    Attributes
    ----------
    trials : list of Trial
        Of this search, those of earlier runs first.
    """

    def __init__(
        self, path: Path, pool: Path, *, header: SearchHeader, max_pool_megabytes: float
    ) -> None:
        self._path, self._pool, self._header = path, pool, header
        self._max_pool_megabytes = max_pool_megabytes
        self.trials = list(open_trials(path, header))
        if all_failed(self.trials):  # nothing to go on from
            path.unlink()
            self.trials = list(open_trials(path, header))
        pool.mkdir(parents=True, exist_ok=True)
        drop_entries(pool, set(stored_numbers(pool)) - {trial.number for trial in self.trials})

    def record(self, trial: Trial, artifacts: "TrialArtifacts | None") -> None:
        """Store a trial, its models first: a trial in the file has its models in the pool."""
        if artifacts is not None:
            save_entry(self._pool, artifacts)
            failpoint("search.models_stored")
        append_trial(self._path, trial)
        failpoint("search.trial_recorded", self._path)
        self.trials.append(trial)
        if artifacts is not None:
            shrink_pool(
                self._pool,
                self.trials,
                greater_is_better=self._header.greater_is_better,
                max_megabytes=self._max_pool_megabytes,
            )


def open_trials(path: Path, header: SearchHeader) -> tuple[Trial, ...]:
    """Prepare the file for a search, and return the trials that it has of that search.

    The file is written anew, since it may be a link into a cache that must not change.
    """
    lines = read_lines(path)
    trials = lines[1:] if lines and _is_same_search(lines[0], header) else []
    write_text(path, "\n".join([_HEADER.dump_json(header).decode(), *trials]) + "\n")
    return tuple(map(parse_trial, trials))


def append_trial(path: Path, trial: Trial) -> None:
    """Add a trial and force it to disk."""
    usual = {"fidelity": 1.0, "member": None}
    left_out = {name for name, value in usual.items() if getattr(trial, name) == value}
    append_line(path, _TRIAL.dump_json(trial, exclude=left_out).decode())


def read_trials(path: Path) -> tuple[Trial, ...]:
    """Return the trials of the file."""
    lines = read_lines(path)
    if lines:
        _parse(path, 1, parse_header, lines[0])
    return tuple(
        _parse(path, number, parse_trial, line) for number, line in enumerate(lines[1:], 2)
    )


def read_header(path: Path) -> SearchHeader:
    """Return the header of the file: which search its trials belong to."""
    return _parse(path, 1, parse_header, next(iter(read_lines(path)), ""))


def _parse(path: Path, number: int, parse: Callable[[str], T], line: str) -> T:
    try:
        return parse(line)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise InputError(
            f"{path}, line {number}: expected a line that the search wrote, but {fault['msg']};"
            " remove the file and run `evertune train`, which searches again"
        ) from error


def parse_header(line: str) -> SearchHeader:
    """Read the first line of a trials file; one without a version has version 1.

    Raises
    ------
    InputError
        If a later release wrote it.
    """
    header = _HEADER.validate_json(line, strict=True)
    if header.schema_version > TRIALS_SCHEMA_VERSION:
        raise InputError(
            f"expected a trials file of version {TRIALS_SCHEMA_VERSION} or before, but found "
            f"version {header.schema_version}, which a later release wrote. Install that release, "
            "or search again."
        )
    return header


def parse_trial(line: str) -> Trial:
    """Read one of the other lines."""
    return _TRIAL.validate_json(line, strict=True)


def _is_same_search(line: str, header: SearchHeader) -> bool:
    try:
        known = _HEADER.validate_json(line, strict=True)
    except ValidationError:
        return False
    return replace(known, workers=header.workers) == header


def shrink_pool(
    folder: Path, trials: Sequence[Trial], *, greater_is_better: bool, max_megabytes: float
) -> None:
    """Drop the models of the worst trials until the pool is small enough; the best one stays."""
    if pool_megabytes(folder) <= max_megabytes:
        return
    stored = set(stored_numbers(folder))
    ranked = top_trials(trials, greater_is_better=greater_is_better, most=len(trials))
    numbers = [trial.number for trial in ranked if trial.number in stored]
    while len(numbers) > 1 and pool_megabytes(folder) > max_megabytes:
        drop_entries(folder, [numbers.pop()])


def save_entry(folder: Path, entry: "TrialArtifacts") -> None:
    """Write an entry; an older one of the same number is replaced."""
    metadata = {
        "number": entry.number,
        "configuration": asdict(entry.configuration),
        "folds": [
            {
                "fold": model.fold,
                "kind": model.kind,
                "columns": model.columns,
                "iterations": model.iterations,
                "whole": model.whole,
                "probabilities": model.predictions.probabilities is not None,
            }
            for model in entry.folds
        ],
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:

        def add(name: str, data: bytes) -> None:
            info = zipfile.ZipInfo(name)  # of 1980, so that equal entries give equal bytes
            archive.writestr(info, data, compress_type=zipfile.ZIP_STORED)

        add("entry.json", json.dumps(metadata, sort_keys=True).encode())
        for model in entry.folds:
            arrays = {"rows": model.rows, "values": model.predictions.values}
            if model.predictions.probabilities is not None:
                arrays["probabilities"] = model.predictions.probabilities
            for name, array in arrays.items():
                data = io.BytesIO()
                np.save(data, np.ascontiguousarray(array), allow_pickle=False)
                add(f"{model.fold}/{name}.npy", data.getvalue())
            add(f"{model.fold}/model", model.data)
    with atomic_write(_entry_path(folder, entry.number)) as file:
        file.write(content.getvalue())


def read_entries(
    folder: Path, numbers: Iterable[int] | None = None, *, models: bool = True
) -> "tuple[TrialArtifacts, ...]":
    """Return entries in the order of their numbers.

    Parameters
    ----------
    folder : Path
        If it does not exist, there are no entries.
    numbers : iterable of int, optional
        Those to read, as far as they are stored; by default all.
    models : bool
        Whether to read the fitted models; without them `data` is empty.

    Raises
    ------
    InputError
        If an archive is not one that `save_entry` wrote.
    """
    stored = stored_numbers(folder)
    if numbers is not None:
        stored = tuple(sorted(set(numbers) & set(stored)))
    return tuple(_read_entry(_entry_path(folder, number), models=models) for number in stored)


def stored_numbers(folder: Path) -> tuple[int, ...]:
    """Return the numbers of the trials in the pool, ascending."""
    names = [path.stem for path in folder.glob(f"*{ARCHIVE_SUFFIX}")]
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def drop_entries(folder: Path, numbers: Collection[int]) -> None:
    """Remove entries; numbers that are not stored are ignored."""
    for number in numbers:
        _entry_path(folder, number).unlink(missing_ok=True)


def pool_megabytes(folder: Path) -> float:
    """Return the size of the pool on disk, in megabytes of a million bytes."""
    return sum(path.stat().st_size for path in folder.glob(f"*{ARCHIVE_SUFFIX}")) / MEGABYTE


def _entry_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}{ARCHIVE_SUFFIX}"


def _read_entry(path: Path, *, models: bool) -> "TrialArtifacts":
    from evertune.ensemble.oof import TrialArtifacts

    try:
        with zipfile.ZipFile(path) as archive:
            entry = json.loads(archive.read("entry.json"))
            folds = tuple(_read_fold_model(archive, fold, models=models) for fold in entry["folds"])
            configuration = Configuration(**entry["configuration"])
            return TrialArtifacts(entry["number"], configuration, folds)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{path} is not what the search wrote: {error}. Search again.") from error


def _read_fold_model(
    archive: zipfile.ZipFile, fold: dict[str, Any], *, models: bool
) -> "FoldModel":
    from evertune.ensemble.oof import FoldModel

    number = fold["fold"]

    def read_array(name: str) -> NDArray[Any]:
        data = io.BytesIO(archive.read(f"{number}/{name}.npy"))
        array: NDArray[Any] = np.load(data, allow_pickle=False)
        return array

    probabilities = read_array("probabilities") if fold["probabilities"] else None
    return FoldModel(
        fold=number,
        rows=read_array("rows"),
        predictions=Predictions(read_array("values"), probabilities),
        kind=fold["kind"],
        data=archive.read(f"{number}/model") if models else b"",
        columns=None if fold["columns"] is None else tuple(fold["columns"]),
        iterations=fold["iterations"],
        whole=fold["whole"],
    )
