"""Play the policies that need no loop over a table, with the first model and its configuration.

Reads the model and the hold-out that stand in a rehearsal's project. Writes nothing.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from pipelines.core.conforming import conform
from pipelines.core.findings import Window, naive
from pipelines.core.labels import label_texts
from pipelines.core.losses import error_scale
from pipelines.core.metrics import metrics_for
from pipelines.core.model import Ensemble, Fitted, Model, predict
from pipelines.core.policies import (
    Course,
    Predict,
    Rows,
    Stream,
    day_of,
    never,
    oracle,
    scheduled,
)
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.rehearsals import Rehearsal
from pipelines.core.replaying import Played, Policy
from pipelines.core.truths import class_codes, truth_of
from pipelines.params import load_params
from pipelines.stores.files import read_table
from pipelines.stores.models import load_model
from pipelines.tuning.families import fit_configuration

ORACLE_DAYS = (30.0,)


def compare(
    rehearsal: Rehearsal,
    policies: Sequence[Policy],
    *,
    windows: Sequence[Window],
    label_delay: float,
) -> tuple[Played, ...]:
    """Return how the table goes under policies that need no loop.

    Each fit is of the first model's configuration; the first model itself is the one that stands
    in the project.

    Parameters
    ----------
    rehearsal : Rehearsal
        Its project has been trained.
    policies : sequence of str
        `never`, `scheduled` (on the latest rows, as `monitoring.retune.latest_days` says) or
        `oracle`; others are left out.
    windows : sequence of Window
    label_delay : float
        Days until a label comes.
    """
    params = load_params(rehearsal.root)
    model = load_model(params.paths.model)
    stream = _stream(
        rehearsal, model, scale=error_scale_of(model, read_table(params.paths.holdout))
    )
    spans = tuple((day_of(stream, each.start), day_of(stream, each.end)) for each in windows)
    course = Course(spans[0][0], label_delay=label_delay, spans=spans)
    latest = params.monitoring.retune.latest_days
    ways = {
        "never": partial(never, stream, course),
        "scheduled": partial(scheduled, stream, course, latest_days=latest),
        "oracle": partial(oracle, stream, course, latest_days=ORACLE_DAYS),
    }
    return tuple(ways[policy]() for policy in policies if policy in ways)


def error_scale_of(model: Model, holdout: pd.DataFrame) -> float | None:
    """Return the error that counts as a loss of 1, None for classes."""
    if model.schema.task != "regression":
        return None
    said = predict(model.fitted, holdout, model.schema)
    return error_scale(truth_of(holdout, model.schema), said)


def _stream(rehearsal: Rehearsal, model: Model, *, scale: float | None) -> Stream:
    raw = pd.concat([rehearsal.learned, rehearsal.played], ignore_index=True)
    moments = pd.concat([rehearsal.learned_moments, rehearsal.moments], ignore_index=True)
    truth = _truth(raw, model)
    known = np.isfinite(truth)
    clean, _ = conform(raw[known], model.schema)
    days = (moments[known] - naive(rehearsal.start)) / pd.Timedelta(days=1)
    return Stream(
        origin=rehearsal.start,
        days=np.asarray(days, dtype=np.float64),
        truth=truth[known],
        fit=partial(_fitted, clean, truth[known], model),
        task=model.schema.task,
        metric=metrics_for(model.schema.task)[0],
        scale=scale,
        first=partial(_said, clean, model, model.fitted),
    )


def _truth(raw: pd.DataFrame, model: Model) -> Floats:
    """Return the truth of raw rows, NaN where it is missing or of no known class."""
    texts, _ = label_texts(raw[model.schema.target], model.schema)
    if model.schema.task == "regression":
        return np.asarray(texts.astype("float64"))
    return class_codes(texts, model.schema.classes)


def _fitted(
    clean: pd.DataFrame, truth: Floats, model: Model, rows: Rows, weights: Floats | None
) -> Predict:
    fitted = fit_configuration(
        model.configuration,
        clean.iloc[rows],
        truth[rows],
        schema=model.schema,
        seed=0,
        n_jobs=-1,
        weights=weights,
    )
    return partial(_said, clean, model, fitted)


def _said(clean: pd.DataFrame, model: Model, fitted: Fitted | Ensemble, rows: Rows) -> Predictions:
    return predict(fitted, clean.iloc[rows].reset_index(drop=True), model.schema)
