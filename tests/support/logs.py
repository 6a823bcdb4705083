"""What the tests of the prediction log have in common."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from evertune.database import ModelLog
from evertune.monitoring.log_frames import LoggedPrediction
from evertune.monitoring.prediction_log import Label, LabelCounts, PredictionLog

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
    return prediction_log(log).append_predictions(rows, version=version, received=NEW_YEAR)


def known_ids(log: ModelLog, ids: Iterable[str]) -> set[str]:
    """Return those ids that have a prediction in the log."""
    return set(prediction_log(log).find(ids))


def prediction_log(log: ModelLog) -> PredictionLog:
    return PredictionLog(log.engine, log.model)


def label(log: ModelLog, *events: tuple[str, str, float], dated: bool = True) -> LabelCounts:
    """Add labels by id, value and the day on which they became known."""
    labels = [Label(identity, value, day(known), dated) for identity, value, known in events]
    return prediction_log(log).append_labels(labels, received=NEW_YEAR)


def ids(number: int, start: str = "id") -> Iterable[str]:
    return (f"{start}-{place:05}" for place in range(number))
