"""What the stages wrote of a model, read for its evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd

from pipelines.core.baselines import BaselineFigures
from pipelines.core.data_card import DataCard, data_card, holdout_kind
from pipelines.core.exclusions import exclusions
from pipelines.core.folds import Fold, folds_of
from pipelines.core.model import Model
from pipelines.core.origins import Origin
from pipelines.core.out_of_fold import out_of_fold
from pipelines.core.plans import Plan
from pipelines.core.predictions import Floats
from pipelines.core.prepared import Prepared
from pipelines.core.rules import Rule
from pipelines.core.suspicions import suspicions
from pipelines.core.trials import SearchHeader, Trial
from pipelines.core.truths import truth_of
from pipelines.core.unseen import Unseen
from pipelines.core.window_fits import WindowChoice
from pipelines.sections import Data, Paths, Split
from pipelines.stores.files import read_record, read_table
from pipelines.stores.models import load_model, model_origin, window_choice
from pipelines.stores.pool import read_entries
from pipelines.stores.sources import declared_of
from pipelines.stores.trials import read_header, read_trials

NO_FUTURE = datetime.max  # a stage does not look at the clock


@dataclass(frozen=True, eq=False)
class Inputs:
    """What an evaluation is made of; tables are clean.

    Attributes
    ----------
    learned : DataFrame
        The training rows in the window that the model was fitted on.
    unseen : Unseen, optional
        What the selected trials say together of rows that their fold models did not see.
    """

    model: Model
    origin: Origin | None
    choice: WindowChoice | None
    simplest: Mapping[str, Model]
    rule: Rule
    baselines: tuple[BaselineFigures, ...]
    header: SearchHeader
    trials: tuple[Trial, ...]
    training: pd.DataFrame
    learned: pd.DataFrame
    holdout: pd.DataFrame
    folds: tuple[Fold, ...]
    unseen: Unseen | None


def read_inputs(paths: Paths) -> Inputs:
    """Return what the stages wrote.

    Raises
    ------
    InputError
        If something is not there.
    """
    folders = sorted((paths.baselines / "models").iterdir())
    model, origin = load_model(paths.model), model_origin(paths.model)
    training = read_table(paths.training)
    return Inputs(
        model=model,
        origin=origin,
        choice=window_choice(paths.model),
        simplest={folder.name: load_model(folder) for folder in folders},
        rule=read_record(paths.baselines / "rule.json", Rule),
        baselines=read_record(paths.baselines / "baselines.json", tuple[BaselineFigures, ...]),
        header=read_header(paths.trials),
        trials=read_trials(paths.trials),
        training=training,
        learned=training[training["row_key"].isin(model.row_keys)],
        holdout=read_table(paths.holdout),
        folds=folds_of(read_table(paths.folds)),
        unseen=_unseen(paths.pool, model, origin, truth=truth_of(training, model.schema)),
    )


def read_data_card(inputs: Inputs, paths: Paths, *, data: Data, split: Split) -> DataCard:
    """Return what the model's data are, with what was left out of the source."""
    raw, clean, schema = read_table(paths.source), read_table(paths.clean), inputs.model.schema
    declared = declared_of(data, raw)
    excluded = {name: "named in data.ignore" for name in data.ignore if name in raw}
    excluded |= exclusions(raw, declared)
    shown = Prepared(clean, schema, excluded, int(raw[schema.target].isna().sum()))
    judge_from = read_record(paths.plan, Plan).judge_from
    kind = holdout_kind(schema, fraction=split.holdout_fraction, judge_from=judge_from)
    return data_card(
        inputs.learned,
        inputs.holdout,
        schema,
        holdout_kind=kind,
        excluded=excluded,
        suspicious=suspicions(raw, shown, declared, today=NO_FUTURE),
    )


def _unseen(pool: Path, model: Model, origin: Origin | None, *, truth: Floats) -> Unseen | None:
    weights = {} if origin is None else {each.number: each.weight for each in origin.weights}
    if not weights or (origin is not None and origin.made_of not in ("ensemble", "trial")):
        return None
    entries = read_entries(pool, weights, models=False)
    return out_of_fold(model.fitted, entries, weights, truth=truth)
