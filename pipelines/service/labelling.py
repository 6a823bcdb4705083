"""From labels that a caller tells to the log."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import orjson
import pandas as pd

from pipelines.core.labels import FUTURE, expected_label, label_texts
from pipelines.core.requests import MOST_FAULTS, UNUSABLE, Fault, Refusal, Told
from pipelines.core.schema import Schema
from pipelines.errors import EvertuneError
from pipelines.service.answers import OK, UNREADY, refusing
from pipelines.service.standing import Reply, Service
from pipelines.stores.labels import Label, LabelCounts, append_labels


def labelled(service: Service, told: Sequence[Told]) -> Reply:
    """Return the reply to labels once they are in the log; with a fault in one, none is kept."""
    champion = service.models.champion
    if champion is None:
        return refusing(UNREADY)
    now, schema = service.clock(), champion.model.schema
    texts = label_values([each.label for each in told], schema)
    faults = _faults(told, texts, schema, now)
    if faults:
        return refusing(Refusal(UNUSABLE, faults[:MOST_FAULTS]))
    labels = [
        Label(each.id, str(text), each.moment or now, dated=each.moment is not None)
        for each, text in zip(told, texts, strict=True)
    ]
    try:
        counts = append_labels(service.log, labels, received=now)
    except EvertuneError as error:
        service.complain(error)
        return refusing(UNREADY)
    _count(service, counts)
    return Reply(OK, orjson.dumps(_shown(counts)))


def label_values(raw: Sequence[str | float | bool], schema: Schema) -> list[str | None]:
    """Return labels as the log keeps them, None where one is no label.

    Each distinct label is read once, and those of one type together.
    """
    known: dict[tuple[type, str | float | bool], str | None] = {}
    for kind in {type(label) for label in raw}:
        distinct = list(dict.fromkeys(label for label in raw if type(label) is kind))
        cells = distinct if kind in (str, float, bool) else [str(label) for label in distinct]
        column = pd.Series(cells, dtype="str" if kind in (str, int) else None)
        texts, bad = label_texts(column, schema)
        good = ~bad & texts.notna()
        for label, text, fine in zip(distinct, texts, good, strict=True):
            known[kind, label] = str(text) if fine else None
    return [
        label if isinstance(label, str) and label in schema.classes else known[type(label), label]
        for label in raw
    ]


def _faults(
    told: Sequence[Told], texts: Sequence[str | None], schema: Schema, now: datetime
) -> tuple[Fault, ...]:
    faults = []
    for place, (each, text) in enumerate(zip(told, texts, strict=True)):
        if text is None:
            faults.append(Fault(f"labels[{place}].label", expected_label("", schema)))
        if each.moment is not None and each.moment > now:
            faults.append(Fault(f"labels[{place}].moment", FUTURE))
    return tuple(faults)


def _shown(counts: LabelCounts) -> dict[str, int]:
    cases = ("new", "repeated", "corrected", "early")
    return {case: asdict(counts)[case] for case in cases}


def _count(service: Service, counts: LabelCounts) -> None:
    for case, number in _shown(counts).items():
        service.figures.labels.labels(case).inc(number)
