"""The logged frame: what was predicted, by which version, and what became known of it later."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import orjson
import pandas as pd

from pipelines.core.predictions import Floats, Predictions

MOMENT = "datetime64[us]"
Rows = Sequence[Sequence[object]]
Made = Callable[[Sequence[object]], object]


@dataclass(frozen=True)
class Logged:
    """A prediction as it goes to the log.

    Attributes
    ----------
    id : str
        Names the prediction for good; its label comes by it.
    request_id : str
    identifier : str, optional
        The row's value in the schema's identifier column.
    moment : datetime
        When what was predicted about was so: the schema's time column where it is a date.
    inputs : str
        The raw values as a JSON object.
    value : float
        Code of the predicted class, or the predicted value.
    probabilities : tuple of float, optional
        One for each class in the order of their codes; None in regression.
    """

    id: str
    request_id: str
    identifier: str | None
    moment: datetime
    inputs: str
    value: float
    probabilities: tuple[float, ...] | None


@dataclass(frozen=True)
class Shadow:
    """What a version that did not answer says about a prediction in the log."""

    id: str
    value: float
    probabilities: tuple[float, ...] | None


def frame_of(rows: Rows, names: Sequence[str], *, classes: Sequence[str]) -> pd.DataFrame:
    """Return rows of the log's database as columns of a logged frame.

    Parameters
    ----------
    rows : sequence of n rows
    names : sequence of str
        What stands in a row: `moment`, `received` and `labelled` in microseconds since 1970,
        `probabilities` and `probabilities_c` as JSON, `label` as text.
    classes : sequence of str
        In the order of their codes; none in regression.

    Returns
    -------
    DataFrame of n rows
        `probabilities` as `p_0`, `p_1` and so on, and `label` as `truth`.

    Examples
    --------
    >>> frame_of(
    ...     [["a", 0, "[0.2,0.8]", "yes"]],
    ...     ["id", "moment", "probabilities", "label"],
    ...     classes=("no", "yes"),
    ... )
      id     moment  p_0  p_1  truth
    0  a 1970-01-01  0.2  0.8    1.0
    """
    columns: Iterable[Sequence[object]] = zip(*rows, strict=True) if rows else [()] * len(names)
    made: dict[str, object] = {}
    for name, values in zip(names, columns, strict=True):
        if name.startswith("probabilities"):
            made |= _probabilities(values, f"p{name.removeprefix('probabilities')}", len(classes))
        elif name == "label":
            made["truth"] = truths(values, classes)
        else:
            made[name] = MAKERS.get(name, _texts)(values)
    return pd.DataFrame(made)


def effective(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row an id: the last of its labels, known since its value was first said.

    Parameters
    ----------
    frame : DataFrame
        With `id`, `truth` and `labelled`; the rows of an id stand together, and in the order in
        which its labels count.

    Examples
    --------
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    >>> said = pd.DataFrame({"id": ["a"] * 3, "truth": [0.0, 1.0, 1.0], "labelled": days})
    >>> effective(said)
      id  truth   labelled
    0  a    1.0 2024-01-02
    """
    ids = frame["id"]
    last = ids.ne(ids.shift(-1))
    if last.all():
        return frame
    first_said = frame.groupby(["id", "truth"], dropna=False, sort=False)["labelled"]
    known = frame.assign(labelled=first_said.transform("min"))
    return known[last].reset_index(drop=True)


def truths(texts: Sequence[object], classes: Sequence[str]) -> Floats:
    """Return labels as class codes or values; NaN where there is none, or no such class.

    Examples
    --------
    >>> truths(["yes", None, "perhaps"], ("no", "yes")), truths(["1.5"], ())
    (array([ 1., nan, nan]), array([1.5]))
    """
    codes: dict[object, float] = {label: float(code) for code, label in enumerate(classes)}
    if classes:
        return np.array([codes.get(text, np.nan) for text in texts], dtype=np.float64)
    values = pd.to_numeric(pd.Series(list(texts), dtype="str"), errors="coerce")
    return values.to_numpy(np.float64)


def predictions_of(frame: pd.DataFrame, ending: str = "") -> Predictions:
    """Return the predictions in a logged frame.

    Parameters
    ----------
    frame : DataFrame of n rows
    ending : str
        ``"_c"`` for those of the version that answered, in a frame of shadows.

    Examples
    --------
    >>> predictions_of(pd.DataFrame({"value": [1.0], "p_0": [0.2], "p_1": [0.8]})).probabilities
    array([[0.2, 0.8]])
    """
    names = [name for name in frame.columns if _is_probability(name, f"p{ending}_")]
    values = frame[f"value{ending}"].to_numpy(np.float64)
    return Predictions(values, frame[names].to_numpy(np.float64) if names else None)


def read_inputs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the raw rows of a logged frame that was read with its inputs.

    Parameters
    ----------
    frame : DataFrame of n rows
        With `inputs`.

    Returns
    -------
    DataFrame of n rows
        With the frame's index; columns in the order in which they were first seen, None where a
        row lacks one, and each of the type that its values have.

    Examples
    --------
    >>> read_inputs(pd.DataFrame({"inputs": ['{"age":31,"plan":"a"}', '{"plan":null}']}))
        age plan
    0  31.0    a
    1   NaN  NaN
    """
    rows = orjson.loads(f"[{','.join(frame['inputs'].tolist())}]")
    seen = dict.fromkeys(tuple(row) for row in rows)
    names = dict.fromkeys(name for keys in seen for name in keys)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pd.DataFrame(columns, index=frame.index)


def _is_probability(name: str, start: str) -> bool:
    return name.startswith(start) and name.removeprefix(start).isdigit()


def _probabilities(texts: Sequence[object], start: str, n_classes: int) -> dict[str, Floats]:
    none = [np.nan] * n_classes
    rows = orjson.loads(f"[{','.join('[]' if text is None else str(text) for text in texts)}]")
    # a version that knew other classes says nothing about these
    fitting = [row if len(row) == n_classes else none for row in rows]
    values = np.array(fitting, dtype=np.float64).reshape(len(texts), n_classes)
    return {f"{start}_{code}": values[:, code] for code in range(n_classes)}


def _moments(counts: Sequence[object]) -> pd.Series:
    none = np.iinfo(np.int64).min
    whole = np.array([none if count is None else count for count in counts], dtype=np.int64)
    return pd.Series(whole.view(MOMENT))


def _numbers(values: Sequence[object]) -> Floats:
    return np.array(values, dtype=np.float64)


def _texts(values: Sequence[object]) -> pd.Series:
    return pd.Series(list(values), dtype="str")


MAKERS: dict[str, Made] = {
    "moment": _moments,
    "received": _moments,
    "labelled": _moments,
    "value": _numbers,
    "value_c": _numbers,
}
