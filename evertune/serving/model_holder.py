"""State of a running scoring service, and the models that it has loaded.

`ScoringService` holds the log, the metrics, the queues and the `ServedModels`, which are
replaced as a whole. `watch_aliases` reads the registry every second and reloads what has
changed; when a load fails, the models in use stay. A version is used only after it has
predicted the rows that it was registered with, alike for single rows (compiled model) and as a
table. `load_shadow` picks the shadow: the previous champion while the champion is young, then
the challenger.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from evertune.config.schema import Params
from evertune.database import close_log
from evertune.errors import EvertuneError, ParamsError, StageError
from evertune.models.compiled import CompiledModel, compile_model, predict_compiled
from evertune.models.compiled_rows import Row
from evertune.models.model import Model
from evertune.models.persistence import predict_rows
from evertune.monitoring.prediction_log import PredictionLog, connect_prediction_log
from evertune.registry.mlflow_client import TrackingStore, open_tracking_store
from evertune.registry.versions import (
    ModelVersion,
    example_rows,
    get_champion,
    get_version_by_alias,
    load_version_model,
)
from evertune.serving.metrics import ServiceMetrics, create_metrics
from evertune.serving.requests import PredictRequest
from evertune.types import Predictions

PREDICTION_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A version whose model is loaded and was tried."""

    version: ModelVersion
    model: Model
    fast: CompiledModel


def load_champion(store: TrackingStore, before: LoadedModel | None) -> LoadedModel | None:
    """Return the champion, loaded unless it is the one before; None where there is none yet.

    Raises
    ------
    StageError
        Its files are gone, or it does not predict the rows that it was registered with.
    """
    return _load_version(store, get_champion(store), before)


def load_shadow(
    store: TrackingStore,
    before: LoadedModel | None,
    *,
    beside: ModelVersion,
    now: datetime,
    days: float,
) -> LoadedModel | None:
    """Return the version that predicts beside the champion, None where there is none.

    Parameters
    ----------
    store : TrackingStore
    before : LoadedModel, optional
        What predicted beside it until now.
    beside : ModelVersion
        The champion.
    now : datetime
    days : float
        So long after the champion was registered it is the champion before; later, or where
        there is none, the challenger.
    """
    former = get_version_by_alias(store, "previous")
    young = now.timestamp() - beside.created_seconds <= days * 86_400
    chosen = former if former and young else get_version_by_alias(store, "challenger")
    if chosen is None or chosen.number == beside.number:
        return None
    return _load_version(store, chosen, before)


def _load_version(
    store: TrackingStore, version: ModelVersion | None, before: LoadedModel | None
) -> LoadedModel | None:
    if version is None:
        return None
    if before is not None and before.version.identity == version.identity:
        return LoadedModel(version, before.model, before.fast)
    model = load_version_model(store, version)
    made = LoadedModel(version, model, compile_model(model))
    _smoke_test(made, store)
    return made


def _smoke_test(made: LoadedModel, store: TrackingStore) -> None:
    raw = example_rows(store, made.version)
    rows = [
        {str(name): None if cell != cell else cell for name, cell in row.items()}
        for row in raw.to_dict("records")
    ]
    whole = predict_rows(made.model, raw)
    try:
        alike = _predictions_agree(predict_compiled(rows, made.fast), whole)
    except ValueError as error:
        raise StageError(
            f"version {made.version.number} of {store.name} cannot read the rows that it was"
            f" registered with, and is not used: {error}"
        ) from error
    if not alike:
        raise StageError(
            f"version {made.version.number} of {store.name} does not give the same predictions"
            " for single rows as for a table, and is not used; train again"
        )


def _predictions_agree(quick: Predictions, whole: Predictions) -> bool:
    mine = quick.values if quick.probabilities is None else quick.probabilities
    theirs = whole.values if whole.probabilities is None else whole.probabilities
    return bool(
        np.allclose(
            mine, theirs, rtol=PREDICTION_TOLERANCE, atol=PREDICTION_TOLERANCE, equal_nan=True
        )
    )


LOGGER = logging.getLogger(__name__)
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    status: int
    content: bytes


@dataclass(frozen=True, eq=False)
class PendingRequest:
    """A request that waits for its batch, and where its reply goes."""

    asked: PredictRequest
    reply: "asyncio.Future[Reply]"


@dataclass(frozen=True, eq=False)
class ServedModels:
    """The versions in use at one moment; requests see either these or the next."""

    champion: LoadedModel | None = None
    shadow: LoadedModel | None = None


@dataclass(eq=False)
class ScoringService:
    """A running service; `models` is replaced as a whole when an alias moves.

    Attributes
    ----------
    params : Params
    token : bytes, optional
        What callers must show.
    clock : callable
    store : TrackingStore
    log : PredictionLog
    figures : ServiceMetrics
    worker, shadower : ThreadPoolExecutor
        One thread each: batches are predicted and logged one after the other.
    models : ServedModels
    waiting : list of PendingRequest
    unshadowed : list of (ids, rows)
        What the shadow has not predicted yet.
    busy, shadowing : bool
        Whether a task works through them.
    active : int
        Requests that are being answered.
    lost : bool
        Whether nothing follows the aliases any more.
    """

    params: Params
    token: bytes | None
    clock: Clock
    store: TrackingStore
    log: PredictionLog
    figures: ServiceMetrics
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "predict"))
    shadower: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "shadow"))
    models: ServedModels = field(default_factory=ServedModels)
    waiting: list[PendingRequest] = field(default_factory=list)
    unshadowed: list[tuple[str, Row]] = field(default_factory=list)
    busy: bool = False
    shadowing: bool = False
    active: int = 0
    lost: bool = False

    def complain(self, error: EvertuneError) -> None:
        """Tell the operator why requests are turned away."""
        LOGGER.error("%s", error)


def open_service(params: Params, *, clock: Clock) -> ScoringService:
    """Return a service whose log and registry answer; it has no models yet.

    Raises
    ------
    ParamsError
        A variable that params.yaml names is not set.
    BusyError, UnsafeError
        The log or the registry cannot be used.
    """
    state, name, scoring = params.paths.state, params.registry.name, params.scoring
    token = read_token(scoring.token_variable)
    log = connect_prediction_log(params)
    return ScoringService(
        params, token, clock, open_tracking_store(state, name), log, create_metrics()
    )


def close_service(service: ScoringService) -> None:
    """Let the threads end what they do, and give back the log."""
    service.worker.shutdown(wait=True)
    service.shadower.shutdown(wait=True)
    close_log(service.log)


def read_token(variable: str | None) -> bytes | None:
    """Return the token that callers must show, None where none is asked for.

    Raises
    ------
    ParamsError
        The variable is named and not set.
    """
    if variable is None:
        return None
    token = os.environ.get(variable, "")
    if not token:
        raise ParamsError(
            f"scoring.token_variable: the environment variable {variable} is not set; it has to"
            " hold the token that callers show. Set it, or write null to let everyone in."
        )
    return token.encode()


RELOAD_SECONDS = 1.0


async def watch_aliases(service: ScoringService) -> None:
    """Look at the registry every second, until cancelled; requests go on meanwhile."""
    loop = asyncio.get_running_loop()
    while True:
        await loop.run_in_executor(service.shadower, reload_models, service)
        await asyncio.sleep(RELOAD_SECONDS)


def reload_models(service: ScoringService) -> None:
    """Take up the versions that the aliases name; where that fails those in use stay."""
    try:
        models = _load_models(service)
    except EvertuneError as error:
        service.complain(error)
        service.figures.failed_loads.inc()
        return
    service.models = models
    service.figures.model.clear()
    for alias, used in (("champion", models.champion), ("shadow", models.shadow)):
        if used is not None:
            service.figures.model.labels(used.version.number, alias).set(1)


def _load_models(service: ScoringService) -> ServedModels:
    store, before, params = service.store, service.models, service.params
    champion = load_champion(store, before.champion)
    if champion is None or not params.scoring.shadow:
        return ServedModels(champion)
    shadow = load_shadow(
        store,
        before.shadow,
        beside=champion.version,
        now=service.clock(),
        days=params.monitoring.policy.shadow_days,
    )
    return ServedModels(champion, shadow)
