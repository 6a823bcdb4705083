"""The pool on disk: one archive a trial, written without pickle; equal entries give equal bytes."""

import io
import json
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.core.pool import FoldModel, PoolEntry
from pipelines.core.predictions import Predictions
from pipelines.core.trials import Configuration
from pipelines.errors import InputError
from pipelines.stores.archives import FIRST_DAY
from pipelines.stores.replacing import replaced_file

ENDING = ".zip"
MEGABYTE = 1e6


def keep_entry(folder: Path, entry: PoolEntry) -> None:
    """Write an entry; an older one of the same number is replaced."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        _add(archive, "entry.json", json.dumps(_said(entry), sort_keys=True).encode())
        for model in entry.folds:
            for name, array in _arrays(model).items():
                _add(archive, f"{model.fold}/{name}.npy", _array_bytes(array))
            _add(archive, f"{model.fold}/model", model.data)
    with replaced_file(_path(folder, entry.number)) as file:
        file.write(content.getvalue())


def read_entries(
    folder: Path, numbers: Iterable[int] | None = None, *, models: bool = True
) -> tuple[PoolEntry, ...]:
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
        If an archive is not one that `keep_entry` wrote.
    """
    wanted = kept_numbers(folder)
    if numbers is not None:
        wanted = tuple(sorted(set(numbers) & set(wanted)))
    return tuple(_entry(_path(folder, number), models=models) for number in wanted)


def kept_numbers(folder: Path) -> tuple[int, ...]:
    """Return the numbers of the trials in the pool, ascending."""
    names = [path.stem for path in folder.glob(f"*{ENDING}")]
    return tuple(sorted(int(name) for name in names if name.isdecimal()))


def drop_entries(folder: Path, numbers: Collection[int]) -> None:
    """Remove entries; those that are not there are none."""
    for number in numbers:
        _path(folder, number).unlink(missing_ok=True)


def pool_megabytes(folder: Path) -> float:
    """Return how much disk the pool takes, in megabytes of a million bytes."""
    return sum(path.stat().st_size for path in folder.glob(f"*{ENDING}")) / MEGABYTE


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}{ENDING}"


def _said(entry: PoolEntry) -> dict[str, Any]:
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


def _arrays(model: FoldModel) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"rows": model.rows, "values": model.predictions.values}
    if model.predictions.probabilities is not None:
        arrays["probabilities"] = model.predictions.probabilities
    return arrays


def _entry(path: Path, *, models: bool) -> PoolEntry:
    try:
        with zipfile.ZipFile(path) as archive:
            said = json.loads(archive.read("entry.json"))
            folds = tuple(_fold_model(archive, fold, models=models) for fold in said["folds"])
            configuration = Configuration(**said["configuration"])
            return PoolEntry(said["number"], configuration, said["form"], folds)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{path} is not what the search wrote: {error}. Search again.") from error


def _fold_model(archive: zipfile.ZipFile, said: dict[str, Any], *, models: bool) -> FoldModel:
    fold = said["fold"]
    shares = _array(archive, f"{fold}/probabilities.npy") if said["probabilities"] else None
    return FoldModel(
        fold=fold,
        rows=_array(archive, f"{fold}/rows.npy"),
        predictions=Predictions(_array(archive, f"{fold}/values.npy"), shares),
        kind=said["kind"],
        data=archive.read(f"{fold}/model") if models else b"",
        columns=None if said["columns"] is None else tuple(said["columns"]),
        iterations=said["iterations"],
        whole=said["whole"],
    )


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    found: NDArray[Any] = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
    return found


def _array_bytes(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array), allow_pickle=False)
    return content.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=FIRST_DAY)
    archive.writestr(entry, content, compress_type=zipfile.ZIP_STORED)
