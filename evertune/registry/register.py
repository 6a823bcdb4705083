"""Register the evaluated model, judge it by the gates and make it champion if it passes.

`register` reads what the stages wrote and what DVC recorded of it. It logs a run that shows
everything, registers a version, and applies the verdict with `evertune.registry.promotion`.
`judge_version` returns the verdict and its record: the same question gets the same answer, and
a version that was rolled back or rejected by a person is not promoted again. The use of the
hold-out is saved before anybody sees what it showed. Killed at any point it can be run again: a
run is found by what it shows, a version by the hash of its model.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from itertools import takewhile
from pathlib import Path

from pydantic import TypeAdapter

from evertune.config.loader import load_params
from evertune.config.schema import Params, RegistrySection
from evertune.database import ModelLog, closing_log, record_to_json
from evertune.errors import StageError
from evertune.evaluation.records import chosen_model_metrics
from evertune.files import read_record, read_table
from evertune.models.persistence import load_model
from evertune.plan import Plan
from evertune.registry import versions as registry
from evertune.registry.decision_log import (
    read_decision_records,
    read_holdout_uses,
    save_holdout_use,
)
from evertune.registry.evidence import (
    ChampionModel,
    GateRules,
    HoldoutComparison,
    compare_on_holdout,
    gather_evidence,
    secondary_loss,
    unseen_mask,
)
from evertune.registry.gates import Verdict, evaluate_gates
from evertune.registry.holdout_reuse import HoldoutUse, holdout_use_number, row_key_sketch
from evertune.registry.mlflow_client import (
    LoggedDataset,
    ModelDescription,
    RunPage,
    TrackingStore,
    flatten_params,
    log_trials,
    open_run,
    open_tracking_store,
)
from evertune.registry.promotion import VERDICT_TAG, apply_decision, resume_decision
from evertune.registry.records import (
    DecisionRecord,
    aliases_after_promotion,
    aliases_with_challenger,
    holdout_fingerprint,
    make_record_id,
)
from evertune.registry.runs import (
    METRIC_TAG_PREFIX,
    MODE_TAG,
    RegistrationInputs,
    evaluation_description,
    evaluation_metrics,
    evaluation_tags,
    evaluation_title,
    finish_run,
    input_types,
    json_digest,
    log_run_page,
    log_text,
    model_settings,
    output_types,
    params_values,
    read_registration_inputs,
    shows_result,
)
from evertune.registry.versions import read_aliases
from evertune.search.leaderboard import leaderboard
from evertune.versioning import dvc

DECIDED_BY_GATE = "the gate"


@dataclass(frozen=True, eq=False)
class GateRequest:
    """What the gate is asked.

    Attributes
    ----------
    facts : RegistrationInputs
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

    facts: RegistrationInputs
    ours: registry.ModelVersion
    standing: registry.ModelVersion | None
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
        return json_digest(self.facts.result, self.over)


def judge_version(
    store: TrackingStore, log: ModelLog, case: GateRequest
) -> tuple[Verdict, DecisionRecord]:
    """Return what the gate says of a version, and the record of it that is to be carried out.

    The same question gets the same answer. A version that was rolled back, or that a person
    rejected, is not promoted again.

    Parameters
    ----------
    store : TrackingStore
    log : ModelLog
        Where records and looks are kept.
    case : GateRequest

    Raises
    ------
    StageError
        Rows were about to judge that one of the two was trained on.
    ParamsError
        `evaluation.slices` or `evaluation.sensitive` names no column of the table.
    """
    back = case.ours.tags.get(registry.ROLLED_BACK_TAG)
    if back is not None and case.standing is not None:
        return _refuse(store, case, f"was champion and was rolled back {back}")
    rejected = _find_rejection(log, case)
    if rejected is not None:
        return _refuse(store, case, f"was rejected by {rejected.by}: {rejected.reasons[0]}")
    said = _previous_verdict(log, case)
    return _judge_anew(store, log, case) if said is None else _repeat_verdict(store, case, *said)


def _judge_anew(
    store: TrackingStore, log: ModelLog, case: GateRequest
) -> tuple[Verdict, DecisionRecord]:
    facts, number = case.facts, case.ours.number
    standing = None if case.standing is None else _load_champion(store, case.standing)
    scene = compare_on_holdout(facts, standing)
    look = 1 if standing is None else _count_holdout_use(log, _holdout_use(case, scene, standing))
    found = gather_evidence(facts, scene, standing, number=number, look=look)
    verdict = _complete_verdict(
        evaluate_gates(facts.evaluation, found, _gate_rules(facts.params.registry)), case
    )
    keys = list(scene.rows["row_key"])
    record = replace(
        _decision_record(store, case, verdict),
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


def _refuse(store: TrackingStore, case: GateRequest, why: str) -> tuple[Verdict, DecisionRecord]:
    reason = f"version {case.ours.number} {why}"
    verdict = _complete_verdict(Verdict("keep", (reason,)), case)
    return verdict, _decision_record(store, case, verdict, "refused", reason)


def _repeat_verdict(
    store: TrackingStore, case: GateRequest, verdict: Verdict, record: DecisionRecord
) -> tuple[Verdict, DecisionRecord]:
    before = _aliases_before(store, case)
    after = _aliases_after(verdict, before, case)
    return verdict, replace(record, aliases_before=before, aliases_after=after)


def _previous_verdict(log: ModelLog, case: GateRequest) -> tuple[Verdict, DecisionRecord] | None:
    tag = case.ours.tags.get(VERDICT_TAG)
    if tag is None:
        return None
    verdict = TypeAdapter(Verdict).validate_json(tag, strict=True)
    wanted = make_record_id(
        "gate", model=log.model, version=case.ours.number, evidence=[case.basis]
    )
    kept = next(
        (r for r in read_decision_records(log, version=case.ours.number) if r.id == wanted), None
    )
    if kept is None or kept.reasons != verdict.reasons or verdict.basis != case.basis:
        return None  # none yet, or the version was refused since, for what holds no more
    return verdict, kept


def _find_rejection(log: ModelLog, case: GateRequest) -> DecisionRecord | None:
    """Return the decision of a person who did not approve, unless one promoted it since."""
    found = [
        each for each in read_decision_records(log, version=case.ours.number) if each.act != "gate"
    ]
    return found[-1] if found and found[-1].verdict == "keep" else None


def _count_holdout_use(log: ModelLog, look: HoldoutUse | None) -> int:
    """Keep a look, and return which one at its rows it is; a second try of it is the same."""
    if look is None:
        return 1
    save_holdout_use(log, look)
    earlier = takewhile(lambda each: each.record_id != look.record_id, read_holdout_uses(log))
    return holdout_use_number(look.sketch, earlier)


def _holdout_use(
    case: GateRequest, scene: HoldoutComparison, standing: ChampionModel
) -> HoldoutUse | None:
    if scene.pair is None:
        return None
    keys, metric = list(scene.rows["row_key"]), scene.metrics[0].name
    compared = (case.facts.identity, standing.identity, metric)
    return HoldoutUse(
        record_id=json_digest("look", *compared, holdout_fingerprint(keys)),
        moment=case.now,
        version=case.ours.number,
        rival=standing.version,
        n_rows=len(keys),
        sketch=row_key_sketch(keys),
        tests=1 if secondary_loss(scene) is None else 2,
    )


def _load_champion(store: TrackingStore, version: registry.ModelVersion) -> ChampionModel:
    return ChampionModel(
        version.number, version.identity, registry.load_version_model(store, version)
    )


def _complete_verdict(verdict: Verdict, case: GateRequest) -> Verdict:
    champion = case.ours.number if verdict.promoted else case.over
    return replace(verdict, basis=case.basis, version=case.ours.number, champion=champion)


def _decision_record(
    store: TrackingStore, case: GateRequest, verdict: Verdict, *why: str
) -> DecisionRecord:
    facts, before = case.facts, _aliases_before(store, case)
    evidence = [case.basis, *why]
    number, name = case.ours.number, facts.params.registry.name
    return DecisionRecord(
        id=make_record_id("gate", model=name, version=number, evidence=evidence),
        moment=case.now,
        model=name,
        act="gate",
        version=number,
        verdict=verdict.decision,
        reasons=verdict.reasons,
        by=DECIDED_BY_GATE,
        aliases_before=before,
        aliases_after=_aliases_after(verdict, before, case),
        gates=verdict.gates,
        tests=verdict.tests,
        rows_needed=verdict.rows_needed,
        waits_for_approval=verdict.waits_for_approval,
        data=facts.md5s,
        commit=dvc.current_commit(facts.root),
        run_id=case.run_id,
        identity=facts.identity,
        search_seconds=facts.evaluation.search.seconds,
        search_trials=facts.evaluation.search.trials,
        flow_run=case.flow_run,
    )


def _aliases_before(store: TrackingStore, case: GateRequest) -> dict[str, str]:
    """Return the aliases, with the champion that was judged: another one since is refused."""
    others = {alias: each for alias, each in read_aliases(store).items() if alias != "champion"}
    return others if case.over is None else {**others, "champion": case.over}


def _aliases_after(verdict: Verdict, before: dict[str, str], case: GateRequest) -> dict[str, str]:
    moved = aliases_after_promotion if verdict.promoted else aliases_with_challenger
    return moved(before, case.ours.number)


def _gate_rules(section: RegistrySection) -> GateRules:
    return GateRules(**section.gates.model_dump(), approval=section.approval)


REQUIRED_LIBRARIES = (
    *("catboost", "lightgbm", "numpy", "pandas", "pyarrow", "pydantic", "scikit-learn", "scipy"),
    *("skops", "xgboost-cpu"),
)
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
        A stage is not up to date, or the model was trained on rows that judge it.
    BusyError
        MLflow does not answer, or another version has become champion in the meantime.
    """
    facts = read_registration_inputs(root, load_params(root))
    _check_holdout_unseen(facts)
    store = open_tracking_store(facts.params.paths.state, facts.params.registry.name)
    run_id = _log_run(store, facts, flow_run)
    ours = registry.register_version(
        store, run_id, model=facts.model, page=_model_description(facts)
    )
    standing, now = registry.get_champion(store), datetime.now(UTC)
    with _open_decision_log(facts.params) as log:
        if standing is not None and standing.number == ours.number:
            return _already_champion(store, log, ours)
        case = GateRequest(facts, ours, standing, run_id=run_id, now=now, flow_run=flow_run)
        return _judge_and_apply(store, log, case)


def _open_decision_log(params: Params) -> AbstractContextManager[ModelLog]:
    state, variable = params.paths.state, params.scoring.log_variable
    return closing_log(state, model=params.registry.name, variable=variable)


def _check_holdout_unseen(facts: RegistrationInputs) -> None:
    if read_record(facts.params.paths.plan, Plan).judge_from is None:
        return
    keys = list(read_table(facts.params.paths.holdout)["row_key"])
    n_seen = int((~unseen_mask(keys, load_model(facts.model).row_keys)).sum())
    if n_seen:
        raise StageError(
            f"expected a model that has seen no row of the hold-out, but {n_seen} of {len(keys)}"
            " rows were among those that it was trained or chosen on; nothing was registered"
        )


def _log_run(store: TrackingStore, facts: RegistrationInputs, flow_run: str | None) -> str:
    name = evaluation_title(facts.evaluation)
    run_id = open_run(store, facts.header.digest, title=name, result=facts.result)
    if shows_result(store, run_id, result=facts.result):
        return run_id
    log_trials(
        store,
        run_id,
        trials=facts.trials,
        greater_is_better=facts.header.greater_is_better,
        most=facts.params.registry.logged_trials,
    )
    log_run_page(store, run_id, page=_run_page(facts, flow_run))
    log_text(store, run_id, name="environment.txt", text=_environment_text())
    finish_run(store, run_id)
    return run_id


def _run_page(facts: RegistrationInputs, flow_run: str | None) -> RunPage:
    paths, found = facts.params.paths, facts.evaluation
    project = [facts.root / "params.yaml", facts.root / "dvc.yaml", paths.plan]
    files = [path for path in [*project, *dvc.pointer_files(facts.root)] if path.is_file()]
    return RunPage(
        title=evaluation_title(found),
        note=evaluation_description(found),
        parameters={**flatten_params(params_values(facts.params)), **model_settings(found)},
        metrics=evaluation_metrics(found),
        tags={
            **_origin_tags(facts),
            **_kind_tags(facts),
            **({FLOW_RUN_TAG: flow_run} if flow_run else {}),
        },
        files=(
            *((path, "project") for path in files),
            (paths.figures, ""),
            (paths.trials, ""),
            (paths.plots, "plots"),
            (paths.report, "report"),
            (paths.reference, "reference"),
        ),
        leaderboard=leaderboard(
            facts.trials, greater_is_better=found.greater_is_better, metric=found.metric
        ),
        tables=_logged_datasets(facts),
    )


def _logged_datasets(facts: RegistrationInputs) -> tuple[LoggedDataset, ...]:
    paths, md5s = facts.params.paths, facts.md5s
    return (
        LoggedDataset("source", paths.source, md5s["source"], "source"),
        LoggedDataset("training", paths.training, md5s["training"], "training"),
        LoggedDataset("holdout", paths.holdout, md5s["holdout"], "evaluation"),
    )


def _origin_tags(facts: RegistrationInputs) -> dict[str, str]:
    commit = dvc.current_commit(facts.root)
    changed = str(dvc.git_is_dirty(facts.root)).lower()
    git = {} if commit is None else {"mlflow.source.git.commit": commit, "git.changed": changed}
    return {f"dvc.{name}": md5 for name, md5 in facts.md5s.items()} | git


def _kind_tags(facts: RegistrationInputs) -> dict[str, str]:
    """Return what runs and versions are filtered by."""
    mode = read_record(facts.params.paths.plan, Plan).mode
    return {**evaluation_tags(facts.evaluation), MODE_TAG: mode}


def _environment_text() -> str:
    found = {(each.name, each.version) for each in distributions()}
    return "".join(f"{name}=={number}\n" for name, number in sorted(found))


def _model_description(facts: RegistrationInputs) -> ModelDescription:
    paths = facts.params.paths
    inputs = input_types(facts.schema, read_table(paths.source))
    rows = read_table(paths.holdout).head(EXAMPLE_ROWS)
    figures = {k: v for k, v in chosen_model_metrics(facts.evaluation).items() if v is not None}
    marks = {f"{METRIC_TAG_PREFIX}{name}": f"{figure:.6g}" for name, figure in figures.items()}
    return ModelDescription(
        identity=facts.identity,
        description=evaluation_description(facts.evaluation),
        inputs=inputs,
        outputs=output_types(facts.schema),
        example=rows[list(inputs)],
        requirements=tuple(f"{name}=={version(name)}" for name in REQUIRED_LIBRARIES),
        metrics=figures,
        tags={**_origin_tags(facts), **_kind_tags(facts), **marks},
    )


def _already_champion(store: TrackingStore, log: ModelLog, ours: registry.ModelVersion) -> Verdict:
    resume_decision(store, log, act="gate", version=ours.number)
    reason = f"version {ours.number} is the champion already"
    return Verdict("promote", (reason,), version=ours.number, champion=ours.number)


def _judge_and_apply(store: TrackingStore, log: ModelLog, case: GateRequest) -> Verdict:
    verdict, record = judge_version(store, log, case)
    _log_verdict(store, case, verdict)
    apply_decision(store, log, record)
    return verdict


def _log_verdict(store: TrackingStore, case: GateRequest, verdict: Verdict) -> None:
    text = record_to_json(verdict)
    log_text(store, case.run_id, name="verdict.json", text=text)
    registry.describe_version(
        store,
        case.ours.number,
        tags={VERDICT_TAG: text},
        description=evaluation_description(case.facts.evaluation),
    )
