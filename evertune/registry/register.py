"""Register the evaluated model, judge it by the gates and make it champion if it passes.

`register` reads what the stages wrote and what DVC recorded of it. It logs a run that shows
everything, registers a version, and applies the verdict with `evertune.registry.promotion`. The
same question gets the same answer, and a version that was rolled back or rejected by a person is
not promoted again. The use of the hold-out is saved before anybody sees what it showed. Killed at
any point it can be run again: a run is found by what it shows, a version by the hash of its
model.
"""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from evertune.config.loader import load_params
from evertune.database import record_to_json
from evertune.errors import StageError
from evertune.evaluation.evaluation_record import chosen_model_metrics
from evertune.failpoints import failpoint
from evertune.files import read_record, read_table
from evertune.models.persistence import load_model
from evertune.plan import Plan
from evertune.registry.already_registered import champion_already, last_verdict, mark_settled
from evertune.registry.decision_log import DecisionLog
from evertune.registry.earlier_searches import meta_parameters
from evertune.registry.evidence import HoldoutComparison, compare_on_holdout, gather_evidence
from evertune.registry.gates import evaluate_gates
from evertune.registry.holdout_reuse import HoldoutUse, holdout_use_number, row_key_sketch
from evertune.registry.mlflow_pages import (
    evaluation_description,
    evaluation_metrics,
    evaluation_title,
    input_types,
    model_settings,
    output_types,
    parameter_values,
    run_tags,
    version_tags,
)
from evertune.registry.mlflow_registry import ROLLED_BACK_TAG, ModelRegistry, ModelVersion
from evertune.registry.promotion import (
    COMMIT_TAG,
    VERDICT_FILE,
    aliases_after_promotion,
    aliases_with_challenger,
    apply_decision,
    open_decisions,
    resume_decision,
)
from evertune.registry.promotion_records import (
    DecisionRecord,
    Verdict,
    holdout_fingerprint,
    make_record_id,
)
from evertune.registry.registration_inputs import (
    RegistrationInputs,
    environment_text,
    json_digest,
    read_registration_inputs,
)
from evertune.registry.run_page import (
    DATA_PREFIX,
    HOLDOUT_PREFIX,
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
        failpoint("register.run_logged")
        version = registry.register_version(
            run_id, model=inputs.model, description=_model_description(registry, inputs, run_id)
        )
        failpoint("register.version_made")
        champion = registry.champion()
        if champion is not None and champion.number == version.number:
            resume_decision(registry, log, act="gate", version=version.number)
            mark_settled(registry, version.number, inputs.result)
            return champion_already(version.number)
        judge = Judge(
            registry,
            log,
            inputs,
            version=version,
            champion=champion,
            run_id=run_id,
            flow_run=flow_run,
        )
        verdict, record = judge.judge()
        text = record_to_json(verdict)
        for each in {run_id, version.run_id}:  # of this result, and of the first one with its model
            registry.log_text(each, name=VERDICT_FILE, text=text)
        apply_decision(registry, log, record)
        mark_settled(registry, version.number, inputs.result)
        failpoint("register.settled")
        return verdict


class Judge:
    """Gives a version the gates' verdict, and the record of the decision that is to be applied.

    The same question gets the same answer. A version that was rolled back, or that a person
    rejected, is not promoted again.

    Parameters
    ----------
    champion : ModelVersion, optional
        None if there is none yet.
    run_id : str
        The run that shows the version.
    flow_run : str, optional
        Prefect's id of the run that asks.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        log: DecisionLog,
        inputs: RegistrationInputs,
        *,
        version: ModelVersion,
        champion: ModelVersion | None,
        run_id: str,
        flow_run: str | None = None,
    ) -> None:
        self.registry, self.log, self.inputs = registry, log, inputs
        self.version, self.champion = version, champion
        self.run_id, self.flow_run = run_id, flow_run
        self.now = datetime.now(UTC)
        self.champion_number = None if champion is None else champion.number
        # Digest of what is judged and against which champion.
        self.basis = json_digest(inputs.result, self.champion_number)

    def judge(self) -> tuple[Verdict, DecisionRecord]:
        """Return the verdict and its record; a use of the hold-out is saved before it is judged."""
        number, rolled_back = self.version.number, self.version.facts.get(ROLLED_BACK_TAG)
        if rolled_back is not None and self.champion is not None:
            return self._refuse(f"version {number} was champion and was rolled back {rolled_back}")
        by_persons = [each for each in self.log.records(version=number) if each.act != "gate"]
        if by_persons and by_persons[-1].verdict == "keep":
            last = by_persons[-1]
            return self._refuse(f"version {number} was rejected by {last.by}: {last.reasons[0]}")
        return self._previous_decision() or self._evaluate()

    def _evaluate(self) -> tuple[Verdict, DecisionRecord]:
        inputs, champion = self.inputs, self.champion
        comparison = compare_on_holdout(
            inputs,
            None if champion is None else self.registry.load_model(champion),
            champion_version=self.champion_number,
        )
        row_keys = list(comparison.rows["row_key"])
        holdout_use = 1
        if champion is not None and comparison.pair is not None:
            holdout_use = self._count_holdout_use(comparison, champion)
        number = self.version.number
        evidence = gather_evidence(inputs, comparison, version=number, holdout_use=holdout_use)
        section = inputs.params.registry
        verdict, record = self._decide(
            evaluate_gates(inputs.evaluation, evidence, section.gates, approval=section.approval)
        )
        return verdict, replace(
            record,
            metric=inputs.evaluation.metric,
            difference=None if evidence.champion is None else evidence.champion.difference,
            rival=self.champion_number,
            holdout=holdout_fingerprint(row_keys),
            n_rows=len(row_keys),
            n_left_out=len(comparison.holdout) - len(row_keys),
            look=evidence.holdout_use,
            confidence=evidence.confidence,
        )

    def _count_holdout_use(self, comparison: HoldoutComparison, champion: ModelVersion) -> int:
        """Save a use of the hold-out and return its number; the same comparison is one use."""
        row_keys, metric = list(comparison.rows["row_key"]), comparison.metrics[0].name
        compared = (self.inputs.identity, champion.identity, metric)
        use = HoldoutUse(
            record_id=json_digest("look", *compared, holdout_fingerprint(row_keys)),
            moment=self.now,
            version=self.version.number,
            rival=champion.number,
            n_rows=len(row_keys),
            sketch=row_key_sketch(row_keys),
            tests=2 if comparison.has_second_test else 1,
        )
        self.log.save_holdout_use(use)
        failpoint("register.holdout_used")
        uses = self.log.holdout_uses()
        earlier = takewhile(lambda each: each.record_id != use.record_id, uses)
        return holdout_use_number(use.sketch, earlier)

    def _refuse(self, reason: str) -> tuple[Verdict, DecisionRecord]:
        return self._decide(Verdict("keep", (reason,)), "refused", reason)

    def _previous_decision(self) -> tuple[Verdict, DecisionRecord] | None:
        """Return the decision about the same question, None if there is none that still holds."""
        verdict, number = last_verdict(self.registry, self.version), self.version.number
        if verdict is None:
            return None
        wanted = make_record_id("gate", model=self.log.model, version=number, evidence=[self.basis])
        record = next((r for r in self.log.records(version=number) if r.id == wanted), None)
        if record is None or record.reasons != verdict.reasons or verdict.basis != self.basis:
            return None  # none yet, or the version was refused since, for what holds no more
        before, after = self._aliases(verdict)
        return verdict, replace(record, aliases_before=before, aliases_after=after)

    def _decide(self, verdict: Verdict, *why: str) -> tuple[Verdict, DecisionRecord]:
        """Return a verdict with what it is about, and its record."""
        inputs, number = self.inputs, self.version.number
        champion = number if verdict.promoted else self.champion_number
        verdict = replace(verdict, basis=self.basis, version=number, champion=champion)
        before, after = self._aliases(verdict)
        name, evidence = inputs.params.registry.name, [self.basis, *why]
        return verdict, DecisionRecord(
            id=make_record_id("gate", model=name, version=number, evidence=evidence),
            moment=self.now,
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
            run_id=self.run_id,
            identity=inputs.identity,
            search_seconds=inputs.evaluation.search.seconds,
            search_trials=inputs.evaluation.search.trials,
            flow_run=self.flow_run,
        )

    def _aliases(self, verdict: Verdict) -> tuple[dict[str, str], dict[str, str]]:
        """Return the aliases before and after; before, the champion is the one that was judged."""
        before = {k: v for k, v in self.registry.aliases().items() if k != "champion"}
        if self.champion_number is not None:
            before["champion"] = self.champion_number
        move = aliases_after_promotion if verdict.promoted else aliases_with_challenger
        return before, move(before, self.version.number)


def _check_holdout_unseen(inputs: RegistrationInputs) -> None:
    if read_record(inputs.params.paths.plan, Plan).judge_from is None:
        return
    row_keys = read_table(inputs.params.paths.holdout)["row_key"]
    n_seen = int(row_keys.isin(load_model(inputs.model).row_keys).sum())
    if n_seen:
        raise StageError(
            f"expected a model that has seen no row of the hold-out, but {n_seen} of"
            f" {len(row_keys)} rows were among those that it was trained or chosen on; nothing was"
            " registered"
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
    registry.log_page(run_id, _run_page(registry, inputs, run_id, flow_run))
    registry.log_text(run_id, name="environment.txt", text=environment_text())
    registry.finish_run(run_id)
    return run_id


def _run_page(
    registry: ModelRegistry, inputs: RegistrationInputs, run_id: str, flow_run: str | None
) -> RunPage:
    paths, found, md5s = inputs.params.paths, inputs.evaluation, inputs.md5s
    project = [inputs.root / "params.yaml", inputs.root / "dvc.yaml", paths.plan]
    project += sorted(inputs.root.glob("*.py"))  # functions of the user's own, such as a metric
    files = [path for path in [*project, *dvc.pointer_files(inputs.root)] if path.is_file()]
    return RunPage(
        title=evaluation_title(found),
        note=_description(registry, inputs, run_id),
        parameters={
            **parameter_values(inputs.params),
            **model_settings(found),
            **meta_parameters(read_table(paths.training), inputs.schema),
            **{f"{DATA_PREFIX}{name}": md5 for name, md5 in md5s.items()},
        },
        metrics=evaluation_metrics(found),
        tags={
            **run_tags(found, mode=_mode(inputs), data=md5s["source"]),
            **_commit_tags(inputs),
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
            inputs.trials, greater_is_better=found.greater_is_better, metric=found.metric
        ),
        tables=(
            LoggedDataset("source", paths.source, md5s["source"], "source"),
            LoggedDataset("training", paths.training, md5s["training"], "training"),
            LoggedDataset("holdout", paths.holdout, md5s["holdout"], "evaluation"),
        ),
    )


def _mode(inputs: RegistrationInputs) -> str:
    return read_record(inputs.params.paths.plan, Plan).mode


def _commit_tags(inputs: RegistrationInputs) -> dict[str, str]:
    commit = git.current_commit(inputs.root)
    if commit is None:
        return {}
    return {COMMIT_TAG: commit, "git.changed": str(git.git_is_dirty(inputs.root)).lower()}


def _description(registry: ModelRegistry, inputs: RegistrationInputs, run_id: str) -> str:
    return evaluation_description(
        inputs.evaluation,
        inputs.schema,
        data=inputs.md5s["source"],
        report=registry.artifact_link(run_id, "report/report.html"),
    )


def _model_description(
    registry: ModelRegistry, inputs: RegistrationInputs, run_id: str
) -> ModelDescription:
    paths, evaluation = inputs.params.paths, inputs.evaluation
    columns = input_types(inputs.schema, read_table(paths.source))
    rows = read_table(paths.holdout).head(EXAMPLE_ROWS)
    scores = chosen_model_metrics(evaluation)
    return ModelDescription(
        identity=inputs.identity,
        description=_description(registry, inputs, run_id),
        inputs=columns,
        outputs=output_types(inputs.schema),
        example=rows[list(columns)],
        metrics={f"{HOLDOUT_PREFIX}{name}": x for name, x in scores.items() if x is not None},
        tags=version_tags(evaluation, mode=_mode(inputs), data=inputs.md5s["source"]),
    )
