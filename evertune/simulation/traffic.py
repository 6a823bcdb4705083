"""Simulated production traffic: send the example's customers to the scoring service day by day.

Each customer is scored on the day of the row, and the label (whether the customer left) follows
a week later. `send_until` sends what is due up to a simulated moment; `advance_traffic` does so
for some real seconds. What the service has not acknowledged is sent again, so the service may
be restarted meanwhile. Traffic that is started again goes on behind the newest event in the
log, one day earlier; ids let the service count a repeated row once.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pandas as pd

from evertune.config.loader import load_params
from evertune.data.example import production_table
from evertune.errors import StageError
from evertune.monitoring.monitor import newest_event_time

LABEL_DELAY = timedelta(days=7)
RESEND_OVERLAP = timedelta(days=1)  # of a play that goes on: what was sent again is counted once
MAX_ROWS_PER_REQUEST = 200
TIMEOUT_SECONDS = 10.0
MAX_STEP_SECONDS = 2.0
RETRY_STATUS_CODES = frozenset({408, 429, 503})


@dataclass(frozen=True, eq=False)
class TrafficState:
    """What is played, and how far it is.

    Attributes
    ----------
    rows : DataFrame
        In the order of time, with `id`, `moment` (datetime64, UTC) and the columns of a request.
    target : str
        The column that is told later.
    address : str
        Of the scoring service.
    token : str, optional
        That the service asks for.
    now : datetime
        The simulated moment until which all was sent.
    """

    rows: pd.DataFrame
    target: str
    address: str
    token: str | None
    now: datetime


def project_traffic(root: Path, address: str) -> TrafficState:
    """Return the play of the embedded example for a project, behind what its log has."""
    params = load_params(root)
    data, variable = params.data, params.scoring.token_variable
    return start_traffic(
        production_table(),
        time=str(data.time),
        target=data.target,
        address=address,
        newest=newest_event_time(root),
        token=os.environ.get(variable) if variable else None,
    )


def start_traffic(
    table: pd.DataFrame,
    *,
    time: str,
    target: str,
    address: str,
    newest: datetime | None,
    token: str | None = None,
) -> TrafficState:
    """Return a play that goes on behind the newest event that the service knows."""
    days = table[time].dt.normalize()
    place = table.groupby(days).cumcount() / days.map(days.value_counts())
    ids = days.dt.strftime("%Y%m%d-") + table.groupby(days).cumcount().astype(str)
    rows = table.assign(id=ids, moment=days + pd.to_timedelta(place, unit="D"))
    first = _to_datetime(rows["moment"].iloc[0])
    now = max(first, newest - RESEND_OVERLAP) if newest else first
    return TrafficState(rows, target, address, token, now)


def is_finished(play: TrafficState) -> bool:
    """Whether nothing is left to be sent."""
    return play.now > _to_datetime(play.rows["moment"].iloc[-1]) + LABEL_DELAY


def send_until(play: TrafficState, *, until: datetime) -> TrafficState:
    """Send what falls due until a simulated moment, and return how far it came.

    A service that does not answer now leaves the play where it is.
    """
    try:
        for rows in _batches(_rows_between(play, play.now, until)):
            _post_json(play, "predict", _prediction_body(rows, play.target))
        for rows in _batches(_rows_between(play, play.now - LABEL_DELAY, until - LABEL_DELAY)):
            _post_json(play, "label", _label_body(rows, play.target))
    except (URLError, TimeoutError, ConnectionError):
        return play
    return replace(play, now=until)


def advance_traffic(
    play: TrafficState, seconds: float, days_a_minute: float, *, say: Callable[[str], None]
) -> TrafficState | None:
    """Return the play after so many real seconds, None once it is over; months are told."""
    days = min(seconds, MAX_STEP_SECONDS) * days_a_minute / 60.0
    after = send_until(play, until=play.now + timedelta(days=days))
    if after.now.date().month != play.now.date().month:
        say(f"{after.now:%Y-%m-%d} by the clock of the simulated customers")
    if not is_finished(after):
        return after
    say("All simulated customers were played; production goes on without new ones.")
    return None


def _rows_between(play: TrafficState, start: datetime, end: datetime) -> pd.DataFrame:
    moments = play.rows["moment"].dt.tz_localize(UTC)
    found: pd.DataFrame = play.rows[(moments >= start) & (moments < end)]
    return found


def _batches(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(rows), MAX_ROWS_PER_REQUEST):
        yield rows.iloc[start : start + MAX_ROWS_PER_REQUEST]


def _prediction_body(rows: pd.DataFrame, target: str) -> dict[str, object]:
    values = rows.drop(columns=["id", "moment", target])
    # JSON knows no NaN: a missing cell is null; a date is its ISO form.
    return {
        "ids": rows["id"].tolist(),
        "rows": json.loads(values.to_json(orient="records", date_format="iso", date_unit="s")),
    }


def _label_body(rows: pd.DataFrame, target: str) -> dict[str, object]:
    told = (rows["moment"] + LABEL_DELAY).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "labels": [
            {"id": name, "label": value, "moment": moment}
            for name, value, moment in zip(rows["id"], rows[target], told, strict=True)
        ]
    }


def _post_json(play: TrafficState, path: str, body: dict[str, object]) -> None:
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if play.token is not None:
        headers["Authorization"] = f"Bearer {play.token}"
    request = Request(f"{play.address}/{path}", data=content, headers=headers)
    try:
        urlopen(request, timeout=TIMEOUT_SECONDS).close()
    except HTTPError as error:
        reason = error.read().decode(errors="replace")
        if error.code in RETRY_STATUS_CODES:
            raise TimeoutError(reason) from error
        raise StageError(
            f"expected the scoring service to take simulated rows at /{path}, but it answers"
            f" {error.code}: {reason}"
        ) from error


def _to_datetime(stamp: pd.Timestamp) -> datetime:
    return stamp.tz_localize(UTC).to_pydatetime(warn=False)
