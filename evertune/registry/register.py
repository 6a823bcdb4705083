"""Register the evaluated model, judge it by the gates and make it champion if it passes.

`register` reads what the stages wrote and what DVC recorded of it. It logs a run that shows
everything, registers a version, and applies the verdict with `evertune.registry.promotion`. The
same question gets the same answer, and a version that was rolled back or rejected by a person is
not promoted again. The use of the hold-out is saved before anybody sees what it showed. Killed at
any point it can be run again: a run is found by what it shows, a version by the hash of its
model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from pydantic import TypeAdapter

from evertune.config.loader import load_params
from evertune.database import record_to_json
from evertune.errors import StageError
from evertune.evaluation.evaluation_record import chosen_model_metrics
from evertune.files import read_record, read_table
from evertune.models.persistence import load_model
from evertune.plan import Plan
from evertune.registry.decision_log import DecisionLog
from evertune.registry.evidence import (
    ChampionModel,
    HoldoutComparison,
    compare_on_holdout,
    gather_evidence,
    unseen_mask,
)
from evertune.registry.gates import Verdict, evaluate_gates
from evertune.registry.holdout_reuse import HoldoutUse, holdout_use_number, row_key_sketch
from evertune.registry.inputs import (
    RegistrationInputs,
    environment_text,
    json_digest,
    params_values,
    read_registration_inputs,
)
from evertune.registry.model_registry import ROLLED_BACK_TAG, ModelRegistry, ModelVersion
from evertune.registry.pages import (
    evaluation_description,
    evaluation_metrics,
    evaluation_tags,
    evaluation_title,
    flatten_params,
    input_types,
    model_settings,
    output_types,
)
from evertune.registry.promotion import (
    VERDICT_TAG,
    aliases_after_promotion,
    aliases_with_challenger,
    apply_decision,
    open_decisions,
    resume_decision,
)
from evertune.registry.promotion_records import DecisionRecord, holdout_fingerprint, make_record_id
from evertune.registry.run_page import (
    METRIC_TAG_PREFIX,
    MODE_TAG,
    LoggedDataset,
    ModelDescription,
    RunPage,
)
from evertune.search.leaderboard import leaderboard
from evertune.versioning import dvc, git

DECIDED_BY_GATE = "the gate"
FLOW_RUN_TAG = "prefect.flow_run"
EXAMPLE_ROWS = 3


def register(root: Path, *, flow_run: str | None = None) -> Verdict:
    """Register the project's model and return whether it is the champion now.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    flow_run : str, optional
        Prefect's id of the run that registers, for the record of the decision.

    Raises
    ------
    StageError
        A stage is not up to date, or the model was trained on hold-out rows.
    BusyError
        MLflow does not answer, or another version has become champion in the meantime.
    """
    inputs = read_registration_inputs(root, load_params(root))
    _check_holdout_unseen(inputs)
    with open_decisions(root) as (registry, log):
        run_id = _log_run(registry, inputs, flow_run)
        version = registry.register_version(
            run_id, model=inputs.model, description=_model_description(inputs)
        )
        champion = registry.champion()
        if champion is not None and champion.number == version.number:
            resume_decision(registry, log, act="gate", version=version.number)
            reason = f"version {version.number} is the champion already"
            return Verdict("promote", (reason,), version=version.number, champion=version.number)
        request = GateRequest(inputs, version, champion, run_id, datetime.now(UTC), flow_run)
        verdict, record = judge_version(registry, log, request)
        text = record_to_json(verdict)
        registry.log_text(run_id, name="verdict.json", text=text)
        registry.describe_version(
            version.number,
            tags={VERDICT_TAG: text},
            description=evaluation_description(inputs.evaluation),
        )
        apply_decision(registry, log, record)
        return verdict


@dataclass(frozen=True, eq=False)
class GateRequest:
    """What the gates are asked.

    Attributes
    ----------
    version : ModelVersion
        The version that is judged.
    champion : ModelVersion, optional
        None if there is none yet.
    run_id : str
        The run that shows the version.
    flow_run : str, optional
        Prefect's id of the run that asks.
    """

    inputs: RegistrationInputs
    version: ModelVersion
    champion: ModelVersion | None
    run_id: str
    now: datetime
    flow_run: str | None = None

    @property
    def champion_number(self) -> str | None:
        """The number of the champion."""
        return None if self.champion is None else self.champion.number

    @property
    def basis(self) -> str:
        """Digest of what is judged and against which champion."""
        return json_digest(self.inputs.result, self.champion_number)


def judge_version(
    registry: ModelRegistry, log: DecisionLog, request: GateRequest
) -> tuple[Verdict, DecisionRecord]:
    """Return the gates' verdict about a version, and the record that is to be carried out.

    The same question gets the same answer. A version that was rolled back, or that a person
    rejected, is not promoted again.
    """
    number, aliases = request.version.number, registry.aliases()
    back_to = request.version.tags.get(ROLLED_BACK_TAG)
    if back_to is not None and request.champion is not None:
        return _refuse(request, aliases, f"was champion and was rolled back {back_to}")
    by_persons = [each for each in log.records(version=number) if each.act != "gate"]
    if by_persons and by_persons[-1].verdict == "keep":
        last = by_persons[-1]
        return _refuse(request, aliases, f"was rejected by {last.by}: {last.reasons[0]}")
    previous = _previous_verdict(log, request)
    if previous is not None:
        verdict, record = previous
        before, after = _aliases(request, verdict, aliases)
        return verdict, replace(record, aliases_before=before, aliases_after=after)
    return _judge(registry, log, request, aliases)


def _judge(
    registry: ModelRegistry, log: DecisionLog, request: GateRequest, aliases: Mapping[str, str]
) -> tuple[Verdict, DecisionRecord]:
    inputs, number, champion = request.inputs, request.version.number, None
    if request.champion is not None:
        model = registry.load_model(request.champion)
        champion = ChampionModel(request.champion.number, request.champion.identity, model)
    comparison = compare_on_holdout(inputs, champion)
    keys = list(comparison.rows["row_key"])
    look = 1
    if champion is not None and comparison.pair is not None:
        look = _count_holdout_use(log, request, comparison, champion)
    evidence = gather_evidence(inputs, comparison, champion, number=number, look=look)
    section = inputs.params.registry
    verdict = evaluate_gates(inputs.evaluation, evidence, section.gates, approval=section.approval)
    verdict = _with_champion(request, verdict)
    found = evidence.champion
    record = replace(
        _decision_record(request, verdict, aliases),
        metric=inputs.evaluation.metric,
        difference=None if found is None else found.difference,
        rival=request.champion_number,
        holdout=holdout_fingerprint(keys),
        n_rows=len(keys),
        n_left_out=len(comparison.holdout) - len(keys),
        look=look,
        confidence=evidence.confidence,
    )
    return verdict, record


def _refuse(
    request: GateRequest, aliases: Mapping[str, str], why: str
) -> tuple[Verdict, DecisionRecord]:
    reason = f"version {request.version.number} {why}"
    verdict = _with_champion(request, Verdict("keep", (reason,)))
    return verdict, _decision_record(request, verdict, aliases, "refused", reason)


def _previous_verdict(
    log: DecisionLog, request: GateRequest
) -> tuple[Verdict, DecisionRecord] | None:
    tag, number = request.version.tags.get(VERDICT_TAG), request.version.number
    if tag is None:
        return None
    verdict = TypeAdapter(Verdict).validate_json(tag, strict=True)
    wanted = make_record_id("gate", model=log.model, version=number, evidence=[request.basis])
    kept = next((each for each in log.records(version=number) if each.id == wanted), None)
    if kept is None or kept.reasons != verdict.reasons or verdict.basis != request.basis:
        return None  # none yet, or the version was refused since, for what holds no more
    return verdict, kept


def _count_holdout_use(
    log: DecisionLog, request: GateRequest, comparison: HoldoutComparison, champion: ChampionModel
) -> int:
    """Save a use of the hold-out and return its number; the same comparison is one use."""
    keys, metric = list(comparison.rows["row_key"]), comparison.metrics[0].name
    compared = (request.inputs.identity, champion.identity, metric)
    use = HoldoutUse(
        record_id=json_digest("look", *compared, holdout_fingerprint(keys)),
        moment=request.now,
        version=request.version.number,
        rival=champion.version,
        n_rows=len(keys),
        sketch=row_key_sketch(keys),
        tests=1 if comparison.secondary_loss is None else 2,
    )
    log.save_holdout_use(use)
    earlier = takewhile(lambda each: each.record_id != use.record_id, log.holdout_uses())
    return holdout_use_number(use.sketch, earlier)


def _with_champion(request: GateRequest, verdict: Verdict) -> Verdict:
    number = request.version.number
    champion = number if verdict.promoted else request.champion_number
    return replace(verdict, basis=request.basis, version=number, champion=champion)


def _decision_record(
    request: GateRequest, verdict: Verdict, aliases: Mapping[str, str], *why: str
) -> DecisionRecord:
    inputs, number = request.inputs, request.version.number
    name, evidence = inputs.params.registry.name, [request.basis, *why]
    before, after = _aliases(request, verdict, aliases)
    return DecisionRecord(
        id=make_record_id("gate", model=name, version=number, evidence=evidence),
        moment=request.now,
        model=name,
        act="gate",
        version=number,
        verdict=verdict.decision,
        reasons=verdict.reasons,
        by=DECIDED_BY_GATE,
        aliases_before=before,
        aliases_after=after,
        gates=verdict.gates,
        tests=verdict.tests,
        rows_needed=verdict.rows_needed,
        waits_for_approval=verdict.waits_for_approval,
        data=inputs.md5s,
        commit=git.current_commit(inputs.root),
        run_id=request.run_id,
        identity=inputs.identity,
        search_seconds=inputs.evaluation.search.seconds,
        search_trials=inputs.evaluation.search.trials,
        flow_run=request.flow_run,
    )


def _aliases(
    request: GateRequest, verdict: Verdict, current: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the aliases before and after, with the champion that was judged."""
    before = {alias: number for alias, number in current.items() if alias != "champion"}
    if request.champion_number is not None:
        before["champion"] = request.champion_number
    move = aliases_after_promotion if verdict.promoted else aliases_with_challenger
    return before, move(before, request.version.number)


def _check_holdout_unseen(inputs: RegistrationInputs) -> None:
    if read_record(inputs.params.paths.plan, Plan).judge_from is None:
        return
    keys = list(read_table(inputs.params.paths.holdout)["row_key"])
    n_seen = int((~unseen_mask(keys, load_model(inputs.model).row_keys)).sum())
    if n_seen:
        raise StageError(
            f"expected a model that has seen no row of the hold-out, but {n_seen} of {len(keys)}"
            " rows were among those that it was trained or chosen on; nothing was registered"
        )


def _log_run(registry: ModelRegistry, inputs: RegistrationInputs, flow_run: str | None) -> str:
    title = evaluation_title(inputs.evaluation)
    run_id = registry.open_run(inputs.header.digest, title=title, result=inputs.result)
    if registry.shows_result(run_id, result=inputs.result):
        return run_id
    registry.log_trials(
        run_id,
        inputs.trials,
        greater_is_better=inputs.header.greater_is_better,
        most=inputs.params.registry.logged_trials,
    )
    registry.log_page(run_id, _run_page(inputs, flow_run))
    registry.log_text(run_id, name="environment.txt", text=environment_text())
    registry.finish_run(run_id)
    return run_id


def _run_page(inputs: RegistrationInputs, flow_run: str | None) -> RunPage:
    paths, found, md5s = inputs.params.paths, inputs.evaluation, inputs.md5s
    project = [inputs.root / "params.yaml", inputs.root / "dvc.yaml", paths.plan]
    project += sorted(inputs.root.glob("*.py"))  # functions of the user's own, such as a metric
    files = [path for path in [*project, *dvc.pointer_files(inputs.root)] if path.is_file()]
    return RunPage(
        title=evaluation_title(found),
        note=evaluation_description(found),
        parameters={**flatten_params(params_values(inputs.params)), **model_settings(found)},
        metrics=evaluation_metrics(found),
        tags={**_filter_tags(inputs), **({FLOW_RUN_TAG: flow_run} if flow_run else {})},
        files=(
            *((path, "project") for path in files),
            (paths.figures, ""),
            (paths.trials, ""),
            (paths.plots, "plots"),
            (paths.report, "report"),
            (paths.reference, "reference"),
        ),
        leaderboard=leaderboard(
            inputs.trials, greater_is_better=found.greater_is_better, metric=found.metric
        ),
        tables=(
            LoggedDataset("source", paths.source, md5s["source"], "source"),
            LoggedDataset("training", paths.training, md5s["training"], "training"),
            LoggedDataset("holdout", paths.holdout, md5s["holdout"], "evaluation"),
        ),
    )


def _filter_tags(inputs: RegistrationInputs) -> dict[str, str]:
    """Return the tags by which runs and versions are filtered, and their data is found again."""
    tags = {f"dvc.{name}": md5 for name, md5 in inputs.md5s.items()}
    commit = git.current_commit(inputs.root)
    if commit is not None:
        tags["mlflow.source.git.commit"] = commit
        tags["git.changed"] = str(git.git_is_dirty(inputs.root)).lower()
    mode = read_record(inputs.params.paths.plan, Plan).mode
    return {**tags, **evaluation_tags(inputs.evaluation), MODE_TAG: mode}


def _model_description(inputs: RegistrationInputs) -> ModelDescription:
    paths = inputs.params.paths
    columns = input_types(inputs.schema, read_table(paths.source))
    rows = read_table(paths.holdout).head(EXAMPLE_ROWS)
    found = chosen_model_metrics(inputs.evaluation)
    scores = {name: score for name, score in found.items() if score is not None}
    score_tags = {f"{METRIC_TAG_PREFIX}{name}": f"{score:.6g}" for name, score in scores.items()}
    return ModelDescription(
        identity=inputs.identity,
        description=evaluation_description(inputs.evaluation),
        inputs=columns,
        outputs=output_types(inputs.schema),
        example=rows[list(columns)],
        metrics=scores,
        tags={**_filter_tags(inputs), **score_tags},
    )
