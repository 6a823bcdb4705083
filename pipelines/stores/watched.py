"""The champion's production as monitoring looks at it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from pipelines.core.findings import Window, aware
from pipelines.core.log_frames import effective, frame_of, read_inputs
from pipelines.core.losses import LossDay
from pipelines.core.maturity import ArrivalCurve, arrival_curve
from pipelines.core.metrics import Metric
from pipelines.core.realised import matured_days
from pipelines.core.references import Reference
from pipelines.core.watching import windows_of_days, windows_of_rows
from pipelines.sections import Params
from pipelines.stores.database import Log, reading
from pipelines.stores.log_tables import PREDICTIONS
from pipelines.stores.metrics import metrics_of
from pipelines.stores.predictions import labelled_query, oldest_event, read_log, within

WAITED = ["moment", "labelled"]


@dataclass(frozen=True, eq=False)
class Watched:
    """One version's production up to now.

    Attributes
    ----------
    root : Path
        The project's folder, for functions of the user's own.
    params : Params
    log : Log
    version : str
    reference : Reference
    metrics : tuple of Metric
        The metric that is optimised comes first.
    frame : DataFrame
        The version's logged frame, labels known until now.
    windows : tuple of Window
        That are over, oldest first.
    curve : ArrivalCurve
        How long labels took to come, whichever version was asked.
    now : datetime
    """

    root: Path
    params: Params
    log: Log
    version: str
    reference: Reference
    metrics: tuple[Metric, ...]
    frame: pd.DataFrame
    windows: tuple[Window, ...]
    curve: ArrivalCurve
    now: datetime

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the version's schema in the order of their codes."""
        return self.reference.schema.classes


def watched(  # noqa: PLR0913
    root: Path, params: Params, *, log: Log, version: str, reference: Reference, now: datetime
) -> Watched:
    """Return what a version predicted within the horizon, with the labels known until now."""
    schema, start = reference.schema, now - timedelta(days=params.monitoring.horizon_days)
    frame = read_log(
        log,
        start,
        now,
        classes=schema.classes,
        version=version,
        known_at=now,
    )
    others = _of_others(log, start, now, version=version, classes=schema.classes)
    waited = pd.concat([frame[WAITED], others], ignore_index=True)
    return Watched(
        root=root,
        params=params,
        log=log,
        version=version,
        reference=reference,
        metrics=metrics_of(params.metric, schema.task, root),
        frame=frame,
        windows=_windows(params, frame, oldest=oldest_event(log), now=now),
        curve=arrival_curve(waited["moment"], waited["labelled"], now=now),
        now=now,
    )


def matured(seen: Watched) -> tuple[LossDay, ...]:
    """Return the matured losses by day: what the sequential tests are fed with."""
    return matured_days(
        seen.frame,
        seen.reference.performance,
        classes=seen.classes,
        curve=seen.curve,
        now=seen.now,
        coverage=seen.params.monitoring.mature_coverage,
    )


def notes_of(seen: Watched) -> tuple[str, ...]:
    """Return what a person has to know of how a version is watched."""
    wanted, known = seen.params.monitoring.window_days, seen.reference.window_days
    if seen.params.monitoring.window_rows is not None or wanted == known:
        return ()
    return (
        f"monitoring.window_days is {wanted:g}, but version {seen.version} was calibrated on"
        f" {known:g}-day windows: what counts as drift is right again with the next version that"
        " `evertune train` makes",
    )


def inputs_of(seen: Watched, window: Window) -> pd.DataFrame:
    """Return what was predicted from in a window: raw rows in the order of the frame's."""
    frame = read_log(
        seen.log,
        window.start,
        window.end,
        classes=seen.classes,
        version=seen.version,
        with_inputs=True,
    )
    return read_inputs(frame)


def _of_others(
    log: Log, start: datetime, now: datetime, *, version: str, classes: tuple[str, ...]
) -> pd.DataFrame:
    """Return when the rows of all other versions were predicted, and since when labels are known.

    How labels come does not depend on who answered; a new champion has hardly any rows to tell.
    """
    columns = [PREDICTIONS.c.id, PREDICTIONS.c.moment]
    query = labelled_query(columns, known_at=now).where(*within(log, start, now))
    with reading(log) as connection:
        result = connection.execute(query.where(PREDICTIONS.c.version != version))
        found = frame_of(result.all(), list(result.keys()), classes=classes)
    return effective(found)[WAITED]


def _windows(
    params: Params, frame: pd.DataFrame, *, oldest: datetime | None, now: datetime
) -> tuple[Window, ...]:
    section = params.monitoring
    if section.window_rows is not None:
        return windows_of_rows(frame["moment"], rows=section.window_rows)
    # a version that took over from another begins within a window that is not all its own
    took_over = oldest is not None and not frame.empty and oldest < aware(frame["moment"].iloc[0])
    return windows_of_days(
        frame["moment"], days=section.window_days, now=now, whole_first=took_over
    )
