"""From a batch of requests to their replies: read, predict once, log once, and only then answer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from pipelines.core.breaches import Breach
from pipelines.core.fast_models import encoded
from pipelines.core.fast_rows import Columns, Row, read_rows
from pipelines.core.log_frames import Logged, Shadow
from pipelines.core.predictions import Predictions
from pipelines.core.requests import MOST_FAULTS, UNUSABLE, Asked, Fault, Refusal
from pipelines.core.schema import Schema
from pipelines.errors import EvertuneError
from pipelines.service.entries import (
    TAKEN,
    Entry,
    can_repeat,
    entries_of,
    repeats,
    request_faults,
)
from pipelines.service.standing import Models, Reply, Service
from pipelines.stores.champions import InUse
from pipelines.stores.predictions import append_predictions, append_shadow, logged_before

OK, CONFLICT, NOT_READY = 200, 409, 503
UNREADY = Refusal(
    NOT_READY,
    (Fault("champion", "there is none yet, or the log does not answer; try again soon"),),
)
Said = dict[str, tuple[str, Logged]]


@dataclass(frozen=True, eq=False)
class Answered:
    """Replies in the order of the requests, and the rows that were predicted, by id."""

    replies: tuple[Reply, ...]
    rows: tuple[tuple[str, Row], ...] = ()


def answered(service: Service, batch: Sequence[Asked]) -> Answered:
    """Return the replies to a batch of requests once all that they say is in the log."""
    champion = service.models.champion
    try:
        if champion is not None:
            return _answered(service, champion, batch)
    except EvertuneError as error:
        service.complain(error)
    return Answered(tuple(refusing(UNREADY) for _ in batch))


def refusing(refusal: Refusal) -> Reply:
    """Return a refusal as it is sent."""
    detail = [{"field": fault.field, "problem": fault.problem} for fault in refusal.faults]
    return Reply(refusal.status, orjson.dumps({"detail": detail}))


def shadowed(service: Service, models: Models, rows: Sequence[tuple[str, Row]]) -> int:
    """Return how many predictions of the shadow were logged; rows that it cannot read have none."""
    if models.shadow is None:
        return 0
    fast, number = models.shadow.fast, models.shadow.version.number
    columns, unread = read_rows([row for _, row in rows], fast.reading)
    good = [place for place in range(len(rows)) if place not in unread]
    said = _predicted(models.shadow, columns, good)
    made = [Shadow(rows[place][0], *_figures(said, n)) for n, place in enumerate(good)]
    return append_shadow(service.log, made, version=number)


def _answered(service: Service, champion: InUse, batch: Sequence[Asked]) -> Answered:
    reading, schema, now = champion.fast.reading, champion.model.schema, service.clock()
    requests = [entries_of(asked, reading, now=now) for asked in batch]
    flat = [entry for entries in requests for entry in entries]
    columns, unread = read_rows([entry.row for entry in flat], reading)
    named = [asked for asked in batch if can_repeat(asked)]
    asked_before = {
        e.id for a, es in zip(batch, requests, strict=True) if can_repeat(a) for e in es
    }
    said: Said = logged_before(service.log, asked_before) if named else {}
    faults = _faults(batch, requests, unread, schema=schema, now=now, said=said)
    good = _new_places(requests, faults, said)
    figures = _predicted(champion, columns, good)
    made = [_logged(flat[place], *_figures(figures, n)) for n, place in enumerate(good)]
    said |= _in_log(service, made, version=champion.version.number, now=now)
    replies = tuple(
        refusing(_refusal(found)) if found else _reply(entries, said, champion)
        for entries, found in zip(requests, faults, strict=True)
    )
    return Answered(replies, tuple((flat[place].id, flat[place].row) for place in good))


def _faults(  # noqa: PLR0913
    batch: Sequence[Asked],
    requests: Sequence[Sequence[Entry]],
    unread: Mapping[int, Sequence[Breach]],
    *,
    schema: Schema,
    now: datetime,
    said: Said,
) -> list[tuple[Fault, ...]]:
    """Return the faults of each request; of two that give one id to two rows the later has one."""
    taken: dict[str, Entry] = {}
    faults, start = [], 0
    for asked, entries in zip(batch, requests, strict=True):
        mine = {
            place: unread[start + place] for place in range(len(entries)) if start + place in unread
        }
        found = [*request_faults(asked, entries, mine, schema=schema, now=now)]
        found += _taken(asked, entries, said, taken, time=schema.time)
        faults.append(tuple(found[:MOST_FAULTS]))
        taken |= {} if found else {entry.id: entry for entry in entries}
        start += len(entries)
    return faults


def _refusal(faults: tuple[Fault, ...]) -> Refusal:
    taken = all(fault.problem == TAKEN for fault in faults)
    return Refusal(CONFLICT if taken else UNUSABLE, faults)


def _taken(
    asked: Asked,
    entries: Sequence[Entry],
    said: Said,
    taken: Mapping[str, Entry],
    *,
    time: str | None,
) -> Iterator[Fault]:
    for place, entry in enumerate(entries):
        there = said.get(entry.id)
        other = taken.get(entry.id)
        same = there is None or repeats(entry, there[1], time)
        if not same or (other is not None and dict(other.row) != dict(entry.row)):
            yield Fault(f"ids[{place}]" if asked.ids else "request_id", TAKEN)


def _new_places(
    requests: Sequence[Sequence[Entry]], faults: Sequence[tuple[Fault, ...]], said: Said
) -> list[int]:
    """Return the places of the rows that are to be predicted, each id once."""
    places: dict[str, int] = {}
    start = 0
    for entries, found in zip(requests, faults, strict=True):
        for place, entry in enumerate(entries, start):
            if not found and entry.id not in said:
                places.setdefault(entry.id, place)
        start += len(entries)
    return list(places.values())


def _predicted(used: InUse, columns: Columns, good: Sequence[int]) -> Predictions | None:
    if not good:
        return None
    chosen = {name: [values[place] for place in good] for name, values in columns.items()}
    return used.fast.score(encoded(chosen, len(good), used.fast))


def _figures(said: Predictions | None, place: int) -> tuple[float, tuple[float, ...] | None]:
    assert said is not None
    shares = said.probabilities
    return float(said.values[place]), None if shares is None else tuple(shares[place].tolist())


def _logged(entry: Entry, value: float, probabilities: tuple[float, ...] | None) -> Logged:
    return Logged(
        id=entry.id,
        request_id=entry.request_id,
        identifier=entry.identifier,
        moment=entry.moment,
        inputs=orjson.dumps(entry.row).decode(),
        value=value,
        probabilities=probabilities,
    )


def _in_log(service: Service, made: Sequence[Logged], *, version: str, now: datetime) -> Said:
    """Log predictions; return what the log says of their ids, also where another was faster."""
    if not made:
        return {}
    added = append_predictions(service.log, made, version=version, received=now)
    if added < len(made):
        return logged_before(service.log, [each.id for each in made])
    return {each.id: (version, each) for each in made}


def _reply(entries: Sequence[Entry], said: Said, champion: InUse) -> Reply:
    classes = champion.model.schema.classes
    answers = [said[entry.id] for entry in entries]
    versions = {version for version, _ in answers}
    content = {
        "version": versions.pop() if len(versions) == 1 else champion.version.number,
        "request_id": entries[0].request_id,
        "ids": [entry.id for entry in entries],
        "predictions": [_shown(version, logged, classes) for version, logged in answers],
    }
    return Reply(OK, orjson.dumps(content))


def _shown(version: str, logged: Logged, classes: Sequence[str]) -> dict[str, object]:
    if not classes:
        return {"prediction": logged.value, "version": version}
    shares = logged.probabilities or ()
    return {
        "prediction": classes[int(logged.value)],
        "probabilities": dict(zip(classes, shares, strict=False)),
        "version": version,
    }
