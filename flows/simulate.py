"""Production as it would come: the simulated customers are sent to the scoring service day by day.

A customer is scored on the day of the row, and whether the customer left is told a week later.
What is not acknowledged is sent again, so that the service may be restarted while this goes on.
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

from pipelines.errors import StageError
from pipelines.example import production_table
from pipelines.monitor import newest_of
from pipelines.params import load_params

DELAY = timedelta(days=7)
OVERLAP = timedelta(days=1)  # of a play that goes on: what was sent again is counted once
MOST_ROWS = 200
ANSWER_SECONDS = 10.0
LONGEST_STEP_SECONDS = 2.0
LATER = frozenset({408, 429, 503})


@dataclass(frozen=True, eq=False)
class Play:
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


def project_play(root: Path, address: str) -> Play:
    """Return the play of the embedded example for a project, behind what its log has."""
    params = load_params(root)
    data, variable = params.data, params.scoring.token_variable
    return new_play(
        production_table(),
        time=str(data.time),
        target=data.target,
        address=address,
        newest=newest_of(root),
        token=os.environ.get(variable) if variable else None,
    )


def new_play(  # noqa: PLR0913
    table: pd.DataFrame,
    *,
    time: str,
    target: str,
    address: str,
    newest: datetime | None,
    token: str | None = None,
) -> Play:
    """Return a play that goes on behind the newest event that the service knows.

    Parameters
    ----------
    table : DataFrame
        In the order of `time`, which holds days.
    time, target : str
        Columns of the table.
    address : str
        Of the scoring service, such as http://127.0.0.1:8000.
    newest : datetime, optional
        None: from the first day on.
    token : str, optional
        That the service asks for.
    """
    days = table[time].dt.normalize()
    place = table.groupby(days).cumcount() / days.map(days.value_counts())
    ids = days.dt.strftime("%Y%m%d-") + table.groupby(days).cumcount().astype(str)
    rows = table.assign(id=ids, moment=days + pd.to_timedelta(place, unit="D"))
    first = _moment(rows["moment"].iloc[0])
    now = max(first, newest - OVERLAP) if newest else first
    return Play(rows, target, address, token, now)


def is_over(play: Play) -> bool:
    """Whether nothing is left to be sent."""
    return play.now > _moment(play.rows["moment"].iloc[-1]) + DELAY


def advanced(play: Play, *, until: datetime) -> Play:
    """Send what falls due until a simulated moment, and return how far it came.

    A service that does not answer now leaves the play where it is.

    Raises
    ------
    StageError
        The service refuses a row or a label.
    """
    try:
        for rows in _parts(_between(play, play.now, until)):
            _send(play, "predict", _prediction(rows, play.target))
        for rows in _parts(_between(play, play.now - DELAY, until - DELAY)):
            _send(play, "label", _labels(rows, play.target))
    except (URLError, TimeoutError, ConnectionError):
        return play
    return replace(play, now=until)


def played_on(
    play: Play, seconds: float, days_a_minute: float, *, say: Callable[[str], None]
) -> Play | None:
    """Return the play after so many real seconds, None once it is over; months are told."""
    days = min(seconds, LONGEST_STEP_SECONDS) * days_a_minute / 60.0
    after = advanced(play, until=play.now + timedelta(days=days))
    if after.now.date().month != play.now.date().month:
        say(f"{after.now:%Y-%m-%d} by the clock of the simulated customers")
    if not is_over(after):
        return after
    say("All simulated customers were played; production goes on without new ones.")
    return None


def _between(play: Play, start: datetime, end: datetime) -> pd.DataFrame:
    moments = play.rows["moment"].dt.tz_localize(UTC)
    found: pd.DataFrame = play.rows[(moments >= start) & (moments < end)]
    return found


def _parts(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(rows), MOST_ROWS):
        yield rows.iloc[start : start + MOST_ROWS]


def _prediction(rows: pd.DataFrame, target: str) -> dict[str, object]:
    values = rows.drop(columns=["id", "moment", target])
    # JSON knows no NaN: a missing cell is null; a date is its ISO form.
    return {
        "ids": rows["id"].tolist(),
        "rows": json.loads(values.to_json(orient="records", date_format="iso", date_unit="s")),
    }


def _labels(rows: pd.DataFrame, target: str) -> dict[str, object]:
    told = (rows["moment"] + DELAY).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "labels": [
            {"id": name, "label": value, "moment": moment}
            for name, value, moment in zip(rows["id"], rows[target], told, strict=True)
        ]
    }


def _send(play: Play, path: str, body: dict[str, object]) -> None:
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if play.token is not None:
        headers["Authorization"] = f"Bearer {play.token}"
    request = Request(f"{play.address}/{path}", data=content, headers=headers)
    try:
        urlopen(request, timeout=ANSWER_SECONDS).close()
    except HTTPError as error:
        reason = error.read().decode(errors="replace")
        if error.code in LATER:
            raise TimeoutError(reason) from error
        raise StageError(
            f"expected the scoring service to take simulated rows at /{path}, but it answers"
            f" {error.code}: {reason}"
        ) from error


def _moment(stamp: pd.Timestamp) -> datetime:
    return stamp.tz_localize(UTC).to_pydatetime(warn=False)
