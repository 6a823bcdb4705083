"""Which rows may judge two models, and whether the two answer the same question."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.metrics import METRICS, Metric
from pipelines.core.predictions import Predictions, Task
from pipelines.core.schema import Schema


def unseen(keys: Sequence[str], *seen: Collection[str]) -> NDArray[np.bool_]:
    """Return a mask of the rows whose keys are in none of the collections.

    Examples
    --------
    >>> unseen(["a", "b", "c"], {"b"}, {"c", "d"})
    array([ True, False, False])
    """
    known = set().union(*seen)
    return np.array([key not in known for key in keys], dtype=bool)


def check_apart(judging: Collection[str], *, learned: Mapping[str, Collection[str]]) -> None:
    """Check that no row judges that a model was trained on.

    Parameters
    ----------
    judging : collection of str
        Keys of the rows that judge.
    learned : mapping
        Keys of the rows that each model was trained on, by its name.

    Raises
    ------
    ValueError
        If a row does; the message says how many and of which model.

    Examples
    --------
    >>> check_apart(["a", "b"], learned={"version 3": ["c"]})
    """
    for name, keys in learned.items():
        n_shared = len(set(judging).intersection(keys))
        if n_shared:
            raise ValueError(
                f"Expected rows that {name} was not trained on, but {n_shared} of {len(judging)}"
                " rows that judge were among those that it was."
            )


def n_silent(predictions: Predictions) -> int:
    """Return for how many rows a model says nothing that is finite.

    Examples
    --------
    >>> n_silent(Predictions(np.array([1.0, np.nan, np.inf])))
    2
    """
    spoken = np.isfinite(predictions.values)
    if predictions.probabilities is not None:
        spoken &= np.isfinite(predictions.probabilities).all(axis=1)
    return int((~spoken).sum())


def watched_loss(task: Task) -> Metric:
    """Return the metric whose figure is the loss that production is watched by.

    Examples
    --------
    >>> watched_loss("binary").name, watched_loss("regression").name
    ('brier', 'mae')
    """
    return METRICS["mae" if task == "regression" else "brier"]


def incomparable(ours: Schema, theirs: Schema) -> str | None:
    """Return why two models answer different questions, None if they do not.

    Examples
    --------
    >>> incomparable(Schema((), "churned", "binary"), Schema((), "price", "regression"))
    "it predicts 'price', not 'churned'"
    """
    if ours.target != theirs.target:
        return f"it predicts {theirs.target!r}, not {ours.target!r}"
    if ours.task != theirs.task:
        return f"its task is {theirs.task}, not {ours.task}"
    if ours.classes != theirs.classes:
        return f"its classes are {', '.join(theirs.classes)}, not {', '.join(ours.classes)}"
    return None
