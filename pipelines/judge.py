"""Judge the model that was evaluated, and write down what was decided about it.

Reads what `pipelines.scene` and `pipelines.gathering` do, the looks at these rows so far, and what
was decided about the version before. Writes the look, before anybody is told what it showed.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile

from pydantic import TypeAdapter

from pipelines.core.judging.evidence import Rules
from pipelines.core.judging.gate import judge
from pipelines.core.judging.looks import Look, look_number, sketch
from pipelines.core.judging.records import (
    Record,
    challenged_aliases,
    holdout_fingerprint,
    promoted_aliases,
    record_id,
)
from pipelines.core.judging.verdicts import Verdict
from pipelines.deciding import VERDICT_TAG
from pipelines.gathering import evidence_of
from pipelines.scene import Scene, Standing, looked_loss, scene_of
from pipelines.sections import Registry
from pipelines.stores import registry, versions
from pipelines.stores.aliases import aliases
from pipelines.stores.database import Log
from pipelines.stores.facts import Facts, digest
from pipelines.stores.records import keep_look, looks, records
from pipelines.stores.tracking import Store

BY = "the gate"


@dataclass(frozen=True, eq=False)
class Case:
    """What the gate is asked.

    Attributes
    ----------
    facts : Facts
    ours : Version
        The version that is judged.
    standing : Version, optional
        The champion, None where there is none yet.
    run_id : str
        The run that shows the version.
    now : datetime
    flow_run : str, optional
        Prefect's id of the run that asks.
    """

    facts: Facts
    ours: registry.Version
    standing: registry.Version | None
    run_id: str
    now: datetime
    flow_run: str | None = None

    @property
    def over(self) -> str | None:
        """The number of the champion."""
        return None if self.standing is None else self.standing.number

    @property
    def basis(self) -> str:
        """Digest of what is judged and against which champion."""
        return digest(self.facts.result, self.over)


def judged(store: Store, log: Log, case: Case) -> tuple[Verdict, Record]:
    """Return what the gate says of a version, and the record of it that is to be carried out.

    The same question gets the same answer. A version that was rolled back, or that a person
    rejected, is not promoted again.

    Parameters
    ----------
    store : Store
    log : Log
        Where records and looks are kept.
    case : Case

    Raises
    ------
    StageError
        Rows were about to judge that one of the two was trained on.
    ParamsError
        `evaluation.slices` or `evaluation.sensitive` names no column of the table.
    """
    back = case.ours.tags.get(registry.ROLLED_BACK_TAG)
    if back is not None and case.standing is not None:
        return _refused(store, case, f"was champion and was rolled back {back}")
    rejected = _rejected(log, case)
    if rejected is not None:
        return _refused(store, case, f"was rejected by {rejected.by}: {rejected.reasons[0]}")
    said = _said_before(log, case)
    return _anew(store, log, case) if said is None else _again(store, case, *said)


def _anew(store: Store, log: Log, case: Case) -> tuple[Verdict, Record]:
    facts, number = case.facts, case.ours.number
    standing = None if case.standing is None else _with_model(store, case.standing)
    scene = scene_of(facts, standing)
    look = 1 if standing is None else _looked(log, _look(case, scene, standing))
    found = evidence_of(facts, scene, standing, number=number, look=look)
    verdict = _of_case(judge(facts.evaluation, found, _rules(facts.params.registry)), case)
    keys = list(scene.rows["row_key"])
    record = replace(
        _record(store, case, verdict),
        metric=facts.evaluation.metric,
        difference=None if found.rival is None else found.rival.difference,
        rival=case.over,
        holdout=holdout_fingerprint(keys),
        n_rows=len(keys),
        n_left_out=len(scene.holdout) - len(keys),
        look=look,
        confidence=found.confidence,
    )
    return verdict, record


def _refused(store: Store, case: Case, why: str) -> tuple[Verdict, Record]:
    reason = f"version {case.ours.number} {why}"
    verdict = _of_case(Verdict("keep", (reason,)), case)
    return verdict, _record(store, case, verdict, "refused", reason)


def _again(store: Store, case: Case, verdict: Verdict, record: Record) -> tuple[Verdict, Record]:
    before = _before(store, case)
    after = _after(verdict, before, case)
    return verdict, replace(record, aliases_before=before, aliases_after=after)


def _said_before(log: Log, case: Case) -> tuple[Verdict, Record] | None:
    tag = case.ours.tags.get(VERDICT_TAG)
    if tag is None:
        return None
    verdict = TypeAdapter(Verdict).validate_json(tag, strict=True)
    wanted = record_id("gate", model=log.model, version=case.ours.number, evidence=[case.basis])
    kept = next((r for r in records(log, version=case.ours.number) if r.id == wanted), None)
    if kept is None or kept.reasons != verdict.reasons or verdict.basis != case.basis:
        return None  # none yet, or the version was refused since, for what holds no more
    return verdict, kept


def _rejected(log: Log, case: Case) -> Record | None:
    """Return the decision of a person who did not approve, unless one promoted it since."""
    found = [each for each in records(log, version=case.ours.number) if each.act != "gate"]
    return found[-1] if found and found[-1].verdict == "keep" else None


def _looked(log: Log, look: Look | None) -> int:
    """Keep a look, and return which one at its rows it is; a second try of it is the same."""
    if look is None:
        return 1
    keep_look(log, look)
    earlier = takewhile(lambda each: each.record_id != look.record_id, looks(log))
    return look_number(look.sketch, earlier)


def _look(case: Case, scene: Scene, standing: Standing) -> Look | None:
    if scene.pair is None:
        return None
    keys, metric = list(scene.rows["row_key"]), scene.metrics[0].name
    compared = (case.facts.identity, standing.identity, metric)
    return Look(
        record_id=digest("look", *compared, holdout_fingerprint(keys)),
        moment=case.now,
        version=case.ours.number,
        rival=standing.version,
        n_rows=len(keys),
        sketch=sketch(keys),
        tests=1 if looked_loss(scene) is None else 2,
    )


def _with_model(store: Store, version: registry.Version) -> Standing:
    return Standing(version.number, version.identity, registry.model_of(store, version))


def _of_case(verdict: Verdict, case: Case) -> Verdict:
    champion = case.ours.number if verdict.promoted else case.over
    return replace(verdict, basis=case.basis, version=case.ours.number, champion=champion)


def _record(store: Store, case: Case, verdict: Verdict, *why: str) -> Record:
    facts, before = case.facts, _before(store, case)
    evidence = [case.basis, *why]
    number, name = case.ours.number, facts.params.registry.name
    return Record(
        id=record_id("gate", model=name, version=number, evidence=evidence),
        moment=case.now,
        model=name,
        act="gate",
        version=number,
        verdict=verdict.decision,
        reasons=verdict.reasons,
        by=BY,
        aliases_before=before,
        aliases_after=_after(verdict, before, case),
        gates=verdict.gates,
        tests=verdict.tests,
        rows_needed=verdict.rows_needed,
        waits_for_approval=verdict.waits_for_approval,
        data=facts.md5s,
        commit=versions.git_commit(facts.root),
        run_id=case.run_id,
        identity=facts.identity,
        search_seconds=facts.evaluation.search.seconds,
        search_trials=facts.evaluation.search.trials,
        flow_run=case.flow_run,
    )


def _before(store: Store, case: Case) -> dict[str, str]:
    """Return the aliases, with the champion that was judged: another one since is refused."""
    others = {alias: each for alias, each in aliases(store).items() if alias != "champion"}
    return others if case.over is None else {**others, "champion": case.over}


def _after(verdict: Verdict, before: dict[str, str], case: Case) -> dict[str, str]:
    moved = promoted_aliases if verdict.promoted else challenged_aliases
    return moved(before, case.ours.number)


def _rules(section: Registry) -> Rules:
    return Rules(**section.gates.model_dump(), approval=section.approval)
