"""The rows of the hold-out that judge, and what a version and the champion say of them.

Reads the hold-out and both models. Writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.core.judging.measuring import Pair
from pipelines.core.judging.pairing import (
    check_apart,
    incomparable,
    n_silent,
    unseen,
    watched_loss,
)
from pipelines.core.metrics import Metric
from pipelines.core.model import Model
from pipelines.core.predictions import Predictions
from pipelines.core.truths import taken, truth_of
from pipelines.errors import StageError, TableError
from pipelines.stores.facts import Facts
from pipelines.stores.files import read_table
from pipelines.stores.metrics import metrics_of
from pipelines.stores.models import load_model, predict_rows


@dataclass(frozen=True, eq=False)
class Standing:
    """The champion: its version, the hash of its files, and its model."""

    version: str
    identity: str
    model: Model


@dataclass(frozen=True, eq=False)
class Scene:
    """The hold-out, and what is said of the rows that judge.

    Attributes
    ----------
    model : Model
        The version's.
    metrics : tuple of Metric
        The one that is optimised comes first.
    holdout : DataFrame, n rows
    fresh : array of bool of shape (n,)
        The rows that neither model was trained on.
    said : Predictions
        The version's, of all n rows; nothing that is finite where it cannot read them.
    fault : str, optional
        Why it cannot read them.
    theirs : Predictions, optional
        The champion's, of the fresh rows.
    obstacle : str, optional
        Why there is none of the champion's.
    """

    model: Model
    metrics: tuple[Metric, ...]
    holdout: pd.DataFrame
    fresh: NDArray[np.bool_]
    said: Predictions
    fault: str | None = None
    theirs: Predictions | None = None
    obstacle: str | None = None

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows that judge."""
        return self.holdout[self.fresh].reset_index(drop=True)

    @cached_property
    def pair(self) -> Pair | None:
        """What both say of these rows; None where they cannot be compared."""
        ours = taken(self.said, self.fresh)
        if self.theirs is None or self.rows.empty or n_silent(ours):
            return None
        return Pair(truth_of(self.rows, self.model.schema), ours, self.theirs)


def scene_of(facts: Facts, standing: Standing | None) -> Scene:
    """Return the rows that judge, and what both models say of them.

    Raises
    ------
    StageError
        Rows were about to judge that one of the two was trained on.
    ParamsError
        The metric does not serve the task.
    """
    model, holdout = load_model(facts.model), read_table(facts.params.paths.holdout)
    champion = () if standing is None else standing.model.row_keys
    said, fault = _said(model, holdout)
    scene = Scene(
        model=model,
        metrics=metrics_of(facts.params.metric, model.schema.task, facts.root),
        holdout=holdout,
        fresh=unseen(list(holdout["row_key"]), model.row_keys, champion),
        said=said,
        fault=fault,
    )
    if standing is None:
        return scene
    learned = {"the version": model.row_keys, f"version {standing.version}": champion}
    check_judges(list(scene.rows["row_key"]), learned=learned)
    return _beside(scene, standing)


def check_judges(judging: Sequence[str], *, learned: Mapping[str, Sequence[str]]) -> None:
    """Check that no row is about to judge that a model was trained on.

    Parameters
    ----------
    judging : sequence of str
        Keys of the rows that judge.
    learned : mapping
        Keys of the rows that each model was trained on, by its name.

    Raises
    ------
    StageError
        If a row is.
    """
    try:
        check_apart(judging, learned=learned)
    except ValueError as error:
        raise StageError(f"{error} Nothing was decided.") from error


def looked_loss(scene: Scene) -> Metric | None:
    """Return the loss that a second test is of; None where it is the metric itself."""
    loss = watched_loss(scene.model.schema.task)
    silent = loss.needs_probabilities and scene.said.probabilities is None
    return None if silent or loss.name == scene.metrics[0].name else loss


def _said(model: Model, rows: pd.DataFrame) -> tuple[Predictions, str | None]:
    try:
        return predict_rows(model, rows), None
    except TableError as error:
        return Predictions(np.full(len(rows), np.nan)), f"it cannot read these rows: {error}"


def _beside(scene: Scene, standing: Standing) -> Scene:
    obstacle = incomparable(scene.model.schema, standing.model.schema)
    if obstacle is not None:
        return replace(scene, obstacle=obstacle)
    if scene.rows.empty:
        return scene
    said, fault = _said(standing.model, scene.rows)
    if fault is not None:
        return replace(scene, obstacle=fault)
    silent = n_silent(said)
    if silent:
        given = f"it gives no finite prediction for {silent} of {len(scene.rows)} rows"
        return replace(scene, obstacle=given)
    return replace(scene, theirs=said)
