"""Register the model that was evaluated, and make it champion if it passes the gate.

Reads what the stages wrote, and what DVC recorded of it. Writes to MLflow: a run that shows
everything, a version of the model, and the aliases champion, challenger and previous. Killed at
any point it is simply run again: a run is found by what it shows, a version by its model's hash.
"""

import json
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from pydantic import TypeAdapter

from pipelines.core.gate import (
    Rival,
    Verdict,
    chosen_figures,
    incomparable,
    judge,
    unseen,
    watched_loss,
)
from pipelines.core.intervals import paired_difference
from pipelines.core.metrics import Metric
from pipelines.core.model import Model
from pipelines.core.pages import Page, ServedPage, Table
from pipelines.core.plans import Plan
from pipelines.core.runs import flat, leaderboard
from pipelines.core.summaries import (
    FIGURE_TAG,
    description,
    input_types,
    output_types,
    settings,
    shown_figures,
    title,
)
from pipelines.core.truths import truth_of
from pipelines.errors import StageError, TableError
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.stores import registry, versions
from pipelines.stores.facts import Facts, digest, read_facts, values_of
from pipelines.stores.files import read_record, read_table
from pipelines.stores.metrics import metrics_of
from pipelines.stores.models import load_model, predict_rows
from pipelines.stores.pages import finish_run, log_page, log_text, shows
from pipelines.stores.tracking import Store, log_trials, open_run, open_store

LIBRARIES = ("lightgbm", "numpy", "pandas", "pyarrow", "pydantic", "scikit-learn", "scipy", "skops")
EXAMPLE_ROWS = 3
VERDICT_TAG = "evertune.verdict"


def register(root: Path) -> Verdict:
    """Register the project's model and return whether it is the champion now.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.

    Raises
    ------
    StageError
        A stage is not up to date, or the model was trained on rows that judge it.
    BusyError
        MLflow does not answer.
    """
    facts = read_facts(root, load_params(root))
    _check_unseen(facts)
    store = open_store(facts.params.paths.state, facts.params.registry.name)
    run_id = _shown(store, facts)
    ours = registry.register_version(store, run_id, model=facts.model, page=_served(facts))
    standing = registry.champion(store)
    if standing is not None and standing.number == ours.number:
        return _champion_already(store, ours)
    verdict = _verdict(store, facts, ours=ours, standing=standing)
    _record(store, run_id, facts, verdict=verdict)
    if verdict.promoted:
        registry.promote(store, ours.number, over=standing.number if standing else None)
    else:
        registry.make_challenger(store, ours.number)
    return verdict


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


def _shown(store: Store, facts: Facts) -> str:
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
    log_page(store, run_id, page=_page(facts))
    log_text(store, run_id, name="environment.txt", text=_environment())
    finish_run(store, run_id)
    return run_id


def _page(facts: Facts) -> Page:
    paths, found = facts.params.paths, facts.evaluation
    project = [facts.root / "params.yaml", facts.root / "dvc.yaml", paths.plan]
    files = [path for path in [*project, *versions.pointer_files(facts.root)] if path.is_file()]
    return Page(
        title=title(found),
        note=description(found),
        parameters={**flat(values_of(facts.params)), **settings(found)},
        metrics=shown_figures(found),
        tags=_origin(facts),
        files=(
            *((path, "project") for path in files),
            (paths.figures, ""),
            (paths.trials, ""),
            (paths.plots, "plots"),
            (paths.report, "report"),
            (paths.reference, "reference"),
        ),
        leaderboard=leaderboard(facts.trials, greater_is_better=found.greater_is_better),
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
        tags={**_origin(facts), **marks, "metric": facts.evaluation.metric},
    )


def _champion_already(store: Store, ours: registry.Version) -> Verdict:
    registry.promote(store, ours.number, over=ours.number)
    reason = f"version {ours.number} is the champion already"
    return Verdict("promote", (reason,), version=ours.number, champion=ours.number)


def _verdict(
    store: Store, facts: Facts, *, ours: registry.Version, standing: registry.Version | None
) -> Verdict:
    basis = digest(facts.result, standing.number if standing else None)
    back = ours.tags.get(registry.ROLLED_BACK_TAG)
    if back is not None and standing is not None:
        reason = f"version {ours.number} was champion and was rolled back {back}"
        return Verdict("keep", (reason,), None, ours.number, standing.number, basis)
    recorded = _recorded(ours)
    if recorded is not None and recorded.basis == basis:
        return recorded
    rival = None if standing is None else _rival(store, facts, standing)
    stays = None if standing is None else standing.number
    found = judge(facts.evaluation, rival)
    champion = ours.number if found.promoted else stays
    return replace(found, basis=basis, version=ours.number, champion=champion)


def _recorded(ours: registry.Version) -> Verdict | None:
    if VERDICT_TAG not in ours.tags:
        return None
    return TypeAdapter(Verdict).validate_json(ours.tags[VERDICT_TAG], strict=True)


def _rival(store: Store, facts: Facts, standing: registry.Version) -> Rival:
    with TemporaryDirectory() as beside:
        theirs = load_model(registry.download_model(store, standing, folder=Path(beside)))
    ours, number = load_model(facts.model), standing.number
    obstacle = incomparable(ours.schema, theirs.schema)
    if obstacle is not None:
        return Rival(number, obstacle=obstacle)
    holdout = read_table(facts.params.paths.holdout)
    fresh = unseen(list(holdout["row_key"]), ours.row_keys, theirs.row_keys)
    metric, *_ = metrics_of(facts.params.metric, ours.schema.task, facts.root)
    try:
        compared = _compared(ours, theirs, holdout[fresh], metric=metric, params=facts.params)
    except TableError as error:
        return Rival(number, obstacle=f"it cannot read these rows: {error}")
    return replace(compared, version=number, n_seen=int((~fresh).sum()))


def _compared(
    ours: Model, theirs: Model, rows: pd.DataFrame, *, metric: Metric, params: Params
) -> Rival:
    if rows.empty:
        return Rival("")
    section = params.evaluation
    difference = partial(
        paired_difference,
        draws=section.bootstrap_draws,
        confidence=section.confidence,
        seed=section.seed,
    )
    truth = truth_of(rows, ours.schema)
    left, right = predict_rows(ours, rows), predict_rows(theirs, rows)
    loss = difference(watched_loss(ours.schema.task), truth, left, right)
    return Rival("", difference(metric, truth, left, right), loss=loss)


def _record(store: Store, run_id: str, facts: Facts, *, verdict: Verdict) -> None:
    text = json.dumps(asdict(verdict))
    log_text(store, run_id, name="verdict.json", text=text)
    registry.describe_version(
        store,
        str(verdict.version),
        tags={VERDICT_TAG: text},
        description=description(facts.evaluation),
    )
