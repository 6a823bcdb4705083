"""The champion's production as monitoring looks at it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from pipelines.core.findings import Window, aware
from pipelines.core.log_frames import read_inputs
from pipelines.core.losses import LossDay
from pipelines.core.maturity import ArrivalCurve, arrival_curve
from pipelines.core.metrics import Metric
from pipelines.core.realised import matured_days
from pipelines.core.references import Reference
from pipelines.core.watching import windows_of_days, windows_of_rows
from pipelines.sections import Params
from pipelines.stores.database import Log
from pipelines.stores.metrics import metrics_of
from pipelines.stores.predictions import oldest_event, read_log


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
    now: datetime

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the version's schema in the order of their codes."""
        return self.reference.schema.classes


def watched(  # noqa: PLR0913
    root: Path, params: Params, *, log: Log, version: str, reference: Reference, now: datetime
) -> Watched:
    """Return what a version predicted within the horizon, with the labels known until now."""
    section, schema = params.monitoring, reference.schema
    frame = read_log(
        log,
        now - timedelta(days=section.horizon_days),
        now,
        classes=schema.classes,
        version=version,
        known_at=now,
    )
    return Watched(
        root=root,
        params=params,
        log=log,
        version=version,
        reference=reference,
        metrics=metrics_of(params.metric, schema.task, root),
        frame=frame,
        windows=_windows(params, frame, oldest=oldest_event(log), now=now),
        now=now,
    )


def matured(seen: Watched) -> tuple[LossDay, ...]:
    """Return the matured losses by day: what the sequential tests are fed with."""
    return matured_days(
        seen.frame,
        seen.reference.performance,
        classes=seen.classes,
        curve=arrivals(seen),
        now=seen.now,
        coverage=seen.params.monitoring.mature_coverage,
    )


def arrivals(seen: Watched) -> ArrivalCurve:
    """Return how long labels took to come so far."""
    return arrival_curve(seen.frame["moment"], seen.frame["labelled"], now=seen.now)


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
