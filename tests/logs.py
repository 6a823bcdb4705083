"""What the tests of the prediction log have in common."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from evertune.database import ModelLog
from evertune.monitoring.labels import Label, LabelCounts, append_labels
from evertune.monitoring.prediction_log import LoggedPrediction, append_predictions

CLASSES = ("no", "yes")
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """Return the moment so many days after New Year."""
    return NEW_YEAR + timedelta(days=number)


def logged(identity: str, moment: datetime = NEW_YEAR, **changed: object) -> LoggedPrediction:
    """Return a prediction of the second class, but for what is given."""
    usual = {
        "id": identity,
        "request_id": "r",
        "identifier": None,
        "moment": moment,
        "inputs": '{"age":31}',
        "value": 1.0,
        "probabilities": (0.25, 0.75),
    }
    return LoggedPrediction(**(usual | changed))


def append(log: ModelLog, *rows: LoggedPrediction, version: str = "1") -> int:
    return append_predictions(log, rows, version=version, received=NEW_YEAR)


def label(log: ModelLog, *events: tuple[str, str, float], dated: bool = True) -> LabelCounts:
    """Add labels by id, value and the day on which they became known."""
    labels = [Label(identity, value, day(known), dated) for identity, value, known in events]
    return append_labels(log, labels, received=NEW_YEAR)


def ids(number: int, start: str = "id") -> Iterable[str]:
    return (f"{start}-{place:05}" for place in range(number))
