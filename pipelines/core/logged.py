"""The logged frame as arrays: what was said, by window, of which version."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.core.findings import Window, naive
from pipelines.core.predictions import Predictions


def logged_predictions(frame: pd.DataFrame, *, classes: tuple[str, ...]) -> Predictions:
    """Return the predictions of a logged frame.

    Parameters
    ----------
    frame : DataFrame
        With `value`, and `p_0` to `p_{k-1}` where there are classes.
    classes : tuple of str
        Empty in regression.

    Examples
    --------
    >>> frame = pd.DataFrame({"value": [1.0], "p_0": [0.2], "p_1": [0.8]})
    >>> logged_predictions(frame, classes=("no", "yes")).probabilities
    array([[0.2, 0.8]])
    """
    values = frame["value"].to_numpy(dtype=np.float64)
    names = [f"p_{code}" for code in range(len(classes))]
    known = bool(names) and set(names) <= set(frame.columns)
    if not known or frame[names].isna().to_numpy().any():
        return Predictions(values)
    return Predictions(values, frame[names].to_numpy(dtype=np.float64))


def rows_of(moments: pd.Series, window: Window) -> NDArray[np.int64]:
    """Return the places of the rows that lie in a window.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC))
    >>> rows_of(pd.Series(pd.to_datetime(["2024-05-01", "2024-05-02"])), day)
    array([0])
    """
    after, before = moments >= naive(window.start), moments < naive(window.end)
    return np.flatnonzero((after & before).to_numpy())


def version_of(frame: pd.DataFrame) -> str | None:
    """Return the version that made all predictions of a frame, None if it is not one.

    Examples
    --------
    >>> version_of(pd.DataFrame({"version": ["3", "3"]}))
    '3'
    """
    versions = list(frame["version"].dropna().unique()) if "version" in frame else []
    return str(versions[0]) if len(versions) == 1 else None
