"""What is to be registered: what the stages wrote, with the versions that DVC recorded."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.evaluation import Evaluation, simplest_chosen
from pipelines.core.schema import Schema
from pipelines.core.trials import SearchHeader, Trial
from pipelines.errors import StageError
from pipelines.sections import Params, Paths
from pipelines.stores import versions
from pipelines.stores.files import digest_of, read_record
from pipelines.stores.trials import read_header, read_trials


@dataclass(frozen=True)
class Facts:
    """What is to be registered.

    Attributes
    ----------
    root : Path
    params : Params
    evaluation : Evaluation
    schema : Schema
    header : SearchHeader
    trials : tuple of Trial
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
    evaluation: Evaluation
    schema: Schema
    header: SearchHeader
    trials: tuple[Trial, ...]
    model: Path
    identity: str
    md5s: dict[str, str]
    result: str


def read_facts(root: Path, params: Params) -> Facts:
    """Return what is to be registered.

    Raises
    ------
    StageError
        A stage is not up to date.
    """
    _check_current(root)
    paths, evaluation = params.paths, read_record(params.paths.figures, Evaluation)
    md5s = _recorded(root, paths)
    simplest = simplest_chosen(evaluation)
    model = paths.model if simplest is None else paths.baselines / "models" / simplest
    identity = md5s["model"] if simplest is None else digest_of([model])
    return Facts(
        root=root,
        params=params,
        evaluation=evaluation,
        schema=read_record(paths.table_schema, Schema),
        header=read_header(paths.trials),
        trials=read_trials(paths.trials),
        model=model,
        identity=identity,
        md5s=md5s,
        result=digest(identity, md5s, json.loads(paths.figures.read_text()), values_of(params)),
    )


def _recorded(root: Path, paths: Paths) -> dict[str, str]:
    kept = {
        "source": paths.source,
        "absorbed": paths.absorbed,
        "training": paths.training,
        "holdout": paths.holdout,
        "model": paths.model,
    }
    return {name: versions.output_hash(root, path) for name, path in kept.items()}


def _check_current(root: Path) -> None:
    stale = [stage for stage in versions.stages(root) if not versions.is_current(root, stage)]
    if stale:
        raise StageError(
            f"expected every stage to be up to date, but {', '.join(stale)} is not;"
            " run `evertune train`"
        )


def values_of(params: Params) -> dict[str, object]:
    """Return every value of params.yaml but the paths."""
    return params.model_dump(mode="json", exclude={"paths"})


def digest(*parts: object) -> str:
    """Return the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
