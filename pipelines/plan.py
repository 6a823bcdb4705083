"""Write what a refit or a retune is to do.

Reads the absorbed rows, and of the champion that was judged its model and the trials of its search.
Writes paths.plan. The same decision about the same rows gives the same plan, so that a run that was
killed is gone on with.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipelines.core.declared import MOMENT
from pipelines.core.findings import Decision
from pipelines.core.joining import production_rows
from pipelines.core.judging.pairing import unseen
from pipelines.core.model import Model, configurations
from pipelines.core.parting import ROW_KEY, with_row_keys
from pipelines.core.plans import Plan
from pipelines.core.retuning import RetuneRule, plan_of
from pipelines.core.runs import kept_trials
from pipelines.core.trials import Configuration
from pipelines.errors import StageError
from pipelines.params import load_params
from pipelines.stores import registry
from pipelines.stores.files import read_table, write_record
from pipelines.stores.pages import kept_file
from pipelines.stores.tracking import Store, open_store
from pipelines.stores.trials import read_header, read_trials


def write_plan(root: Path, decision: Decision) -> Plan:
    """Return the plan of a decision, which the next run of the stages follows.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    decision : Decision
        To refit or to retune.

    Raises
    ------
    StageError
        There are too few labelled rows that the champion has not learned from.
    """
    params = load_params(root)
    store = open_store(params.paths.state, params.registry.name)
    judged = registry.version_numbered(store, str(decision.champion))
    champion = registry.model_of(store, judged)
    absorbed = read_table(params.paths.absorbed)
    try:
        plan = plan_of(
            decision,
            moments=absorbed[MOMENT][_unseen(absorbed, champion)],
            rule=RetuneRule(**params.monitoring.retune.model_dump()),
            champion=configurations(champion),
            tops=_tops(store, judged, name=params.paths.trials.name),
        )
    except ValueError as error:
        raise StageError(f"Decision {decision.id} cannot be followed. {error}") from error
    write_record(params.paths.plan, plan)
    return plan


def _unseen(absorbed: pd.DataFrame, champion: Model) -> list[bool]:
    clean, _ = production_rows(absorbed, champion.schema)
    keys = with_row_keys(clean, champion.schema)[ROW_KEY]
    fresh: list[bool] = unseen(list(keys), champion.row_keys).tolist()
    return fresh


def _tops(store: Store, judged: registry.Version, *, name: str) -> tuple[Configuration, ...]:
    with TemporaryDirectory() as beside:
        kept = kept_file(store, judged.run_id, name=name, folder=Path(beside))
        if kept is None:
            return ()
        header, trials = read_header(kept), read_trials(kept)
    better, most = header.greater_is_better, len(trials)
    ranked = kept_trials(trials, greater_is_better=better, most=most)
    return tuple(trial.configuration for trial in ranked if trial.status == "complete")
