"""Whether a result is registered and judged already, so that nothing is left to do.

An unchanged `evertune train` ends here. The last thing that `evertune.registry.register` does is to
mark the version's run with what was judged, and against which champion; `settled_verdict` compares
that with how things are. It needs neither the models nor, where the embedded database can be read
directly, MLflow.
"""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from evertune.config.loader import load_params
from evertune.registry.mlflow_registry import ModelRegistry, ModelVersion
from evertune.registry.promotion import VERDICT_FILE, VERDICT_TAG, open_decisions
from evertune.registry.promotion_records import Verdict
from evertune.registry.registration_inputs import json_digest, read_result_key

SETTLED_TAG = "evertune.settled"


def settled_verdict(root: Path) -> Verdict | None:
    """Return the verdict about the project's result; None unless it was carried out in full.

    Raises
    ------
    StageError
        A stage is not up to date.
    """
    key = read_result_key(root, load_params(root))
    with open_decisions(root) as (registry, log):
        champion = registry.aliases().get("champion")
        mark = json_digest(key.result, champion)
        version = next(
            (each for each in registry.versions() if each.facts.get(SETTLED_TAG) == mark), None
        )
        if version is None or not registry.has_run(version.run_id):
            return None
        if version.number == champion:
            return champion_already(champion)
        decided = log.records(version=version.number)
        if not decided or decided[-1].act != "gate":
            return None  # a person has decided since
        verdict = last_verdict(registry, version)
        return verdict if verdict is not None and verdict.basis == mark else None


def last_verdict(registry: ModelRegistry, version: ModelVersion) -> Verdict | None:
    """Return the gate's last verdict about a version; None if there is none that can be read.

    A process that was killed while it wrote may have left half of it; it is given again then.
    """
    text = registry.read_text(version.run_id, name=VERDICT_FILE) or version.facts.get(VERDICT_TAG)
    if text is None:
        return None
    try:
        return TypeAdapter(Verdict).validate_json(text, strict=True)
    except ValidationError:
        return None


def champion_already(number: str) -> Verdict:
    """Return the verdict about the version that is champion."""
    reason = f"version {number} is the champion already"
    return Verdict("promote", (reason,), version=number, champion=number)


def mark_settled(registry: ModelRegistry, number: str, result: str) -> None:
    """Mark the run of a version whose verdict was carried out in full."""
    champion, version = registry.aliases().get("champion"), registry.version(number)
    registry.untag_version(number, SETTLED_TAG)  # of an earlier release
    registry.tag_run(version.run_id, {SETTLED_TAG: json_digest(result, champion)})
