"""The record of a decision about a version, and which version was champion when.

A record is complete before anything is done about it: who reads it later needs no other file.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pipelines.core.intervals import Difference
from pipelines.core.judging.results import TestResult
from pipelines.core.judging.verdicts import GateResult

Act = Literal["gate", "approval", "promotion", "rollback"]
RecordVerdict = Literal["promote", "keep", "not enough evidence"]
LENGTH = 16  # hexadecimal digits of an id; what follows adds nothing to read


@dataclass(frozen=True)
class Record:
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
    difference : Difference, optional
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
    act: Act
    version: str
    verdict: RecordVerdict
    reasons: tuple[str, ...]
    by: str
    aliases_before: dict[str, str]
    aliases_after: dict[str, str]
    gates: tuple[GateResult, ...] = ()
    tests: tuple[TestResult, ...] = ()
    metric: str | None = None
    difference: Difference | None = None
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
class Reign:
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


def record_id(
    act: Act, *, model: str, version: str, evidence: Sequence[str | int | float | None]
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
    >>> record_id("gate", model="churn", version="2", evidence=["promote", "1"])
    '991a83871632f393'
    """
    text = json.dumps([act, model, version, *evidence])
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def holdout_fingerprint(row_keys: Sequence[str]) -> str:
    """Return the SHA-256 over the sorted keys of the rows that judge.

    Examples
    --------
    >>> holdout_fingerprint(["b", "a"]) == holdout_fingerprint(["a", "b"])
    True
    """
    return hashlib.sha256("\n".join(sorted(row_keys)).encode()).hexdigest()


def promoted_aliases(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a version is champion.

    The champion before it is `previous`. There is no challenger then, unless that is a newer
    version, which waits for the next one.

    Examples
    --------
    >>> promoted_aliases({"champion": "1", "challenger": "2"}, "2")
    {'champion': '2', 'previous': '1'}
    """
    after = {**_crowned(before, version)}
    waiting = before.get("challenger")
    if waiting is not None and int(waiting) <= int(version):
        del after["challenger"]
    return after


def challenged_aliases(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a version is challenger; the champion is never its own.

    Examples
    --------
    >>> challenged_aliases({"champion": "1"}, "2")
    {'champion': '1', 'challenger': '2'}
    """
    if before.get("champion") == version:
        return dict(before)
    return {**before, "challenger": version}


def rolled_back_aliases(before: Mapping[str, str], version: str) -> dict[str, str]:
    """Return the aliases once a former champion is champion again; another challenger stays.

    Examples
    --------
    >>> rolled_back_aliases({"champion": "2", "previous": "1", "challenger": "3"}, "1")
    {'champion': '1', 'previous': '2', 'challenger': '3'}
    """
    after = _crowned(before, version)
    return {alias: v for alias, v in after.items() if (alias, v) != ("challenger", version)}


def _crowned(before: Mapping[str, str], version: str) -> dict[str, str]:
    over = before.get("champion")
    if over == version:
        return dict(before)
    return {**before, "champion": version, **({} if over is None else {"previous": over})}
