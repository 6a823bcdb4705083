"""The history of champions as people read it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipelines.core.judging.records import Record, Reign


@dataclass(frozen=True)
class Turn:
    """How long a version was champion, and how it came to be.

    Attributes
    ----------
    version : str
    since : datetime
    until : datetime, optional
        None where it still is.
    act : str
        What made it champion; "unknown" where no record tells.
    by : str
    reason : str
        The first one of the record.
    figure : str
        Its key figure, such as `roc_auc 0.87`; empty where it is not known.
    record_id : str, optional
    """

    version: str
    since: datetime
    until: datetime | None
    act: str
    by: str
    reason: str
    figure: str
    record_id: str | None


def whole_history(
    reigns: Sequence[Reign], earlier: Iterable[tuple[datetime, str]]
) -> tuple[Reign, ...]:
    """Return the champions that are recorded, after those that older versions tell of.

    Parameters
    ----------
    reigns : sequence of Reign
        Oldest first.
    earlier : iterable of (datetime, str)
        When a version became champion, as far as it is known from elsewhere; what lies after the
        first record is left out.

    Examples
    --------
    >>> day = lambda n: datetime(2024, 5, n)
    >>> found = whole_history([Reign(1, "2", None, day(3))], [(day(2), "2"), (day(1), "1")])
    >>> [(reign.number, reign.version, reign.previous) for reign in found]
    [(1, '1', None), (2, '2', '1')]
    """
    known = [(each.moment, each.version, each.record_id) for each in reigns]
    before = [
        (moment, version, None)
        for moment, version in sorted(earlier)
        if not known or moment < known[0][0]
    ]
    turns: list[Reign] = []
    for moment, version, record_id in [*before, *known]:
        last = turns[-1].version if turns else None
        if version != last:
            turns.append(Reign(len(turns) + 1, version, last, moment, record_id))
        elif turns[-1].record_id is None:  # registered a moment before it was decided about
            turns[-1] = replace(turns[-1], moment=moment, record_id=record_id)
    return tuple(turns)


def turns_of(
    reigns: Sequence[Reign], records: Iterable[Record], figures: dict[str, str]
) -> tuple[Turn, ...]:
    """Return the champions, oldest first, each with the decision that made it one.

    Parameters
    ----------
    reigns : sequence of Reign
        Oldest first.
    records : iterable of Record
    figures : dict of str to str
        The key figure of each version, as text.
    """
    by_id = {record.id: record for record in records}
    ends: list[datetime | None] = [*(each.moment for each in reigns[1:]), None]
    return tuple(
        _turn(reign, until, record=by_id.get(reign.record_id or ""), figures=figures)
        for reign, until in zip(reigns, ends, strict=False)
    )


def _turn(
    reign: Reign, until: datetime | None, *, record: Record | None, figures: dict[str, str]
) -> Turn:
    return Turn(
        version=reign.version,
        since=reign.moment,
        until=until,
        act="unknown" if record is None else record.act,
        by="" if record is None else record.by,
        reason="" if record is None or not record.reasons else record.reasons[0],
        figure=figures.get(reign.version, ""),
        record_id=reign.record_id,
    )
