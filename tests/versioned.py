"""A project with registered versions, for tests of who is champion."""

from datetime import UTC, datetime
from pathlib import Path

from pipelines.core.judging.records import Record, record_id
from pipelines.core.judging.verdicts import GateResult
from pipelines.core.model import Model
from pipelines.core.pages import ServedPage
from pipelines.core.trials import Configuration
from pipelines.core.truths import truth_of
from pipelines.stores import registry
from pipelines.stores.aliases import aliases, move_aliases
from pipelines.stores.database import Log, writing
from pipelines.stores.models import save_model
from pipelines.stores.tracking import Store, client, open_run, open_store
from pipelines.tuning.families import fit_configuration
from tests import production

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
ALIASES = {"champion": "2", "previous": "1", "challenger": "3"}
GATE = GateResult("champion", "pass", "better by 0.01")


def learned(folder: Path) -> Path:
    """Write a model and return its folder."""
    rows = production.rows(-1, 1)
    truth, schema, linear = truth_of(rows, production.SCHEMA), production.SCHEMA, production.LINEAR
    fitted = fit_configuration(linear, rows, truth, schema=schema, seed=0, n_jobs=1)
    save_model(folder / "model", Model(schema, Configuration("linear"), fitted, ("a", "b")))
    return folder / "model"


def project(root: Path, model: Path) -> Path:
    """Return a project in which version 2 took the place of version 1, and 3 is challenger."""
    production.project(root)
    store = store_of(root)
    first = register(store, model)
    for identity in ("2", "3"):
        tags = {**first.tags, "evertune.model": identity}
        known = client(store.address)
        known.create_model_version("churn", first.source, run_id=first.run_id, tags=tags)
    move_aliases(store, before={}, after=ALIASES)
    return root


def register(store: Store, model: Path) -> registry.Version:
    """Return a version of the model."""
    page = ServedPage(
        identity="1",
        description="A line.",
        inputs={"age": "any", "plan": "any", "day": "any"},
        outputs={"prediction": "string"},
        example=production.rows(0, 1).drop(columns=["left"]).head(2),
        requirements=("numpy",),
        metrics={"roc_auc": 0.9},
        tags={"metric": "roc_auc", "figure.roc_auc": "0.9", "dvc.training": "5d41"},
    )
    return registry.register_version(store, open_run(store, "d", title="s"), model=model, page=page)


def store_of(root: Path) -> Store:
    return open_store(root / "state", "churn")


def aliases_of(root: Path) -> dict[str, str]:
    return aliases(store_of(root))


def kept_files(root: Path, number: str) -> set[str]:
    """Return the names of what was decided in the run of a version."""
    store = store_of(root)
    run_id = registry.version_numbered(store, number).run_id
    return {each.path for each in client(store.address).list_artifacts(run_id, "decision")}


def judged(version: str = "3", **changed: object) -> Record:
    """Return what the gate said of a version beside champion 2."""
    after = {**ALIASES, "challenger": version}
    made = {
        "id": record_id("gate", model="churn", version=version, evidence=[str(changed)]),
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
    return Record(**{**made, **changed})  # type: ignore[arg-type]


def waiting(version: str = "3") -> Record:
    """Return the record of a version that waits for approval."""
    return judged(version, waits_for_approval=True, reasons=("waits for `evertune approve`",))


def take_back(root: Path, log: Log) -> None:
    """Bring aliases and the history to where a decision that was killed would have left them."""
    known = client(store_of(root).address)
    for alias, number in ALIASES.items():
        known.set_registered_model_alias("churn", alias, number)
    with writing(log) as connection:
        last = "SELECT max(number) FROM champions"
        connection.exec_driver_sql(f"DELETE FROM champions WHERE number = ({last})")


def broken(root: Path) -> None:
    """Break the files of every version."""
    for file in (root / "state" / "artifacts").rglob("model.json"):
        file.write_text("{}")
