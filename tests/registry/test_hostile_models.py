"""Versions whose files somebody has changed: refused at every door, and nothing of them runs."""

import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from evertune import Project
from evertune.errors import StageError
from evertune.models.predictor_files import load_predictor
from evertune.registry.evaluate_version import assess_version
from evertune.registry.mlflow_registry import FILES_TAG, ModelRegistry
from evertune.registry.promotion import smoke_test
from evertune.registry.version_files import LIST_FILE, find_file_fault, write_file_list
from evertune.serving.batch import score
from evertune.serving.model_holder import load_champion
from tests.support import production
from tests.support.registries import client_of, open_state

pytestmark = pytest.mark.slow
CANARY = Path("canary")  # in the working folder, which is the test's own
ROWS = production.rows(0, 1)


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(CANARY),)


def encoder(files: Path) -> Path:
    return files / "data" / "model" / "encoder.skops"


def edit_card(files: Path, **changed: object) -> None:
    path = files / "data" / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def pickle_instead(files: Path) -> None:
    encoder(files).write_bytes(pickle.dumps(Evil()))


def pickle_inside(files: Path) -> None:
    with zipfile.ZipFile(encoder(files), "a") as archive:
        archive.writestr("model.pkl", pickle.dumps(Evil()))


def pickle_named_by_mlmodel(files: Path) -> None:
    (files.parent / "evil.pkl").write_bytes(pickle.dumps(Evil()))
    text = "  sklearn:\n    serialization_format: pickle\n    pickled_model: ../evil.pkl\n"
    path = files / "MLmodel"
    path.write_text(path.read_text().replace("flavors:\n", f"flavors:\n{text}"))


def another_loader(files: Path) -> None:
    (files / "code" / "evil.py").write_text(f"import os\nos.mkdir({str(CANARY)!r})\n")
    path = files / "MLmodel"
    path.write_text(path.read_text().replace("evertune.registry.pyfunc", "evil"))


def another_code(files: Path) -> None:
    path = files / "code" / "evertune" / "models" / "persistence.py"
    path.write_text(f"import os\nos.mkdir({str(CANARY)!r})\n")


def path_outside(files: Path, name: str = "../../../outside.skops") -> None:
    shutil.copy(encoder(files), files.parent / "outside.skops")
    fitted = {"encoder": name, "predictor": "predictor.skops", "columns": None}
    member = {"configuration": {"family": "linear", "params": {}}, "weight": 1.0}
    members = [member | {"iterations": [None], "fitted": [fitted]}]
    edit_card(files, ensemble={"members": members, "temperature": 1.0, "threshold": None})


def absolute_path(files: Path) -> None:
    path_outside(files, str((files.parent / "outside.skops").absolute()))


def pickle_ending(files: Path) -> None:
    (files / "data" / "model" / "encoder.pkl").write_bytes(pickle.dumps(Evil()))
    path_outside(files, "encoder.pkl")


def link_outside(files: Path) -> None:
    encoder(files).rename(files.parent / "outside.skops")
    encoder(files).symlink_to(files.parent / "outside.skops")
    with (files.parent / "outside.skops").open("ab") as file:
        file.write(b"more")


def zip_slip(files: Path) -> None:
    with zipfile.ZipFile(encoder(files), "a") as archive:
        archive.writestr(f"../../{CANARY}", "slipped")
        archive.writestr(str(CANARY.absolute()), "slipped")


def huge_zip(files: Path) -> None:
    with zipfile.ZipFile(encoder(files), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("schema.json", b"0" * 120_000_000)


def unknown_type(files: Path) -> None:
    skops.io.dump(FunctionTransformer(func=os.mkdir, kw_args={"path": str(CANARY)}), encoder(files))


def flipped_byte(files: Path) -> None:
    content = bytearray(encoder(files).read_bytes())
    content[len(content) // 2] ^= 1
    encoder(files).write_bytes(content)


def cut_off(files: Path) -> None:
    os.truncate(encoder(files), 100)


def missing(files: Path) -> None:
    encoder(files).unlink()


def swapped(files: Path) -> None:
    """Put in an encoder that is whole, of a model that was made otherwise."""
    archive = skops.io.dumps(load_predictor("skops", encoder(files).read_bytes()))
    encoder(files).write_bytes(archive)


def added(files: Path) -> None:
    (files / "data" / "model" / "predictor.pkl").write_bytes(pickle.dumps(Evil()))


def list_made_anew(files: Path) -> None:
    swapped(files)
    write_file_list(files)


def list_removed(files: Path) -> None:
    (files / LIST_FILE).unlink()


# What is done to the files, words of the refusal, and of that without a digest, "" for none: then
# the version loads as it was, because what was changed is never read.
HOSTILE: list[tuple[Callable[[Path], None], str, str]] = [
    (pickle_instead, "encoder.skops is not the one that was registered", "not a zip file"),
    (pickle_inside, "encoder.skops is not the one that was registered", ""),
    (pickle_named_by_mlmodel, "file MLmodel is not the one", ""),
    (another_loader, "file MLmodel is not the one", ""),
    (another_code, "persistence.py is not the one that was registered", ""),
    (path_outside, "model.json is not the one", "expected a file of its own folder"),
    (absolute_path, "model.json is not the one", "expected a file of its own folder"),
    (pickle_ending, "model.json is not the one", "one of the endings .skops"),
    (link_outside, "encoder.skops is not the one", ""),
    (zip_slip, "encoder.skops is not the one", ""),
    (huge_zip, "encoder.skops is not the one", "would unpack .* to 120,000,000"),
    (unknown_type, "encoder.skops is not the one", "not written by Evertune"),
    (flipped_byte, "encoder.skops is not the one", "the archive cannot be read"),
    (cut_off, "encoder.skops is not the one", "the archive cannot be read"),
    (missing, "encoder.skops is missing", "encoder.skops does not exist"),
    (swapped, "encoder.skops is not the one", ""),
    (added, "a file was added to it: 'data/model/predictor.pkl'", ""),
    (list_made_anew, "the list of its files, files.sha256, is not the one", ""),
    (list_removed, "the list of its files, files.sha256, is not the one", ""),
]


def forget_digest(registry: ModelRegistry) -> None:
    """Make the version one of before the list of files."""
    client_of(registry).delete_tag(registry.version("1").run_id, FILES_TAG)


def by_name(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.fixture
def root(champion_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with a champion; it is the working folder."""
    monkeypatch.chdir(champion_root)
    ROWS.to_csv(champion_root / "rows.csv", index=False)
    return production.project(champion_root)


@pytest.fixture
def registry(root: Path) -> ModelRegistry:
    return open_state(root / "state")


@pytest.fixture
def files(registry: ModelRegistry) -> Iterator[Path]:
    """Return the folder of the champion's files; nothing that was planted there has run."""
    yield Path(urlsplit(registry.require_champion().source).path)
    assert not CANARY.exists()
    assert not (Path("..") / CANARY).exists()


def doors(root: Path, registry: ModelRegistry) -> dict[str, Callable[[], object]]:
    return {
        "serve": lambda: load_champion(registry, None),
        "Project.champion": Project(root).champion,
        "score": lambda: score(root, now=production.day(30), table=ROWS),
        "evaluate": lambda: assess_version(root, "champion", source="rows.csv"),
        "schema": registry.champion_schema,
    }


@pytest.mark.parametrize(("spoil", "words", "_"), HOSTILE, ids=by_name)
def test_changed_files_are_refused_at_every_door(root, registry, files, spoil, words, _):
    spoil(files)
    for name, door in doors(root, registry).items():
        with pytest.raises(StageError, match=rf"version 1 of churn is not loaded: .*{words}") as e:
            door()
        assert "`evertune rollback`" in str(e.value), name
        assert "`evertune reproduce 1`" in str(e.value), name
        assert str(e.value).count("\n") == 0, name


@pytest.mark.parametrize(("spoil", "_", "words"), HOSTILE, ids=by_name)
def test_without_a_digest_only_what_is_safe_is_read(registry, files, spoil, _, words):
    forget_digest(registry)
    spoil(files)
    version = registry.version("1")
    if words:
        with pytest.raises(StageError, match=rf"(?s)version 1 of churn is not loaded: .*{words}"):
            registry.load_model(version)
    else:
        assert smoke_test(registry, version).values.size == 2


def test_a_byte_that_differs_in_any_file_is_found(files):
    digest = write_file_list(files)
    assert find_file_fault(files, digest) is None
    names = [path for path in files.rglob("*") if path.is_file()]
    assert len(names) > 20
    for path in names:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"0")
        assert str(find_file_fault(files, digest)).count(path.name) == 1
        path.write_bytes(content)


def test_what_mlflow_and_python_add_beside_a_model_is_no_fault(registry, files):
    (files / "registered_model_meta").write_text("model_name: churn")
    (files / "code" / "evertune" / "__pycache__").mkdir()
    (files / "code" / "evertune" / "__pycache__" / "x.pyc").write_bytes(b"")
    assert smoke_test(registry, registry.version("1")).values.size == 2


def test_a_person_can_check_the_list_with_sha256sum(files):
    lines = (files / LIST_FILE).read_text().splitlines()
    assert all(len(line.split("  ", 1)[0]) == 64 for line in lines)
    assert {line.split("  ", 1)[1] for line in lines} >= {"MLmodel", "data/model/model.json"}


def test_an_example_that_is_no_table_names_the_version(registry, files):
    forget_digest(registry)
    (files / "input_example.json").write_text("[]")
    with pytest.raises(StageError, match=r"version 1 of churn is not loaded: input_example\.json"):
        registry.example_rows(registry.version("1"))
