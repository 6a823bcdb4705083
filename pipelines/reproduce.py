"""Lay a registered version out in a folder of its own, and say whether it was made again.

Reads the registry, the artifacts of the version's run, DVC's store and git. Writes that folder and
nothing else. In between, what `flows.rebuilding` runs there fits the recorded configurations again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.core.locks import outputs
from pipelines.core.model import Ensemble, Model, configurations, predict
from pipelines.core.rebuilding import (
    REBUILT,
    RECORDED,
    Compared,
    Recorded,
    Refit,
    environment_differences,
    figure_rows,
    named_figures,
    packages,
    prediction_row,
    refit_rows,
    text_row,
    worst_row,
)
from pipelines.errors import InputError
from pipelines.params import load_params
from pipelines.stores import registry
from pipelines.stores.files import read_record, read_table, write_record
from pipelines.stores.models import load_model
from pipelines.stores.objects import contents
from pipelines.stores.restoring import (
    ENVIRONMENT,
    FIGURES,
    environment,
    file_md5,
    lay_out_code,
    lock_of,
    places_of,
    restore_data,
    restore_records,
)
from pipelines.stores.tracking import Store, open_store
from pipelines.stores.versions import store_folder

FOLDER = "reproduced"  # below state
TABLES = ("clean", "training", "holdout", "choosing", "folds")
SHORT, SHOWN = 12, 5


@dataclass(frozen=True)
class LaidOut:
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
    rows : tuple of Compared
    notes : tuple of str
    """

    version: str
    rows: tuple[Compared, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Whether everything is what was recorded."""
        return all(row.equal for row in self.rows)


def lay_out(root: Path, number: str, *, into: Path | None = None) -> LaidOut:
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
    store = open_store(params.paths.state, params.registry.name)
    version = _version(store, number)
    folder = (into or params.paths.state / FOLDER / number).absolute()
    _check_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    restore_records(store, version, folder=folder)
    restore_data(root, version, folder=folder)
    code = lay_out_code(root, version, folder=folder)
    model = registry.model_of(store, version)
    write_record(folder / RECORDED, _recorded(root, folder, version=number, model=model))
    return LaidOut(number, folder, (f"with {code.what}", *_notes(folder, code.changed)))


def compare(root: Path, laid_out: LaidOut) -> Reproduction:
    """Return the version beside what its folder holds, once the stages have run there.

    Parameters
    ----------
    root : Path
        The project's folder; it is only read.
    laid_out : LaidOut
    """
    params, folder = load_params(root), laid_out.folder
    store = open_store(params.paths.state, params.registry.name)
    registered = registry.model_of(store, _version(store, laid_out.version))
    rows = (
        *_table_rows(folder),
        *refit_rows(read_record(folder / REBUILT, tuple[Refit, ...])),
        *_figure_rows(folder),
        *_model_rows(folder, registered),
    )
    return Reproduction(laid_out.version, rows, laid_out.notes)


def _version(store: Store, number: str) -> registry.Version:
    known = {version.number: version for version in registry.all_versions(store)}
    if number not in known:
        raise InputError(
            f"expected a version of {store.name}, but got {number!r}; there"
            f" {'are ' + ', '.join(known) if known else 'is none yet'}: see `evertune models`"
        )
    return known[number]


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"expected an empty folder or none, but {folder} has files; remove it, or name another"
            " with --into"
        )


def _recorded(root: Path, folder: Path, *, version: str, model: Model) -> Recorded:
    """Return what the record says of the pool and of the members of the registered model."""
    pool = places_of(folder)["pool"].relative_to(folder).as_posix()
    md5 = outputs(lock_of(folder)).get(pool)
    names = contents(store_folder(root), md5) if md5 else {}
    kept = tuple(sorted(int(Path(name).stem) for name in names)) or None
    members = configurations(model) if isinstance(model.fitted, Ensemble) else None
    return Recorded(version, kept, members)


def _notes(folder: Path, changed: tuple[str, ...]) -> Iterator[str]:
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        named = ", ".join(changed[:SHOWN])
        yield f"code that is not as it was recorded: {named}{more}"
    pins = folder / "infra" / "constraints.txt"
    recorded, installed = (folder / ENVIRONMENT).read_text(encoding="utf-8"), environment()
    names = packages(pins.read_text(encoding="utf-8")) if pins.is_file() else packages(recorded)
    yield from environment_differences(recorded, installed, names=names)


def _table_rows(folder: Path) -> Iterator[Compared]:
    places, recorded = places_of(folder), outputs(lock_of(folder))
    for name in TABLES:
        md5 = recorded.get(places[name].relative_to(folder).as_posix())
        if md5 is not None:
            yield text_row(f"{name} table", md5[:SHORT], (file_md5(places[name]) or "")[:SHORT])


def _figure_rows(folder: Path) -> Iterator[Compared]:
    recorded, rebuilt = (
        _figures(path) for path in (folder / FIGURES, places_of(folder)["figures"])
    )
    yield text_row("chosen", recorded["chosen"], rebuilt["chosen"])
    yield worst_row("training", *(named_figures(each, "training") for each in (recorded, rebuilt)))
    for row in figure_rows(recorded["holdout"], rebuilt["holdout"]):
        yield replace(row, what=f"hold-out {row.what}")


def _figures(path: Path) -> dict[str, Any]:
    return read_record(path, dict[str, Any])


def _model_rows(folder: Path, registered: Model) -> Iterator[Compared]:
    places = places_of(folder)
    model = load_model(_model_folder(folder, places))
    holdout = read_table(places["holdout"])
    yield text_row("members", _members(registered), _members(model))
    yield text_row("rows learned from", len(registered.row_keys), len(model.row_keys))
    said = [predict(each.fitted, holdout, each.schema) for each in (registered, model)]
    yield prediction_row(*said)


def _model_folder(folder: Path, places: dict[str, Path]) -> Path:
    """Return where the model is that the evaluation of the record chose."""
    head, _, simplest = str(_figures(folder / FIGURES)["chosen"]).partition(":")
    return places["baselines"] / "models" / simplest if head == "simplest" else places["model"]


def _members(model: Model) -> str:
    if not isinstance(model.fitted, Ensemble):
        return model.configuration.family
    return ", ".join(
        f"{member.configuration.family} {member.weight:.3g}" for member in model.fitted.members
    )
