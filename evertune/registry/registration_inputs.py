"""What is registered: what the stages wrote, with the versions that DVC recorded of it."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from evertune.config.schema import Params
from evertune.errors import StageError
from evertune.files import digest_files, read_record
from evertune.trials import SearchHeader, Trial
from evertune.versioning import dvc

if TYPE_CHECKING:
    from evertune.data.schema import TableSchema
    from evertune.evaluation.evaluation_record import Evaluation

RECORDED_DATA = {  # the names in tags and records, which are stored, by the keys of `paths`
    "source": "source",
    "absorbed": "production_labels",
    "training": "training",
    "holdout": "holdout",
    "model": "model",
}


@dataclass(frozen=True)
class RegistrationInputs:
    """What is to be registered.

    Attributes
    ----------
    model : Path
        The folder of the model that the evaluation chose.
    identity : str
        The hash of that folder.
    md5s : dict
        The recorded version of `source`, `absorbed`, `training`, `holdout` and `model`.
    result : str
        Digest of all that the run of this result shows.
    """

    root: Path
    params: Params
    evaluation: "Evaluation"
    schema: "TableSchema"
    header: SearchHeader
    trials: tuple[Trial, ...]
    model: Path
    identity: str
    md5s: dict[str, str]
    result: str


@dataclass(frozen=True)
class ResultKey:
    """What tells one result of the stages from another; see `RegistrationInputs`."""

    model: Path
    identity: str
    md5s: dict[str, str]
    result: str


def read_result_key(root: Path, params: Params) -> ResultKey:
    """Return what tells the result of the stages from any other.

    Raises
    ------
    StageError
        A stage is not up to date.
    """
    stale = dvc.outdated_stages(root)
    if stale:
        raise StageError(
            f"expected every stage to be up to date, but {', '.join(stale)} is not;"
            " run `evertune train`"
        )
    paths = params.paths
    evaluation = json.loads(paths.figures.read_text(encoding="utf-8"))
    recorded = {name: getattr(paths, key) for name, key in RECORDED_DATA.items()}
    hashes = dvc.output_hashes(root, list(recorded.values()))
    md5s = {name: hashes[path] for name, path in recorded.items()}
    _, _, simplest = str(evaluation["chosen"]).partition(":")
    model = paths.baselines / "models" / simplest if simplest else paths.model
    identity = digest_files([model]) if simplest else md5s["model"]
    result = json_digest(identity, md5s, evaluation, params_values(params))
    return ResultKey(model, identity, md5s, result)


def read_registration_inputs(root: Path, params: Params) -> RegistrationInputs:
    """Return what is to be registered.

    Raises
    ------
    StageError
        A stage is not up to date.
    """
    from evertune.data.schema import TableSchema
    from evertune.evaluation.evaluation_record import Evaluation
    from evertune.search.trial_log import read_header, read_trials

    paths, key = params.paths, read_result_key(root, params)
    return RegistrationInputs(
        root=root,
        params=params,
        evaluation=read_record(paths.figures, Evaluation),
        schema=read_record(paths.table_schema, TableSchema),
        header=read_header(paths.trials),
        trials=read_trials(paths.trials),
        model=key.model,
        identity=key.identity,
        md5s=key.md5s,
        result=key.result,
    )


def params_values(params: Params) -> dict[str, object]:
    """Return every value of params.yaml but the paths."""
    return params.model_dump(mode="json", exclude={"paths"})


def json_digest(*parts: object) -> str:
    """Return the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def environment_text() -> str:
    """Return what is installed, a line such as `numpy==2.4.6` for each package.

    It is read once: what is installed later is not what this process has imported.
    """
    found = {(each.name, each.version) for each in distributions()}
    return "".join(f"{name}=={number}\n" for name, number in sorted(found))
