"""A project with registered versions, for tests of who is champion."""

from datetime import UTC, datetime
from pathlib import Path

from evertune.data.schema import encode_target
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import save_model
from evertune.registry.mlflow_registry import ModelRegistry, ModelVersion
from evertune.registry.promotion_records import DecisionRecord, GateResult, make_record_id
from evertune.registry.run_page import ModelDescription
from evertune.trials import Configuration
from tests.support import production
from tests.support.registries import client_of, open_state

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ALIASES = {"champion": "2", "previous": "1", "challenger": "3"}
FORMER_TAGS = {"metric": "roc_auc", "figure.roc_auc": "0.9", "dvc.training": "5d41"}
GATE = GateResult("champion", "pass", "better by 0.01")


def learned(folder: Path) -> Path:
    """Write a model and return its folder."""
    rows = production.rows(-1, 1)
    truth, schema, linear = (
        encode_target(rows, production.SCHEMA),
        production.SCHEMA,
        production.LINEAR,
    )
    fitted = fit_configuration(linear, rows, truth, schema=schema, seed=0, n_jobs=1)
    save_model(folder / "model", Model(schema, Configuration("linear"), fitted, ("a", "b")))
    return folder / "model"


def project(root: Path, model: Path) -> Path:
    """Return a project in which version 2 took the place of version 1, and 3 is challenger."""
    production.project(root)
    store = store_of(root)
    first = register(store, model)
    for identity in ("2", "3"):
        tags = {**FORMER_TAGS, "evertune.model": identity}
        known = client_of(store)
        known.create_model_version("churn", first.source, run_id=first.run_id, tags=tags)
    store.move_aliases(before={}, after=ALIASES)
    return root


def register(store: ModelRegistry, model: Path) -> ModelVersion:
    """Return a version of the model."""
    page = ModelDescription(
        identity="1",
        description="A line.",
        inputs={"age": "any", "plan": "any", "day": "any"},
        outputs={"prediction": "string"},
        example=production.rows(0, 1).drop(columns=["left"]).head(2),
        metrics={"roc_auc": 0.9},
        tags=FORMER_TAGS,
    )
    run_id = store.open_run("d", title="s")
    return store.register_version(run_id, model=model, description=page)


def store_of(root: Path) -> ModelRegistry:
    return open_state(root / "state")


def aliases_of(root: Path) -> dict[str, str]:
    return store_of(root).aliases()


def kept_files(root: Path, number: str) -> set[str]:
    """Return the names of what was decided in the run of a version."""
    store = store_of(root)
    run_id = store.version(number).run_id
    return {each.path for each in client_of(store).list_artifacts(run_id, "decision")}


def judged(version: str = "3", **changed: object) -> DecisionRecord:
    """Return what the gate said of a version beside champion 2."""
    after = {**ALIASES, "challenger": version}
    made = {
        "id": make_record_id("gate", model="churn", version=version, evidence=[str(changed)]),
        "moment": NOW,
        "model": "churn",
        "act": "gate",
        "version": version,
        "verdict": "not enough evidence",
        "reasons": ("roc_auc is hardly better",),
        "by": "evertune train",
        "aliases_before": ALIASES,
        "aliases_after": after,
        "gates": (GATE,),
        "rival": "2",
        "metric": "roc_auc",
    }
    return DecisionRecord(**{**made, **changed})  # type: ignore[arg-type]


def waiting(version: str = "3") -> DecisionRecord:
    """Return the record of a version that waits for approval."""
    return judged(version, waits_for_approval=True, reasons=("waits for `evertune approve`",))


def broken(root: Path) -> None:
    """Break the files of every version."""
    for file in (root / "state" / "artifacts").rglob("model.json"):
        file.write_text("{}")
