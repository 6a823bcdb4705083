"""The record of a decision about a version, the history of champions, and the page of a record.

A `DecisionRecord` is complete before anything is done about it, so that a reader needs no other
file; the same evidence gives the same id (`make_record_id`). `aliases_after_promotion`,
`aliases_with_challenger` and `aliases_after_rollback` compute where the aliases go. A
`ChampionChange` is an entry of the history, a `ChampionPeriod` how long a version was champion
and why. `record_html` renders a record for a product owner to read and an auditor to check.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.resources import files
from typing import Literal

from jinja2 import Environment, StrictUndefined

from evertune.evaluation.formatting import format_score, metric_name
from evertune.registry.gates import GateResult
from evertune.stats.bootstrap import PairedDifference, TestResult

DecisionKind = Literal["gate", "approval", "promotion", "rollback"]
RecordVerdict = Literal["promote", "keep", "not enough evidence"]
ID_LENGTH = 16  # hexadecimal digits of an id; what follows adds nothing to read


@dataclass(frozen=True)
class DecisionRecord:
    """One decision about a version, complete before it acts.

    Attributes
    ----------
    id : str
        The same evidence gives the same id.
    moment : datetime
    model : str
        `registry.name`.
    act : str
        Who decides: the `gate`, or a person by `approval` of what waited for it or by `promotion`
        of any version; `rollback` goes back to a former champion.
    version : str
        The version that it is about; in a rollback the one that is champion again.
    verdict : str
    reasons : tuple of str
    by : str
        A command, or a person.
    aliases_before, aliases_after : dict of str to str
        The version that has each alias, before the decision and once it is done.
    gates : tuple of GateResult
    tests : tuple of TestResult
    metric : str, optional
        The metric that decides.
    difference : PairedDifference, optional
        By how much the version is better than its rival.
    rival : str, optional
        The champion that it was compared with.
    holdout : str, optional
        Fingerprint of the rows that judged: SHA-256 over their sorted keys.
    n_rows : int, optional
        Rows that judged.
    n_left_out : int, optional
        Rows that did not, since one of the two was trained on them.
    look : int, optional
        How often these rows have been looked at, this time included.
    confidence : float, optional
        Of the intervals, after what earlier looks have spent.
    data : dict of str to str
        DVC's md5 of each table that the version came from.
    commit : str, optional
        Of the code.
    run_id : str, optional
        The run that shows how the version was made.
    identity : str, optional
        Hash of the model's files.
    search_seconds : float, optional
    search_trials : int, optional
    flow_run : str, optional
        Prefect's id of the run that decided.
    waits_for_approval : bool
        Whether all that is missing is a person's approval.
    rows_needed : int, optional
        About how many rows would tell, where those at hand do not.
    """

    id: str
    moment: datetime
    model: str
    act: DecisionKind
    version: str
    verdict: RecordVerdict
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


def make_record_id(
    act: DecisionKind, *, model: str, version: str, evidence: Sequence[str | int | float | None]
) -> str:
    """Return the id of a decision: the same evidence, the same id.

    Parameters
    ----------
    act : str
    model, version : str
    evidence : sequence
        What decides: the verdict, the champion before, digests of what was judged.

    Examples
    --------
    >>> make_record_id("gate", model="churn", version="2", evidence=["promote", "1"])
    '991a83871632f393'
    """
    text = json.dumps([act, model, version, *evidence])
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True)
class ChampionChange:
    """A version that became champion.

    Attributes
    ----------
    number : int
        Counts the model's champions.
    version : str
    previous : str, optional
        The champion before it, None for the first.
    moment : datetime
    record_id : str, optional
        The decision that made it champion; None where it was before there were records, or by
        another hand than ours.
    """

    number: int
    version: str
    previous: str | None
    moment: datetime
    record_id: str | None = None


def holdout_fingerprint(row_keys: Sequence[str]) -> str:
    """Return the SHA-256 over the sorted keys of the rows that judge.

    Examples
    --------
    >>> holdout_fingerprint(["b", "a"]) == holdout_fingerprint(["a", "b"])
    True
    """
    return hashlib.sha256("\n".join(sorted(row_keys)).encode()).hexdigest()


def aliases_after_promotion(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a version is champion.

    The champion before it is `previous`. There is no challenger then, unless that is a newer
    version, which waits for the next one.

    Examples
    --------
    >>> aliases_after_promotion({"champion": "1", "challenger": "2"}, "2")
    {'champion': '2', 'previous': '1'}
    """
    after = {**_with_champion(before, version)}
    waiting = before.get("challenger")
    if waiting is not None and int(waiting) <= int(version):
        del after["challenger"]
    return after


def aliases_with_challenger(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a version is challenger; the champion is never its own.

    Examples
    --------
    >>> aliases_with_challenger({"champion": "1"}, "2")
    {'champion': '1', 'challenger': '2'}
    """
    if before.get("champion") == version:
        return dict(before)
    return {**before, "challenger": version}


def aliases_after_rollback(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a former champion is champion again; another challenger stays.

    Examples
    --------
    >>> aliases_after_rollback({"champion": "2", "previous": "1", "challenger": "3"}, "1")
    {'champion': '1', 'previous': '2', 'challenger': '3'}
    """
    after = _with_champion(before, version)
    return {alias: v for alias, v in after.items() if (alias, v) != ("challenger", version)}


def _with_champion(before: Mapping[str, str], version: str) -> dict[str, str]:
    over = before.get("champion")
    if over == version:
        return dict(before)
    return {**before, "champion": version, **({} if over is None else {"previous": over})}


@dataclass(frozen=True)
class ChampionPeriod:
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


def merge_champion_history(
    reigns: Sequence[ChampionChange], earlier: Iterable[tuple[datetime, str]]
) -> tuple[ChampionChange, ...]:
    """Return the champions that are recorded, after those that older versions tell of.

    Parameters
    ----------
    reigns : sequence of ChampionChange
        Oldest first.
    earlier : iterable of (datetime, str)
        When a version became champion, as far as it is known from elsewhere; what lies after the
        first record is left out.

    Examples
    --------
    >>> day = lambda n: datetime(2024, 5, n)
    >>> found = merge_champion_history([ChampionChange(1, "2", None, day(3))], [(day(2), "2"), (day(1), "1")])
    >>> [(reign.number, reign.version, reign.previous) for reign in found]
    [(1, '1', None), (2, '2', '1')]
    """
    known = [(each.moment, each.version, each.record_id) for each in reigns]
    before = [
        (moment, version, None)
        for moment, version in sorted(earlier)
        if not known or moment < known[0][0]
    ]
    turns: list[ChampionChange] = []
    for moment, version, record_id in [*before, *known]:
        last = turns[-1].version if turns else None
        if version != last:
            turns.append(ChampionChange(len(turns) + 1, version, last, moment, record_id))
        elif turns[-1].record_id is None:  # registered a moment before it was decided about
            turns[-1] = replace(turns[-1], moment=moment, record_id=record_id)
    return tuple(turns)


def champion_periods(
    reigns: Sequence[ChampionChange], records: Iterable[DecisionRecord], figures: dict[str, str]
) -> tuple[ChampionPeriod, ...]:
    """Return the champions, oldest first, each with the decision that made it one.

    Parameters
    ----------
    reigns : sequence of ChampionChange
        Oldest first.
    records : iterable of DecisionRecord
    figures : dict of str to str
        The key figure of each version, as text.
    """
    by_id = {record.id: record for record in records}
    ends: list[datetime | None] = [*(each.moment for each in reigns[1:]), None]
    return tuple(
        _champion_period(reign, until, record=by_id.get(reign.record_id or ""), figures=figures)
        for reign, until in zip(reigns, ends, strict=False)
    )


def _champion_period(
    reign: ChampionChange,
    until: datetime | None,
    *,
    record: DecisionRecord | None,
    figures: dict[str, str],
) -> ChampionPeriod:
    return ChampionPeriod(
        version=reign.version,
        since=reign.moment,
        until=until,
        act="unknown" if record is None else record.act,
        by="" if record is None else record.by,
        reason="" if record is None or not record.reasons else record.reasons[0],
        figure=figures.get(reign.version, ""),
        record_id=reign.record_id,
    )


CHART_WIDTH, CHART_MARGIN = 600, 20
SHOWN_ALIASES = ("champion", "previous", "challenger")


@dataclass(frozen=True)
class IntervalBar:
    """An interval beside zero, as places from left to right on a picture."""

    zero: float
    low: float
    mean: float
    high: float


def record_html(record: DecisionRecord) -> str:
    """Return a page that needs no other file.

    Parameters
    ----------
    record : DecisionRecord
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": format_score, "metric": metric_name, "signed": signed_text}
    text = files("evertune.templates").joinpath("decision.html.jinja")
    return environment.from_string(text.read_text(encoding="utf-8")).render(
        r=record,
        headline=record_headline(record),
        ruling=verdict_text(record),
        aliases=SHOWN_ALIASES,
        bar=interval_bar(record.difference),
    )


def record_headline(record: DecisionRecord) -> str:
    """Return what was decided, in a few words.

    Examples
    --------
    >>> from datetime import datetime
    >>> made = DecisionRecord("a", datetime(2024, 5, 1), "churn", "gate", "3", "keep", (), "", {}, {})
    >>> record_headline(made)
    'Version 3 is refused'
    """
    said = {
        ("gate", "promote"): "becomes champion",
        ("gate", "keep"): "is refused",
        ("gate", "not enough evidence"): "is not promoted: there is not enough evidence",
        ("approval", "promote"): "is approved, and becomes champion",
        ("approval", "keep"): "is rejected",
        ("promotion", "promote"): "is made champion by hand",
        ("rollback", "promote"): "is champion again",
    }
    words = said.get((record.act, record.verdict), record.verdict)
    return f"Version {record.version} {'waits for approval' if awaits_approval(record) else words}"


def verdict_text(record: DecisionRecord) -> str:
    """Return the verdict in the words of who gave it.

    Examples
    --------
    >>> from datetime import datetime
    >>> verdict_text(DecisionRecord("a", datetime(2024, 5, 1), "churn", "gate", "3", "keep", (), "", {}, {}))
    'Verdict: keep'
    """
    if awaits_approval(record):
        return "Every gate is passed; a person has to approve"
    answer = "Approved" if record.verdict == "promote" else "Rejected"
    by_hand = {"approval": answer, "promotion": "Promoted by hand", "rollback": "Rolled back"}
    return by_hand.get(record.act, f"Verdict: {record.verdict}")


def awaits_approval(record: DecisionRecord) -> bool:
    """Return whether it is the gate's word that only a person's approval is missing."""
    return record.act == "gate" and record.waits_for_approval


def signed_text(value: float | None) -> str:
    """Return a difference with its sign.

    Examples
    --------
    >>> signed_text(0.01234), signed_text(None)
    ('+0.01234', '-')
    """
    return "-" if value is None else f"{value:+.4g}"


def interval_bar(difference: PairedDifference | None) -> IntervalBar | None:
    """Return where the ends of an interval lie on a picture, None where one is missing.

    Examples
    --------
    >>> interval_bar(PairedDifference(mean=1.0, low=0.0, high=2.0, share_better=None, n_rows=9))
    IntervalBar(zero=20.0, low=20.0, mean=300.0, high=580.0)
    """
    if difference is None or difference.mean is None:
        return None
    if difference.low is None or difference.high is None:
        return None
    marks = (0.0, difference.low, difference.mean, difference.high)
    least, span = min(marks), (max(marks) - min(marks)) or 1.0
    places = [
        CHART_MARGIN + (CHART_WIDTH - 2 * CHART_MARGIN) * (mark - least) / span for mark in marks
    ]
    return IntervalBar(*(round(place, 1) for place in places))
