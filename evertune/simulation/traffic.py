"""Simulated production traffic: send the example's customers to the scoring service day by day.

Each customer is scored on the day of the row, and the label (whether the customer left) follows
a week later. `Traffic.send_until` sends what is due up to a simulated moment; `advance` does so
for some real seconds. What the service has not acknowledged is sent again, so the service may
be restarted meanwhile. Traffic that is started again goes on behind the newest event in the
log, one day earlier; ids let the service count a repeated row once.

httpx is there wherever Evertune is, for Prefect needs it.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pandas as pd

from evertune.config.loader import load_params
from evertune.data.example import production_table
from evertune.errors import StageError
from evertune.monitoring.monitor import newest_event_time
from evertune.serving.token import bearer_header, service_token

LABEL_DELAY = timedelta(days=7)
RESEND_OVERLAP = timedelta(days=1)
MAX_ROWS_PER_REQUEST = 200
TIMEOUT_SECONDS = 10.0
MAX_STEP_SECONDS = 2.0
RETRY_STATUS_CODES = frozenset({408, 429, 503})


class Traffic:
    """Customers of one table, sent in the order of time.

    Parameters
    ----------
    table : DataFrame
        With a column `time` of days, whose rows are spread over the day, and a column `target`.
    address : str
        Of the scoring service.
    newest : datetime, optional
        The newest event that the service knows; the traffic goes on behind it.
    token : bytes, optional
        That the service asks for.

    Attributes
    ----------
    now : datetime
        The simulated moment until which all was sent.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        *,
        time: str,
        target: str,
        address: str,
        newest: datetime | None = None,
        token: bytes | None = None,
    ) -> None:
        days = table[time].dt.normalize()
        number = table.groupby(days).cumcount()
        moments = days + pd.to_timedelta(number / days.map(days.value_counts()), unit="D")
        self._moments = moments.dt.tz_localize(UTC)
        self._ids = days.dt.strftime("%Y%m%d-") + number.astype(str)
        self._inputs, self._labels = table.drop(columns=[target]), table[target]
        self._address = address
        self._headers = bearer_header(token)
        first = self._moments.iloc[0].to_pydatetime(warn=False)
        self.now = max(first, newest - RESEND_OVERLAP) if newest else first

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be sent."""
        return bool(self.now > self._moments.iloc[-1] + LABEL_DELAY)

    def send_until(self, until: datetime) -> None:
        """Send what falls due until a simulated moment; stay where the service does not answer.

        Raises
        ------
        StageError
            The service refuses what it is sent.
        """
        try:
            for rows in self._due(self.now, until):
                # JSON knows no NaN: a missing cell is null; a date is its ISO form
                inputs = rows.to_json(orient="records", date_format="iso", date_unit="s")
                self._post(
                    "predict", {"ids": self._ids[rows.index].tolist(), "rows": json.loads(inputs)}
                )
            for rows in self._due(self.now - LABEL_DELAY, until - LABEL_DELAY):
                known = (self._moments[rows.index] + LABEL_DELAY).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
                labels = zip(self._ids[rows.index], self._labels[rows.index], known, strict=True)
                keys = ("id", "label", "moment")
                body = {"labels": [dict(zip(keys, label, strict=True)) for label in labels]}
                self._post("label", body)
        except (httpx.TransportError, TimeoutError):
            return
        self.now = until

    def advance(self, seconds: float, days_a_minute: float, *, say: Callable[[str], None]) -> bool:
        """Send what is due after so many real seconds; return whether there is more to come.

        Each new month, and the end, is reported by `say`.
        """
        month = self.now.month
        days = min(seconds, MAX_STEP_SECONDS) * days_a_minute / 60.0
        self.send_until(self.now + timedelta(days=days))
        if self.now.month != month:
            say(f"{self.now:%Y-%m-%d} by the clock of the simulated customers")
        if self.is_finished:
            say("All simulated customers were played; production goes on without new ones.")
        return not self.is_finished

    def _due(self, start: datetime, end: datetime) -> list[pd.DataFrame]:
        rows = self._inputs[(self._moments >= start) & (self._moments < end)]
        starts = range(0, len(rows), MAX_ROWS_PER_REQUEST)
        return [rows.iloc[start : start + MAX_ROWS_PER_REQUEST] for start in starts]

    def _post(self, path: str, body: Mapping[str, object]) -> None:
        response = httpx.post(
            f"{self._address}/{path}",
            json=body,
            headers=self._headers,
            timeout=TIMEOUT_SECONDS,
            trust_env=False,  # no proxy between programs of one machine
        )
        if response.status_code in RETRY_STATUS_CODES:
            raise TimeoutError(response.text)
        if response.is_error:
            raise StageError(
                f"expected the scoring service to take simulated rows at /{path}, but it answers"
                f" {response.status_code}: {response.text}"
            )


def project_traffic(root: Path, address: str, *, host: str) -> Traffic:
    """Return the traffic of the embedded example for a project, behind what its log has.

    `host` is what the project's scoring service listens on, and `address` where it is reached.
    """
    params = load_params(root)
    return Traffic(
        production_table(),
        time=str(params.data.time),
        target=params.data.target,
        address=address,
        newest=newest_event_time(root),
        token=service_token(params, host),
    )
