"""A project with a champion and production rows, for tests of what watches it."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema, encode_target
from evertune.database import open_log
from evertune.metrics.metrics import METRICS
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import load_model, predict_rows, save_model
from evertune.monitoring.log_frames import LoggedPrediction
from evertune.monitoring.prediction_log import Label, PredictionLog
from evertune.monitoring.reference import Reference, build_reference, save_reference
from evertune.registry.run_page import ModelDescription, RunPage
from evertune.trials import Configuration
from tests.support.registries import make_champion, open_state

PARAMS = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
SCHEMA = TableSchema(
    (Column("age", "number", minimum=0.0, maximum=99.0), Column("plan", "category", ("a", "b"))),
    "left",
    "binary",
    ("no", "yes"),
    time="day",
    time_column=Column("day", "date"),
)
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
KNOWN_DAYS = 90
LINEAR = Configuration("linear")


def day(number: float) -> datetime:
    """Return the moment so many days after production began; before it the model learned."""
    return BEGIN + timedelta(days=number)


def rows(first: int, n_days: int, *, a_day: int = 60, flipped: bool = False) -> pd.DataFrame:
    """Return rows of some days: the older, the likelier they leave, or the younger if flipped."""
    rng = np.random.default_rng(first + 1000)
    n = n_days * a_day
    age = np.clip(rng.normal(40, 10, n), 0, 99).round(1)
    chance = 1 / (1 + np.exp(-(age - 40) / 4))
    left = rng.random(n) < (1 - chance if flipped else chance)
    days = [day(first + place // a_day) + timedelta(hours=8) for place in range(n)]
    return pd.DataFrame(
        {
            "age": age,
            "plan": rng.choice(["a", "b"], n),
            "day": pd.Series(days).dt.tz_localize(None).astype("datetime64[us]"),
            "left": np.where(left, "yes", "no"),
        }
    )


def learned(folder: Path, *, flipped: bool = False) -> Path:
    """Write a model and its reference, which takes long, and return the folder."""
    known = rows(-KNOWN_DAYS, KNOWN_DAYS, flipped=flipped)
    training, holdout = known.iloc[: len(known) // 3], known.iloc[len(known) // 3 :]
    truth = encode_target(training, SCHEMA)
    fitted = fit_configuration(LINEAR, training, truth, schema=SCHEMA, seed=0, n_jobs=1)
    model = Model(SCHEMA, LINEAR, fitted, ())
    save_model(folder / "model", model)
    save_reference(folder / "reference", _reference(model, training, holdout))
    return folder


def champion(root: Path, made: Path, *, identity: str = "1", with_reference: bool = True) -> Model:
    """Return what `learned` wrote, once it is registered and champion."""
    registry = open_state(root / "state")
    run_id = registry.open_run(f"search {identity}", title="a search")
    files = ((made / "reference", "reference"),) if with_reference else ()
    registry.log_page(run_id, RunPage("a search", "", files=files))
    description = _served(identity, rows(0, 1))
    version = registry.register_version(run_id, model=made / "model", description=description)
    make_champion(registry, version.number)
    return load_model(made / "model")


def champion_state(root: Path, database: Path, made: Path, *, with_reference: bool = True) -> Path:
    """Return the state folder of a new project whose champion is what `learned` wrote."""
    (root / "state").mkdir()
    shutil.copy(database, root / "state" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        champion(root, made, with_reference=with_reference)
    return root / "state"


def project(root: Path, **changed: str) -> Path:
    """Write params.yaml, with some lines changed, and return the folder."""
    text = PARAMS
    for old, new in changed.items():
        assert f"{old}:" in text
        lines = [
            f"{line[: len(line) - len(line.lstrip())]}{old}: {new}"
            if line.strip().startswith(f"{old}:")
            else line
            for line in text.splitlines()
        ]
        text = "\n".join(lines) + "\n"
    (root / "params.yaml").write_text(text, encoding="utf-8")
    return root


def log_of(root: Path) -> PredictionLog:
    log = open_log(root / "state", model="churn")
    return PredictionLog(log.engine, log.model)


def served(root: Path, model: Model, table: pd.DataFrame, *, version: str = "1") -> list[str]:
    """Log the model's predictions of rows, and return their ids."""
    said = predict_rows(model, table)
    chances = np.asarray(said.probabilities)
    ids = [f"{version}-{moment:%Y%m%d}-{n}" for n, moment in enumerate(table["day"])]
    inputs = table.drop(columns=["left"]).astype({"day": "str"}).to_dict("records")
    logged = [
        LoggedPrediction(
            id=ids[n],
            request_id="r",
            identifier=None,
            moment=pd.Timestamp(table["day"].iloc[n]).tz_localize(UTC).to_pydatetime(),
            inputs=json.dumps(inputs[n]),
            value=float(said.values[n]),
            probabilities=tuple(chances[n].tolist()),
        )
        for n in range(len(table))
    ]
    log_of(root).append_predictions(logged, version=version, received=BEGIN)
    return ids


def labelled(root: Path, table: pd.DataFrame, ids: list[str], *, after_days: float = 1) -> None:
    """Log what became of rows, known so many days later."""
    moments = table["day"].dt.tz_localize(UTC) + timedelta(days=after_days)
    labels = [
        Label(identity, str(value), moment.to_pydatetime())
        for identity, value, moment in zip(ids, table["left"], moments, strict=True)
    ]
    log_of(root).append_labels(labels, received=BEGIN)


def _reference(model: Model, training: pd.DataFrame, holdout: pd.DataFrame) -> Reference:
    metrics = [METRICS["roc_auc"], METRICS["accuracy"]]
    importance = {"age": 0.3, "plan": 0.0}
    return build_reference(
        model, training=training, holdout=holdout, metrics=metrics, importance=importance
    )


def _served(number: str, example: pd.DataFrame) -> ModelDescription:
    return ModelDescription(
        identity=number,
        description="A line.",
        inputs={"age": "any", "plan": "any", "day": "any"},
        outputs={"prediction": "string"},
        example=example.drop(columns=["left"]).head(2),
        metrics={"roc_auc": 0.9},
        tags={"metric": "roc_auc"},
    )
