"""What the search keeps of a trial beside its scores: its models and what they said."""

from dataclasses import dataclass

from pipelines.core.encoding import Form
from pipelines.core.fold_parts import IntArray
from pipelines.core.predictions import Predictions
from pipelines.core.trials import Configuration


@dataclass(frozen=True, eq=False)
class FoldModel:
    """One configuration fitted on the training rows of one fold.

    Attributes
    ----------
    fold : int
    rows : array of int of shape (n,)
        The fold's validation rows, as numbers of training rows.
    predictions : Predictions
        Of these rows, which the model never saw.
    kind : str
        What `data` is, see `pipelines.core.serialised`.
    data : bytes
        The fitted predictor; empty where only predictions were read.
    columns : tuple of int, optional
        The columns of the encoded rows that the predictor takes; None: all.
    iterations : int, optional
        Rounds, trees or epochs that the fit kept.
    whole : bool
        False where the deadline cut the fit short.
    """

    fold: int
    rows: IntArray
    predictions: Predictions
    kind: str
    data: bytes
    columns: tuple[int, ...] | None = None
    iterations: int | None = None
    whole: bool = True


@dataclass(frozen=True, eq=False)
class PoolEntry:
    """A trial's fold models, in the order of the folds.

    Attributes
    ----------
    number : int
        The trial's.
    form : str
        The form of the encoder, which is fitted anew where it is needed.
    """

    number: int
    configuration: Configuration
    form: Form
    folds: tuple[FoldModel, ...]


def is_whole(entry: PoolEntry, n_folds: int) -> bool:
    """Return whether an entry ran on every fold and no fit of it was cut short.

    Examples
    --------
    >>> is_whole(PoolEntry(0, Configuration("linear"), "scaled", ()), 5)
    False
    """
    ran = sorted(model.fold for model in entry.folds)
    return ran == list(range(n_folds)) and all(model.whole for model in entry.folds)
