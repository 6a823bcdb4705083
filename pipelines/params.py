"""params.yaml as a whole: read, checked, and handed to the steps that name its sections."""

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.agreement import disagreements
from pipelines.errors import EvertuneError, ParamsError
from pipelines.refusals import refusals, secrets
from pipelines.section import Section
from pipelines.sections import Params
from pipelines.stores.documents import Document, Fault, line_of, read_yaml, refuse


def load_params(root: Path) -> Params:
    """Return the values of `root`/params.yaml, checked, with absolute paths.

    Raises
    ------
    ParamsError
        With every fault and its line.
    """
    path = root / "params.yaml"
    document = read_yaml(path)
    faults = secrets(document)
    sections: dict[str, Any] = {}
    try:
        sections = dict(Params.model_validate_json(json.dumps(document.values)))
    except ValidationError as error:
        faults += refusals(error, document, Params)
        sections = _sound_sections(document, error)
    complaints = disagreements({**sections, "root": root})
    faults += [Fault(line_of(document, place), text) for place, text in complaints]
    if faults:
        raise refuse(path, faults)
    return _with_absolute_paths(Params.model_validate(sections), root)


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` that has a params.yaml.

    Raises
    ------
    ParamsError
        Where there is none.
    """
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / "params.yaml").is_file():
            return folder
    raise ParamsError(f"No params.yaml in {start} or above; start in the folder of a project.")


def call_with_sections(run: Callable[..., Any], root: Path) -> Any:
    """Call `run` with the sections of params.yaml that its signature names."""
    params = load_params(root)
    return run(**{name: getattr(params, name) for name in inspect.signature(run).parameters})


def run_stage(run: Callable[..., Any]) -> int:
    """Call `run` for the project that the working directory lies in; return the exit code."""
    try:
        call_with_sections(run, find_root(Path.cwd()))
    except EvertuneError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _sound_sections(document: Document, error: ValidationError) -> dict[str, Any]:
    broken = {detail["loc"][0] for detail in error.errors()}
    sound: dict[str, Any] = {}
    for name, field in Params.model_fields.items():
        kind = field.annotation
        if name not in broken and isinstance(kind, type) and issubclass(kind, Section):
            sound[name] = kind.model_validate_json(json.dumps(document.values.get(name, {})))
    return sound


def _with_absolute_paths(params: Params, root: Path) -> Params:
    absolute = {name: root.absolute() / path for name, path in params.paths}
    if absolute["state"].is_symlink():  # a checkout beside the project shares the project's state
        absolute["state"] = absolute["state"].resolve()
    return params.model_copy(update={"paths": params.paths.model_copy(update=absolute)})
