"""Write a model as MLflow registers and serves it: complete, with its code and requirements.

Evertune is on no package index, so `write_served_model` copies the modules that the loader
(`evertune.registry.pyfunc`) reaches into the model's `code` folder, and requires only what these
modules import and what the model's members were fitted with, each in the installed version.
"""

import ast
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from evertune.files import atomic_write, write_text
from evertune.import_graph import imported_modules, imported_names, module_files, reachable_modules
from evertune.registry.pyfunc import LOADER_MODULE

# Libraries that a model needs only if it has files of this kind.
MEMBER_LIBRARIES = {"catboost": "*.cbm", "lightgbm": "*.txt", "xgboost": "*.ubj"}
PACKAGE = Path(__file__).parents[1]
CODE_FOLDER = "code"  # of a version's files, as MLflow names it
FORMER_LOADER = "pipelines.stores.models"  # of 0.1


def write_served_model(
    folder: Path,
    *,
    model: Path,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    example: pd.DataFrame,
) -> None:
    """Write a model's folder in MLflow's pyfunc format.

    Parameters
    ----------
    folder : Path
        Where it goes.
    model : Path
        The folder that `save_model` wrote.
    inputs, outputs : mapping of str to str
        Columns with their types in MLflow's words: double, string or any.
    example : DataFrame
        A few rows as the model takes them.
    """
    with warnings.catch_warnings(), _pip_not_missed(), TemporaryDirectory() as beside:
        warnings.simplefilter("ignore")  # MLflow's own type hints, and its use of pandas
        from mlflow.models import Model, ModelSignature
        from mlflow.pyfunc import save_model

        code = Path(beside) / "evertune"
        copy_loader_code(code)
        save_model(
            str(folder),
            loader_module=LOADER_MODULE,
            data_path=str(model),
            code_paths=[str(code)],
            mlflow_model=Model(),
            signature=ModelSignature(_mlflow_schema(inputs), _mlflow_schema(outputs)),
            input_example=example,
            pip_requirements=model_requirements(model),
        )


def package_older_version(folder: Path) -> bool:
    """Make a version that an earlier release registered self-contained.

    It gets the code that loads it, and what this code requires beside the requirements that it was
    registered with. MLmodel, which names both, is written last, so that this can be repeated.

    Parameters
    ----------
    folder : Path
        The version's files in MLflow's pyfunc format.

    Returns
    -------
    bool
        False if there was nothing to do.
    """
    text = (folder / "MLmodel").read_text(encoding="utf-8")
    is_known = any(f"loader_module: {name}" in text for name in (LOADER_MODULE, FORMER_LOADER))
    if not is_known or f"code: {CODE_FOLDER}" in text:
        return False
    from mlflow.models import Model

    copy_loader_code(folder / CODE_FOLDER / "evertune")
    requirements = (folder / "requirements.txt").read_text(encoding="utf-8").split()
    known = {canonicalize_name(Requirement(line).name) for line in requirements}
    requirements += [
        line
        for line in model_requirements(folder / "data" / "model")
        if canonicalize_name(Requirement(line).name) not in known
    ]
    write_text(folder / "requirements.txt", "\n".join(requirements) + "\n")
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    conda = yaml.load(folder / "conda.yaml")
    conda["dependencies"] = [
        {"pip": requirements} if isinstance(each, dict) else each for each in conda["dependencies"]
    ]
    with atomic_write(folder / "conda.yaml") as file:
        yaml.dump(conda, file)
    description = Model.load(str(folder))
    loader = {"code": CODE_FOLDER, "loader_module": LOADER_MODULE}
    description.flavors["python_function"] |= loader
    write_text(folder / "MLmodel", description.to_yaml())
    return True


@contextmanager
def _pip_not_missed() -> Iterator[None]:
    """Keep one note of MLflow from the user: an environment made by uv has no pip, and needs none.

    The version of pip stands only in the model's conda.yaml; without it any version will do.
    """

    def is_other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Failed to resolve installed pip version")

    logger = logging.getLogger("mlflow.utils.environment")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def copy_loader_code(folder: Path) -> None:
    """Write the modules that loading and predicting reach, as the package `evertune`."""
    for source in _reached_files().values():
        target = folder / source.relative_to(PACKAGE)
        for package in (target.parent, *target.parent.parents):
            package.mkdir(parents=True, exist_ok=True)
            (package / "__init__.py").touch()
            if package == folder:
                break
        target.write_bytes(source.read_bytes())


def model_requirements(model: Path) -> list[str]:
    """Return what has to be installed to load a model, such as `numpy==2.4.6`."""
    unused = {name for name, files in MEMBER_LIBRARIES.items() if not any(model.glob(files))}
    imported = {"pyarrow"}  # pandas reads row_keys.parquet with it
    for path in _reached_files().values():
        imported |= {name.partition(".")[0] for name in _imported_names(path)}
    libraries = imported - unused - {"evertune"} - sys.stdlib_module_names
    known = _distributions_by_module()
    return sorted(f"{known[name][0]}=={version(known[name][0])}" for name in libraries)


@cache
def reached_modules() -> frozenset[str]:
    """Return the modules of Evertune that loading and predicting import, also in functions."""
    from evertune.models.predictor_files import OWN_CLASSES

    files = module_files(PACKAGE)
    # Saved encoders and predictors name classes that the loader does not import.
    starts = [LOADER_MODULE, *(name.rpartition(".")[0] for name in OWN_CLASSES)]
    reached = reachable_modules(
        starts, lambda name: imported_modules(_imported_names(files[name]), files)
    )
    return frozenset(name for name in reached if files[name].name != "__init__.py")


def _reached_files() -> dict[str, Path]:
    files = module_files(PACKAGE)
    return {name: files[name] for name in sorted(reached_modules())}


@cache
def _distributions_by_module() -> Mapping[str, list[str]]:
    """Return the distributions of each module; reading all that is installed takes a second."""
    return packages_distributions()


@cache
def _imported_names(path: Path) -> list[str]:
    return imported_names(ast.parse(path.read_text(encoding="utf-8")))


def _mlflow_schema(columns: Mapping[str, str]) -> Any:
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    return Schema(
        [ColSpec(AnyType() if kind == "any" else kind, name) for name, kind in columns.items()]
    )
