"""The record of a decision about a version, and the history of champions.

A `DecisionRecord` is complete before anything is done about it, so that a reader needs no other
file; the same evidence gives the same id (`make_record_id`). A `ChampionChange` is an entry of
the history of champions, a `ChampionPeriod` says how long a version was champion and why.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from evertune.decisions import GateVerdict
from evertune.stats.results import PairedDifference, TestResult

DecisionKind = Literal["gate", "approval", "promotion", "rollback"]
GateOutcome = Literal["pass", "fail", "unknown", "off"]
ID_LENGTH = 16  # hexadecimal digits


@dataclass(frozen=True)
class GateResult:
    """The outcome of one gate; `off` if it is switched off or has nothing to judge."""

    name: str
    outcome: GateOutcome
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the gates say about a version; stored with it.

    Attributes
    ----------
    rows_needed : int, optional
        About how many hold-out rows would tell, if the difference stays as it is.
    version, champion : str, optional
        The version that was judged, and the champion after the verdict.
    basis : str, optional
        Digest of what was judged and against which champion: the same basis, the same verdict.
    n_rows : int, optional
        Compared hold-out rows, if they cannot tell.
    gates : tuple of GateResult
        In the order in which they are evaluated.
    look : int
        How often these hold-out rows have been used for a decision, this time included.
    confidence : float
        Of the interval of the difference from the champion.
    waits_for_approval : bool
        Whether all gates are passed and only a person's approval is missing.
    is_first : bool
        Whether there was no champion before.
    """

    decision: GateVerdict
    reasons: tuple[str, ...]
    rows_needed: int | None = None
    version: str | None = None
    champion: str | None = None
    basis: str | None = None
    n_rows: int | None = None
    gates: tuple[GateResult, ...] = ()
    tests: tuple[TestResult, ...] = ()
    look: int = 1
    confidence: float = 0.95
    waits_for_approval: bool = False
    is_first: bool = False

    @property
    def promoted(self) -> bool:
        """Whether the version is the champion now."""
        return self.decision == "promote"


@dataclass(frozen=True)
class DecisionRecord:
    """One decision about a version, complete before it acts.

    Attributes
    ----------
    id : str
        The same evidence gives the same id.
    model : str
        `registry.name`.
    act : str
        The `gate`, or a person: `approval` of what waited for it, `promotion` of any version, or
        `rollback` to a former champion.
    version : str
        The version that it is about; in a rollback the one that is champion again.
    by : str
        A command, or a person.
    aliases_before, aliases_after : dict of str to str
        The version that has each alias, before the decision and once it is done.
    metric : str, optional
        The metric that decides.
    difference : PairedDifference, optional
        By how much the version is better than the champion that it was compared with (`rival`).
    holdout : str, optional
        Fingerprint of the compared rows: SHA-256 over their sorted keys.
    n_rows, n_left_out : int, optional
        Compared rows, and hold-out rows left out because one of the two models was trained on
        them.
    look : int, optional
        The number of this use of these rows.
    confidence : float, optional
        Of the intervals, after what earlier uses have spent.
    data : dict of str to str
        DVC's md5 of each table that the version came from.
    run_id : str, optional
        The run that shows how the version was made.
    identity : str, optional
        Hash of the model's files.
    flow_run : str, optional
        Prefect's id of the run that decided.
    waits_for_approval : bool
        Whether only a person's approval is missing.
    rows_needed : int, optional
        About how many rows would tell, if these do not.
    """

    id: str
    moment: datetime
    model: str
    act: DecisionKind
    version: str
    verdict: GateVerdict
    reasons: tuple[str, ...]
    by: str
    aliases_before: dict[str, str]
    aliases_after: dict[str, str]
    gates: tuple[GateResult, ...] = ()
    tests: tuple[TestResult, ...] = ()
    metric: str | None = None
    difference: PairedDifference | None = None
    rival: str | None = None
    holdout: str | None = None
    n_rows: int | None = None
    n_left_out: int | None = None
    look: int | None = None
    confidence: float | None = None
    data: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    run_id: str | None = None
    identity: str | None = None
    search_seconds: float | None = None
    search_trials: int | None = None
    flow_run: str | None = None
    waits_for_approval: bool = False
    rows_needed: int | None = None

    @property
    def changes_champion(self) -> bool:
        """Whether another version is champion once it is done."""
        return self.aliases_before.get("champion") != self.aliases_after.get("champion")


@dataclass(frozen=True)
class ChampionChange:
    """A version that became champion; `number` counts the model's champions.

    `record_id` is the decision that made it champion; None if it was before there were records,
    or if somebody else moved the alias.
    """

    number: int
    version: str
    previous: str | None
    moment: datetime
    record_id: str | None = None


@dataclass(frozen=True)
class ChampionPeriod:
    """How long a version was champion (`until` is None if it still is), and why.

    `act` is the kind of decision, "unknown" without a record; `score` is the key metric as text,
    such as `roc_auc 0.87`, or empty.
    """

    version: str
    since: datetime
    until: datetime | None
    act: str
    by: str
    reason: str
    score: str
    record_id: str | None


def make_record_id(
    act: DecisionKind, *, model: str, version: str, evidence: Sequence[str | int | float | None]
) -> str:
    """Return the id of a decision: the same evidence, the same id.

    Examples
    --------
    >>> make_record_id("gate", model="churn", version="2", evidence=["promote", "1"])
    '991a83871632f393'
    """
    text = json.dumps([act, model, version, *evidence])
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


def holdout_fingerprint(row_keys: Sequence[str]) -> str:
    """Return the SHA-256 over the sorted keys of the compared rows."""
    return hashlib.sha256("\n".join(sorted(row_keys)).encode()).hexdigest()


def merge_champion_history(
    changes: Sequence[ChampionChange], earlier: Iterable[tuple[datetime, str]]
) -> tuple[ChampionChange, ...]:
    """Return the recorded champions, after those known from elsewhere.

    Parameters
    ----------
    changes : sequence of ChampionChange
        Recorded ones, oldest first.
    earlier : iterable of (datetime, str)
        When a version became champion, as far as tags and outcomes tell; what lies after the
        first record is left out.

    Examples
    --------
    >>> day = lambda n: datetime(2024, 5, n)
    >>> recorded = [ChampionChange(1, "2", None, day(3))]
    >>> found = merge_champion_history(recorded, [(day(2), "2"), (day(1), "1")])
    >>> [(change.number, change.version, change.previous) for change in found]
    [(1, '1', None), (2, '2', '1')]
    """
    known = [(each.moment, each.version, each.record_id) for each in changes]
    before = [
        (moment, version, None)
        for moment, version in sorted(earlier)
        if not known or moment < known[0][0]
    ]
    merged: list[ChampionChange] = []
    for moment, version, record_id in [*before, *known]:
        last = merged[-1].version if merged else None
        if version != last:
            merged.append(ChampionChange(len(merged) + 1, version, last, moment, record_id))
        elif merged[-1].record_id is None:  # registered a moment before the decision about it
            merged[-1] = replace(merged[-1], moment=moment, record_id=record_id)
    return tuple(merged)


def champion_periods(
    changes: Sequence[ChampionChange],
    records: Iterable[DecisionRecord],
    scores: Mapping[str, str],
) -> tuple[ChampionPeriod, ...]:
    """Return the champions, oldest first, each with the decision that made it one.

    Parameters
    ----------
    changes : sequence of ChampionChange
        Oldest first.
    scores : mapping of str to str
        The key metric of each version, as text.
    """
    by_id = {record.id: record for record in records}
    ends: list[datetime | None] = [*(each.moment for each in changes[1:]), None]
    periods = []
    for change, until in zip(changes, ends, strict=False):
        record = by_id.get(change.record_id or "")
        periods.append(
            ChampionPeriod(
                version=change.version,
                since=change.moment,
                until=until,
                act="unknown" if record is None else record.act,
                by="" if record is None else record.by,
                reason=record.reasons[0] if record and record.reasons else "",
                score=scores.get(change.version, ""),
                record_id=change.record_id,
            )
        )
    return tuple(periods)
