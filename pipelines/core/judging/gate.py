"""The gate: whether a new model takes the place of the champion, and why.

Every gate says `pass`, `fail`, `unknown` or `off`. One that fails keeps the champion. One that is
unknown does, too, for what is not known is no pass.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipelines.core.evaluation import Evaluation
from pipelines.core.judging.baseline_gates import EVALUATED, rows_for_baselines
from pipelines.core.judging.champion_gate import champion_gate, is_known
from pipelines.core.judging.evidence import Evidence, Rules
from pipelines.core.judging.limit_gates import LIMITS, rows_gate
from pipelines.core.judging.power import rows_needed
from pipelines.core.judging.verdicts import GateResult, Verdict

TELLING = ("baselines", "existing", "champion")  # the gates whose passing says why it is better
SWITCHED_OFF = "switched off in params.yaml"


def judge(evaluation: Evaluation, evidence: Evidence, rules: Rules) -> Verdict:
    """Return whether the model that the evaluation chose becomes champion.

    Parameters
    ----------
    evaluation : Evaluation
    evidence : Evidence
    rules : Rules
        Which gates are on, and what they allow.

    Returns
    -------
    Verdict
        `keep` where a gate fails, `not enough evidence` where none does and one is unknown,
        `promote` else. A version that passes and that a person has to approve waits.
    """
    gates = tuple(_gates(evaluation, evidence, rules))
    found = _decided(gates, evidence, rules)
    whole = replace(
        found,
        tests=evidence.tests,
        version=evidence.version,
        look=evidence.look,
        confidence=evidence.confidence,
    )
    return _with_rows(whole, evaluation, evidence) if _lacks_rows(whole) else whole


def _gates(evaluation: Evaluation, evidence: Evidence, rules: Rules) -> Iterator[GateResult]:
    yield rows_gate(evidence)
    for name, gate in EVALUATED.items():
        yield gate(evaluation) if getattr(rules, name) else _off(name)
    yield champion_gate(evidence, evaluation.metric) if rules.champion else _off("champion")
    for name, limited in LIMITS.items():
        limit = getattr(rules, name)
        is_off = limit is None or limit is False
        yield _off(name) if is_off else limited(evidence, float(limit))


def _decided(gates: Sequence[GateResult], evidence: Evidence, rules: Rules) -> Verdict:
    failed, unknown = _reasons(gates, "fail"), _reasons(gates, "unknown")
    if failed:
        return Verdict("keep", failed, gates=(*gates, _not_asked(rules)))
    if unknown:
        return Verdict("not enough evidence", unknown, gates=(*gates, _not_asked(rules)))
    passed = tuple(each.reason for each in gates if each.outcome == "pass" and each.name in TELLING)
    if not rules.approval:
        return Verdict("promote", passed, gates=(*gates, _not_asked(rules)))
    waits = f"waits for `evertune approve {evidence.version} --reason ...`"
    asked = (*gates, GateResult("approval", "unknown", waits))
    return Verdict("not enough evidence", (waits, *passed), gates=asked, waits_for_approval=True)


def _lacks_rows(verdict: Verdict) -> bool:
    return verdict.decision == "not enough evidence" and not verdict.waits_for_approval


def _with_rows(verdict: Verdict, evaluation: Evaluation, evidence: Evidence) -> Verdict:
    """Return the verdict with the rows that judged, and about how many would tell."""
    unknown = {each.name for each in verdict.gates if each.outcome == "unknown"}
    if unknown & {"baselines", "existing"}:
        needed = rows_for_baselines(evaluation)
        return replace(verdict, rows_needed=needed, n_rows=evaluation.n_holdout)
    found = evidence.rival.difference if evidence.rival else None
    if "champion" not in unknown or found is None or not is_known(found):
        return verdict
    return replace(verdict, rows_needed=rows_needed(found), n_rows=found.n_rows)


def _reasons(gates: Sequence[GateResult], outcome: str) -> tuple[str, ...]:
    return tuple(each.reason for each in gates if each.outcome == outcome)


def _off(name: str) -> GateResult:
    return GateResult(name, "off", SWITCHED_OFF)


def _not_asked(rules: Rules) -> GateResult:
    reason = "asked once every other gate is passed" if rules.approval else SWITCHED_OFF
    return GateResult("approval", "off", reason)
