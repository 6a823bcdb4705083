"""Store the trials of a search: a JSON-lines log, and the fold models of each trial.

The log starts with a header that identifies the search; `open_trials` returns the trials to
resume from and drops those of any other search. The number of workers does not make it another
search. `append_trial` forces each line to disk, so a killed search loses no finished trial.
`save_entry` writes a trial's out-of-fold predictions and fold models as one zip archive without
pickle; equal entries give equal bytes, so DVC hashes are stable.
"""

import io
import json
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from evertune.ensemble.oof import FoldModel, TrialArtifacts
from evertune.errors import InputError
from evertune.files import append_line, atomic_write, read_lines, write_text
from evertune.models.persistence import ZIP_EPOCH
from evertune.trials import Configuration, SearchHeader, Trial
from evertune.types import Predictions

HEADER_ADAPTER: TypeAdapter[SearchHeader] = TypeAdapter(SearchHeader)
TRIAL_ADAPTER: TypeAdapter[Trial] = TypeAdapter(Trial)


def open_trials(path: Path, header: SearchHeader) -> tuple[Trial, ...]:
    """Make the file ready for a search and return the trials that it has of that search.

    The file is written anew, as it may be a link into a cache that must not change; the trials of
    any other search are dropped. How many workers a search has does not make it another.
    """
    lines = read_lines(path)
    kept = lines[1:] if lines and _is_same_search(lines[0], header) else []
    write_text(path, "\n".join([HEADER_ADAPTER.dump_json(header).decode(), *kept]) + "\n")
    return tuple(TRIAL_ADAPTER.validate_json(line, strict=True) for line in kept)


def append_trial(path: Path, trial: Trial) -> None:
    """Add a trial and force it to disk."""
    append_line(path, TRIAL_ADAPTER.dump_json(trial).decode())


def read_trials(path: Path) -> tuple[Trial, ...]:
    """Return the trials of the file."""
    return tuple(TRIAL_ADAPTER.validate_json(line, strict=True) for line in read_lines(path)[1:])


def read_header(path: Path) -> SearchHeader:
    """Return which search the trials of the file belong to."""
    return HEADER_ADAPTER.validate_json(read_lines(path)[0], strict=True)


def _is_same_search(line: str, header: SearchHeader) -> bool:
    try:
        known = HEADER_ADAPTER.validate_json(line, strict=True)
    except ValidationError:
        return False
    return replace(known, workers=header.workers) == header


ARCHIVE_SUFFIX = ".zip"
MEGABYTE = 1e6


def save_entry(folder: Path, entry: TrialArtifacts) -> None:
    """Write an entry; an older one of the same number is replaced."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        _add_file(
            archive, "entry.json", json.dumps(_entry_metadata(entry), sort_keys=True).encode()
        )
        for model in entry.folds:
            for name, array in _fold_arrays(model).items():
                _add_file(archive, f"{model.fold}/{name}.npy", _array_bytes(array))
            _add_file(archive, f"{model.fold}/model", model.data)
    with atomic_write(_entry_path(folder, entry.number)) as file:
        file.write(content.getvalue())


def read_entries(
    folder: Path, numbers: Iterable[int] | None = None, *, models: bool = True
) -> tuple[TrialArtifacts, ...]:
    """Return entries in the order of their numbers.

    Parameters
    ----------
    folder : Path
        Where there is none, there are no entries.
    numbers : iterable of int, optional
        Those to read, as far as they are kept; by default all.
    models : bool
        Whether to read the fitted models; without them `data` is empty.

    Raises
    ------
    InputError
        If an archive is not one that `save_entry` wrote.
    """
    wanted = stored_numbers(folder)
    if numbers is not None:
        wanted = tuple(sorted(set(numbers) & set(wanted)))
    return tuple(_read_entry(_entry_path(folder, number), models=models) for number in wanted)


def stored_numbers(folder: Path) -> tuple[int, ...]:
    """Return the numbers of the trials in the pool, ascending."""
    names = [path.stem for path in folder.glob(f"*{ARCHIVE_SUFFIX}")]
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def drop_entries(folder: Path, numbers: Collection[int]) -> None:
    """Remove entries; those that are not there are none."""
    for number in numbers:
        _entry_path(folder, number).unlink(missing_ok=True)


def pool_megabytes(folder: Path) -> float:
    """Return how much disk the pool takes, in megabytes of a million bytes."""
    return sum(path.stat().st_size for path in folder.glob(f"*{ARCHIVE_SUFFIX}")) / MEGABYTE


def _entry_path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}{ARCHIVE_SUFFIX}"


def _entry_metadata(entry: TrialArtifacts) -> dict[str, Any]:
    folds = [
        {
            "fold": model.fold,
            "kind": model.kind,
            "columns": model.columns,
            "iterations": model.iterations,
            "whole": model.whole,
            "probabilities": model.predictions.probabilities is not None,
        }
        for model in entry.folds
    ]
    configuration = asdict(entry.configuration)
    return {
        "number": entry.number,
        "configuration": configuration,
        "form": entry.form,
        "folds": folds,
    }


def _fold_arrays(model: FoldModel) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"rows": model.rows, "values": model.predictions.values}
    if model.predictions.probabilities is not None:
        arrays["probabilities"] = model.predictions.probabilities
    return arrays


def _read_entry(path: Path, *, models: bool) -> TrialArtifacts:
    try:
        with zipfile.ZipFile(path) as archive:
            said = json.loads(archive.read("entry.json"))
            folds = tuple(_read_fold_model(archive, fold, models=models) for fold in said["folds"])
            configuration = Configuration(**said["configuration"])
            return TrialArtifacts(said["number"], configuration, said["form"], folds)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{path} is not what the search wrote: {error}. Search again.") from error


def _read_fold_model(archive: zipfile.ZipFile, said: dict[str, Any], *, models: bool) -> FoldModel:
    fold = said["fold"]
    shares = _read_array(archive, f"{fold}/probabilities.npy") if said["probabilities"] else None
    return FoldModel(
        fold=fold,
        rows=_read_array(archive, f"{fold}/rows.npy"),
        predictions=Predictions(_read_array(archive, f"{fold}/values.npy"), shares),
        kind=said["kind"],
        data=archive.read(f"{fold}/model") if models else b"",
        columns=None if said["columns"] is None else tuple(said["columns"]),
        iterations=said["iterations"],
        whole=said["whole"],
    )


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    found: NDArray[Any] = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
    return found


def _array_bytes(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array), allow_pickle=False)
    return content.getvalue()


def _add_file(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=ZIP_EPOCH)
    archive.writestr(entry, content, compress_type=zipfile.ZIP_STORED)
