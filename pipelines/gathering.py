"""What the gate needs to know of a version: measured on the hold-out, beside the champion.

Reads the hold-out, the training rows, both models and the clock. Writes nothing.
"""

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pandas as pd

from pipelines.core.judging.evidence import Evidence, RateGap, Rival
from pipelines.core.judging.measuring import (
    Pair,
    calibration_rise,
    difference_test,
    gain,
    rate_gaps,
    row_faults,
    slice_falls,
    slice_tests,
)
from pipelines.core.judging.metric_tests import metric_tests
from pipelines.core.judging.pairing import (
    n_silent,
    unseen,
    watched_loss,
)
from pipelines.core.judging.results import TestResult
from pipelines.core.judging.spending import confidence_of_look
from pipelines.core.model_figures import Bootstrap
from pipelines.core.schema import Schema
from pipelines.core.slicing import Slice, slices_of
from pipelines.core.truths import truth_of
from pipelines.errors import ParamsError
from pipelines.scene import Scene, Standing, looked_loss
from pipelines.sections import Evaluation as EvaluationSection
from pipelines.sections import Params
from pipelines.stores.facts import Facts
from pipelines.stores.files import read_table
from pipelines.stores.models import predict_rows

TIMED_ROWS = 1000
TIMED_PASSES = 3
MEGABYTE = 1e6


def evidence_of(
    facts: Facts, scene: Scene, standing: Standing | None, *, number: str, look: int
) -> Evidence:
    """Return all that the gate knows of a version beside its evaluation.

    Parameters
    ----------
    facts : Facts
    scene : Scene
    standing : Standing, optional
    number : str
        The version.
    look : int
        Which look at the rows it is.

    Raises
    ------
    ParamsError
        `evaluation.slices` or `evaluation.sensitive` names no column of the table.
    """
    section, gates = facts.params.evaluation, facts.params.registry.gates
    found = Evidence(
        version=number,
        n_holdout=len(scene.holdout),
        n_known=int((~unseen(list(scene.holdout["row_key"]), scene.model.row_keys)).sum()),
        n_silent=n_silent(scene.said),
        fault=scene.fault,
        look=look,
        confidence=_bootstrap(facts.params, look).confidence,
        slice_columns=(*section.slices, *section.sensitive),
        has_chances=scene.said.probabilities is not None,
        sensitive=section.sensitive,
        rate_gaps=_rate_gaps(scene, section),
        milliseconds_a_row=_milliseconds(scene) if gates.milliseconds_a_row else None,
        megabytes=_megabytes(facts.model),
        faults=_faults(facts, scene),
    )
    return found if standing is None else _with_rival(found, facts, scene, standing)


def _with_rival(found: Evidence, facts: Facts, scene: Scene, standing: Standing) -> Evidence:
    n_seen = int((~scene.fresh).sum())
    rival = Rival(standing.version, n_seen=n_seen, obstacle=scene.obstacle)
    pair, section = scene.pair, facts.params.evaluation
    if pair is None:
        return replace(found, rival=rival)
    drawn = Bootstrap(section.bootstrap_draws, section.confidence, section.seed)
    metrics = (scene.metrics[0], watched_loss(scene.model.schema.task))
    parts = _slices(scene.rows, scene.model.schema, found.slice_columns, section)
    falls = slice_falls(metrics, pair, parts, drawn)
    rival = _compared(rival, facts, scene, pair, look=found.look)
    return replace(
        found,
        rival=rival,
        falls=falls,
        calibration=calibration_rise(pair, drawn),
        tests=(*_tests(scene, pair, rival, found.confidence), *slice_tests(falls)),
    )


def _compared(rival: Rival, facts: Facts, scene: Scene, pair: Pair, *, look: int) -> Rival:
    first, second = (_bootstrap(facts.params, each) for each in (look, look + 1))
    loss = looked_loss(scene)
    rival = replace(rival, difference=gain(scene.metrics[0], pair, first))
    return rival if loss is None else replace(rival, loss=gain(loss, pair, second))


def _tests(scene: Scene, pair: Pair, rival: Rival, confidence: float) -> tuple[TestResult, ...]:
    metric, loss = scene.metrics[0], looked_loss(scene)
    found = []
    if rival.difference is not None:
        found.append(difference_test(f"paired {metric.name}", rival.difference))
    found += metric_tests(metric, pair.truth, pair.ours, pair.theirs, confidence=confidence)
    if rival.loss is not None and loss is not None:
        found.append(difference_test(f"paired {loss.name}, the watched loss", rival.loss))
    return tuple(found)


def _bootstrap(params: Params, look: int) -> Bootstrap:
    section, allowed = params.evaluation, params.registry.false_promotions
    confidence = confidence_of_look(look, false_promotions=allowed)
    return Bootstrap(section.bootstrap_draws, confidence, section.seed)


def _slices(
    rows: pd.DataFrame, schema: Schema, columns: tuple[str, ...], section: EvaluationSection
) -> tuple[Slice, ...]:
    named = list(dict.fromkeys(columns))
    try:
        return slices_of(rows, schema, named, least_rows=section.slice_rows)
    except ValueError as error:
        raise ParamsError(f"evaluation.slices and evaluation.sensitive: {error}") from error


def _rate_gaps(scene: Scene, section: EvaluationSection) -> tuple[RateGap, ...] | None:
    schema = scene.model.schema
    return rate_gaps(scene.said, _slices(scene.holdout, schema, section.sensitive, section), schema)


def _faults(facts: Facts, scene: Scene) -> tuple[str, ...]:
    training, schema = read_table(facts.params.paths.training), scene.model.schema
    return row_faults(scene.holdout, training, schema, truth_of(scene.holdout, schema))


def _milliseconds(scene: Scene) -> float | None:
    if scene.fault is not None or scene.holdout.empty:
        return None
    rows = scene.holdout.head(TIMED_ROWS)
    return min(_pass_seconds(scene, rows) for _ in range(TIMED_PASSES)) * 1000 / len(rows)


def _pass_seconds(scene: Scene, rows: pd.DataFrame) -> float:
    started = perf_counter()
    predict_rows(scene.model, rows)
    return perf_counter() - started


def _megabytes(model: Path) -> float:
    return sum(file.stat().st_size for file in model.rglob("*") if file.is_file()) / MEGABYTE
