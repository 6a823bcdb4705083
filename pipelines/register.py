"""Register the model that was evaluated, and make it champion if it passes the gate.

Reads what the stages wrote, and what DVC recorded of it. Writes to MLflow: a run that shows
everything and a version of the model; the verdict is carried out by `pipelines.act`. Killed at
any point it is simply run again: a run is found by what it shows, a version by its model's hash.
"""

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib.metadata import distributions, version
from pathlib import Path

from pipelines.act import acted, completed
from pipelines.core.judging.chosen import chosen_figures
from pipelines.core.judging.pairing import unseen
from pipelines.core.judging.verdicts import Verdict
from pipelines.core.pages import Page, ServedPage, Table
from pipelines.core.plans import Plan
from pipelines.core.runs import flat, leaderboard
from pipelines.core.summaries import (
    FIGURE_TAG,
    MODE_TAG,
    description,
    input_types,
    kind_tags,
    output_types,
    settings,
    shown_figures,
    title,
)
from pipelines.deciding import VERDICT_TAG
from pipelines.errors import StageError
from pipelines.judge import Case, judged
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.stores import registry, versions
from pipelines.stores.database import Log, opened_log
from pipelines.stores.facts import Facts, read_facts, values_of
from pipelines.stores.files import read_record, read_table
from pipelines.stores.log_records import record_text
from pipelines.stores.models import load_model
from pipelines.stores.pages import finish_run, log_page, log_text, shows
from pipelines.stores.tracking import Store, log_trials, open_run, open_store

LIBRARIES = (
    *("catboost", "lightgbm", "numpy", "pandas", "pyarrow", "pydantic", "scikit-learn", "scipy"),
    *("skops", "xgboost-cpu"),
)
FLOW_TAG = "prefect.flow_run"
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
    facts = read_facts(root, load_params(root))
    _check_unseen(facts)
    store = open_store(facts.params.paths.state, facts.params.registry.name)
    run_id = _shown(store, facts, flow_run)
    ours = registry.register_version(store, run_id, model=facts.model, page=_served(facts))
    standing, now = registry.champion(store), datetime.now(UTC)
    with _log(facts.params) as log:
        if standing is not None and standing.number == ours.number:
            return _champion_already(store, log, ours)
        case = Case(facts, ours, standing, run_id=run_id, now=now, flow_run=flow_run)
        return _carried_out(store, log, case)


def _log(params: Params) -> AbstractContextManager[Log]:
    state, variable = params.paths.state, params.scoring.log_variable
    return opened_log(state, model=params.registry.name, variable=variable)


def _check_unseen(facts: Facts) -> None:
    if read_record(facts.params.paths.plan, Plan).judge_from is None:
        return
    keys = list(read_table(facts.params.paths.holdout)["row_key"])
    n_seen = int((~unseen(keys, load_model(facts.model).row_keys)).sum())
    if n_seen:
        raise StageError(
            f"expected a model that has seen no row of the hold-out, but {n_seen} of {len(keys)}"
            " rows were among those that it was trained or chosen on; nothing was registered"
        )


def _shown(store: Store, facts: Facts, flow_run: str | None) -> str:
    name = title(facts.evaluation)
    run_id = open_run(store, facts.header.digest, title=name, result=facts.result)
    if shows(store, run_id, result=facts.result):
        return run_id
    log_trials(
        store,
        run_id,
        trials=facts.trials,
        greater_is_better=facts.header.greater_is_better,
        most=facts.params.registry.nested_trials,
    )
    log_page(store, run_id, page=_page(facts, flow_run))
    log_text(store, run_id, name="environment.txt", text=_environment())
    finish_run(store, run_id)
    return run_id


def _page(facts: Facts, flow_run: str | None) -> Page:
    paths, found = facts.params.paths, facts.evaluation
    project = [facts.root / "params.yaml", facts.root / "dvc.yaml", paths.plan]
    files = [path for path in [*project, *versions.pointer_files(facts.root)] if path.is_file()]
    return Page(
        title=title(found),
        note=description(found),
        parameters={**flat(values_of(facts.params)), **settings(found)},
        metrics=shown_figures(found),
        tags={**_origin(facts), **_kind(facts), **({FLOW_TAG: flow_run} if flow_run else {})},
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
        tables=_tables(facts),
    )


def _tables(facts: Facts) -> tuple[Table, ...]:
    paths, md5s = facts.params.paths, facts.md5s
    return (
        Table("source", paths.source, md5s["source"], "source"),
        Table("training", paths.training, md5s["training"], "training"),
        Table("holdout", paths.holdout, md5s["holdout"], "evaluation"),
    )


def _origin(facts: Facts) -> dict[str, str]:
    commit = versions.git_commit(facts.root)
    changed = str(versions.git_is_dirty(facts.root)).lower()
    git = {} if commit is None else {"mlflow.source.git.commit": commit, "git.changed": changed}
    return {f"dvc.{name}": md5 for name, md5 in facts.md5s.items()} | git


def _kind(facts: Facts) -> dict[str, str]:
    """Return what runs and versions are filtered by."""
    mode = read_record(facts.params.paths.plan, Plan).mode
    return {**kind_tags(facts.evaluation), MODE_TAG: mode}


def _environment() -> str:
    found = {(each.name, each.version) for each in distributions()}
    return "".join(f"{name}=={number}\n" for name, number in sorted(found))


def _served(facts: Facts) -> ServedPage:
    paths = facts.params.paths
    inputs = input_types(facts.schema, read_table(paths.source))
    rows = read_table(paths.holdout).head(EXAMPLE_ROWS)
    figures = {k: v for k, v in chosen_figures(facts.evaluation).items() if v is not None}
    marks = {f"{FIGURE_TAG}{name}": f"{figure:.6g}" for name, figure in figures.items()}
    return ServedPage(
        identity=facts.identity,
        description=description(facts.evaluation),
        inputs=inputs,
        outputs=output_types(facts.schema),
        example=rows[list(inputs)],
        requirements=tuple(f"{name}=={version(name)}" for name in LIBRARIES),
        metrics=figures,
        tags={**_origin(facts), **_kind(facts), **marks},
    )


def _champion_already(store: Store, log: Log, ours: registry.Version) -> Verdict:
    completed(store, log, act="gate", version=ours.number)
    reason = f"version {ours.number} is the champion already"
    return Verdict("promote", (reason,), version=ours.number, champion=ours.number)


def _carried_out(store: Store, log: Log, case: Case) -> Verdict:
    verdict, record = judged(store, log, case)
    _show(store, case, verdict)
    acted(store, log, record)
    return verdict


def _show(store: Store, case: Case, verdict: Verdict) -> None:
    text = record_text(verdict)
    log_text(store, case.run_id, name="verdict.json", text=text)
    registry.describe_version(
        store,
        case.ours.number,
        tags={VERDICT_TAG: text},
        description=description(case.facts.evaluation),
    )
