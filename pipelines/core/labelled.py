"""Any table with a target, read as rows that can judge a model."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.core.breaches import Breach, cell_breach
from pipelines.core.conforming import conform
from pipelines.core.labels import expected_label, label_texts
from pipelines.core.parting import ROW_KEY, with_row_keys
from pipelines.core.schema import Schema
from pipelines.core.wording import did_you_mean

DIGEST_LETTERS = 12


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows that can judge a model.

    Attributes
    ----------
    table : DataFrame
        Clean rows with the target and a `row_key`, and the columns that were asked for beside.
    n_unlabelled : int
        Rows that were left out, for they have no target.
    n_trained : int
        Rows that were left out, for the model was trained or chosen on them.
    n_repeated : int
        Rows of the table that repeat an earlier one.
    """

    table: pd.DataFrame
    n_unlabelled: int
    n_trained: int
    n_repeated: int


def labelled(
    raw: pd.DataFrame, schema: Schema, *, trained: Sequence[str], beside: Sequence[str] = ()
) -> tuple[Labelled | None, tuple[Breach, ...]]:
    """Return the rows of a raw table that can judge a model; None where there are breaches.

    Parameters
    ----------
    raw : DataFrame
        Typed or text cells.
    schema : Schema
        Of the model.
    trained : sequence of str
        Keys of the rows that the model was trained or chosen on.
    beside : sequence of str
        Columns that are kept beside the clean ones where the table has them, such as those that
        no model may see.

    Examples
    --------
    >>> from pipelines.core.schema import Column
    >>> schema = Schema((Column("age", "number"),), "left", "binary", ("no", "yes"))
    >>> raw = pd.DataFrame({"age": ["31", "40"], "left": ["yes", ""]})
    >>> found, breaches = labelled(raw, schema, trained=())
    >>> found.table["left"].tolist(), found.n_unlabelled, breaches
    (['yes'], 1, ())
    """
    if schema.target not in raw:
        nearest = did_you_mean(schema.target, [str(name) for name in raw.columns])
        problem = "the target is expected, but the table has no such column"
        return None, (Breach(schema.target, problem, remedy=nearest.strip()),)
    clean, breaches = conform(raw, schema)
    truth, wrong = _truth(raw[schema.target].reset_index(drop=True), schema)
    if breaches or wrong:
        return None, (*breaches, *wrong)
    extra = {name: raw[name].to_numpy() for name in beside if name in raw and name not in clean}
    whole = with_row_keys(clean, schema).assign(**{schema.target: truth}, **extra)
    known = whole.dropna(subset=[schema.target])
    seen = known[ROW_KEY].isin(set(trained))
    table = known[~seen].reset_index(drop=True)
    n_repeated = int(table[ROW_KEY].duplicated().sum())
    return Labelled(table, len(whole) - len(known), int(seen.sum()), n_repeated), ()


def unseen_rows(table: pd.DataFrame, schema: Schema) -> int:
    """Return how many rows have a category that is not in the schema.

    Examples
    --------
    >>> from pipelines.core.schema import Column
    >>> schema = Schema((Column("plan", "category", ("a",)),), "y", "binary")
    >>> unseen_rows(pd.DataFrame({"plan": ["a", "b", None]}), schema)
    1
    """
    strange = np.zeros(len(table), dtype=bool)
    for column in schema.features:
        if column.kind == "category":
            cells = table[column.name]
            strange |= (cells.notna() & ~cells.isin(column.categories)).to_numpy()
    return int(strange.sum())


def table_digest(raw: pd.DataFrame) -> str:
    """Return a short hash of a table's columns and cells, in their order.

    Examples
    --------
    >>> len(table_digest(pd.DataFrame({"a": [1, 2]})))
    12
    """
    digest = hashlib.sha256("\x1f".join(map(str, raw.columns)).encode())
    digest.update(pd.util.hash_pandas_object(raw.astype(str), index=False).to_numpy().tobytes())
    return digest.hexdigest()[:DIGEST_LETTERS]


def _truth(cells: pd.Series, schema: Schema) -> tuple[pd.Series, tuple[Breach, ...]]:
    texts, bad = label_texts(cells, schema)
    if bad.any():
        expected = expected_label(cells[bad].iloc[0], schema)
        remedy = expected[0].upper() + expected[1:]
        found = cell_breach(cells, bad, problem="cells are no label of the model", remedy=remedy)
        return texts, found
    return (texts if schema.classes else texts.astype(float)), ()
