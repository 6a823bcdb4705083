import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution, version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from evertune.data.schema import encode_target
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import load_model, predict_rows, prediction_table, save_model
from evertune.registry.mlflow_pages import output_types
from evertune.registry.packaging import (
    model_requirements,
    reached_modules,
    write_served_model,
)
from evertune.registry.pyfunc import LOADER_MODULE
from evertune.trials import Configuration
from tests.support import production

ROWS = production.rows(0, 1)
RAW = ROWS.drop(columns=["left"]).head(8)
PREDICT = """
import json, sys
import pandas as pd
{before}
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pd.read_json(sys.argv[2], orient="split", convert_dates=False, dtype=False)
print(model.predict(rows).to_json(orient="split", double_precision=15))
import evertune
print(evertune.__file__)
"""


def fitted(folder: Path, family: str) -> Path:
    rows = production.rows(-1, 1)
    y = encode_target(rows, production.SCHEMA)
    configuration = Configuration(family)
    model = fit_configuration(configuration, rows, y, schema=production.SCHEMA, seed=0, n_jobs=1)
    save_model(folder, Model(production.SCHEMA, configuration, model, ("a", "b")))
    return folder


def served(folder: Path, model: Path) -> Path:
    inputs = dict.fromkeys(["age", "plan", "day"], "any")
    outputs = output_types(production.SCHEMA)
    write_served_model(
        folder / "served", model=model, inputs=inputs, outputs=outputs, example=RAW.head(2)
    )
    return folder / "served"


def predict_in(python: str | Path, folder: Path, cwd: Path, before: str = "", **env: str):
    """Return the predictions that another process makes, and the evertune that it imported."""
    cwd.mkdir()
    rows = cwd / "rows.json"
    rows.write_text(RAW.astype({"day": "str"}).to_json(orient="split", index=False))
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = PREDICT.format(before=before)
    done = subprocess.run(
        [str(python), "-W", "ignore", "-c", code, str(folder), str(rows)],
        cwd=cwd, env=settings | env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table, place = done.stdout.strip().splitlines()[-2:]
    content = json.loads(table)
    return pd.DataFrame(content["data"], columns=content["columns"]), place


def expected(model: Path) -> pd.DataFrame:
    loaded = load_model(model)
    return prediction_table(predict_rows(loaded, RAW.astype({"day": "str"})), loaded.schema)


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    assert list(found["prediction"]) == list(wanted["prediction"])
    columns = ["probability_no", "probability_yes"]
    assert np.allclose(found[columns], wanted[columns], rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # MLflow warns of its own type hints
def test_only_the_note_about_a_missing_pip_is_kept_from_the_user(tmp_path, monkeypatch):
    from mlflow.utils import environment

    def without_pip(_):
        logger.warning("a real problem")

    logger, lines = logging.getLogger(environment.__name__), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    monkeypatch.setattr(environment, "_get_package_version", without_pip)
    logger.addHandler(handler)
    served(tmp_path, fitted(tmp_path / "model", "linear"))
    assert set(lines) == {"a real problem"}
    environment._mlflow_conda_env(additional_pip_deps=["numpy"])
    logger.removeHandler(handler)
    assert lines[-1].startswith("Failed to resolve installed pip")


def test_the_loader_reaches_little_and_nothing_heavy():
    modules = reached_modules()
    assert {LOADER_MODULE, "evertune.models.persistence"} <= modules
    heavy = {"evertune.registry.mlflow_registry", "evertune.database", "evertune.search.run"}
    assert not heavy & modules
    size = sum(
        Path(*name.split(".")).with_suffix(".py").stat().st_size
        for name in modules
        if Path(*name.split(".")).with_suffix(".py").is_file()
    )
    assert size < 500_000


@pytest.mark.parametrize(
    ("suffix", "library"), [(".cbm", "catboost"), (".txt", "lightgbm"), (".ubj", "xgboost-cpu")]
)
def test_a_model_requires_only_the_libraries_of_its_members(tmp_path, suffix, library):
    plain = model_requirements(tmp_path)
    (tmp_path / f"predictor_0_0{suffix}").touch()
    assert set(model_requirements(tmp_path)) - set(plain) == {f"{library}=={version(library)}"}
    assert f"scikit-learn=={version('scikit-learn')}" in plain
    assert not any(line.startswith(("evertune", "mlflow", "sqlalchemy")) for line in plain)


@pytest.mark.slow
def test_a_served_model_is_small_and_names_its_loader_for_good(tmp_path, saved_model):
    folder = served(tmp_path, saved_model)
    assert "loader_module: evertune.registry.pyfunc" in (folder / "MLmodel").read_text()
    code = [path for path in (folder / "code").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in code) < 500_000
    assert all(path.suffix == ".py" for path in code)


@pytest.mark.slow
def test_a_version_loads_beside_another_evertune(tmp_path, saved_model):
    folder = served(tmp_path, saved_model)
    before = "import evertune, evertune.errors, evertune.types"
    found, place = predict_in(sys.executable, folder, tmp_path / "away", before)
    assert not place.startswith(str(folder))
    assert_same(found, expected(saved_model))


@pytest.mark.slow
def test_a_version_loads_by_its_own_code_where_evertune_is_not_imported(tmp_path, saved_model):
    folder = served(tmp_path, saved_model)
    found, place = predict_in(sys.executable, folder, tmp_path / "away")
    assert place == str(folder / "code" / "evertune" / "__init__.py")
    assert_same(found, expected(saved_model))


def closure(wanted: Iterable[Requirement]) -> dict[str, Distribution]:
    """Return what installing requirements brings; each must be what is installed here."""
    found: dict[str, Distribution] = {}
    waiting, seen = [(each, "") for each in wanted], set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        marker = requirement.marker
        if (name, extra, str(requirement)) in seen:
            continue
        seen.add((name, extra, str(requirement)))
        if marker is not None and not marker.evaluate({"extra": extra}):
            continue
        installed = distribution(name)
        assert requirement.specifier.contains(installed.version, prereleases=True), requirement
        found[name] = installed
        needs = [Requirement(line) for line in installed.requires or ()]
        waiting += [(each, more) for each in needs for more in ("", *requirement.extras)]
    return found


def link_installed(each: Distribution, site: Path) -> None:
    """Put what is installed here into another environment: packages whole, else each file."""
    for file in each.files or ():
        first = site / file.parts[0]
        source = Path(str(each.locate_file(file.parts[0])))
        if file.parts[0] == ".." or first.is_symlink():
            continue
        whole = (source / "__init__.py").is_file() or source.suffix == ".dist-info"
        target = first if whole else site / file
        if not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source if whole else each.locate_file(file))


@pytest.mark.slow
def test_a_version_predicts_in_an_environment_made_from_its_own_requirements(tmp_path):
    model = fitted(tmp_path / "model", "lightgbm")
    folder = served(tmp_path, model)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    # what is installed here is linked: fetching and unpacking the same files takes a minute
    required = closure(map(Requirement, (folder / "requirements.txt").read_text().split()))
    for each in required.values():
        link_installed(each, site)
    assert not {"evertune", "catboost", "xgboost-cpu", "optuna", "dvc", "prefect"} & set(required)
    listed = subprocess.run([python, "-c", "import evertune"], check=False, cwd=tmp_path)
    assert listed.returncode != 0
    found, place = predict_in(python, folder, tmp_path / "away")
    assert place.startswith(str(folder))
    assert_same(found, expected(model))
