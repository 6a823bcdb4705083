"""Replay a table through the whole production loop with the real steps, faster than real time.

`replay` trains on the first three fifths of the table's time and plays the rest: at the end of
each window the current champion scores its rows, labels that are due are loaded, monitoring
decides once, and its decision is carried out before the next window starts. Policies that need no
loop can be compared on the same windows, with the first model and its configuration.

It works in a `ReplayProject` of its own under state/replay, with its own data, log and MLflow store
and a small search; the real project's model, log and data are not touched, and no server is
started.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from evertune.config.loader import load_params
from evertune.config.schema import DataSection, DialectSection
from evertune.config.yaml_file import edit_section
from evertune.data.cleaning import conform_to_schema
from evertune.data.example import simulate_customers
from evertune.data.labels import normalize_label_column
from evertune.data.parsing import as_date
from evertune.data.readers import SourceTable, inspect_source
from evertune.data.schema import encode_target
from evertune.decisions import REQUEST_ACTIONS, DecisionOutcome, MonitoringDecision
from evertune.errors import StageError, TableError
from evertune.files import project_lock, read_table, write_table, write_text
from evertune.messages import did_you_mean
from evertune.metrics.losses import bounded_losses, error_scale
from evertune.metrics.metrics import metrics_for
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Ensemble, FittedPipeline, Model, predict
from evertune.models.persistence import load_model
from evertune.monitoring.load_labels import load_label_table
from evertune.monitoring.log_frames import logged_predictions
from evertune.monitoring.monitor import monitor
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.orchestration.carry_out_decision import follow_decision_locally
from evertune.project import registry_name
from evertune.registry.register import register
from evertune.serving.batch import score, score_with_shadow
from evertune.simulation.policies import (
    LabelledStream,
    PredictFunction,
    ReplayConfig,
    RowIndices,
    best_in_hindsight,
    moment_to_day,
    never_retrain,
    retrain_on_schedule,
)
from evertune.simulation.results import (
    POLICIES,
    PolicyName,
    PolicySummary,
    ReplayEvent,
    ReplayResult,
    UnitCosts,
    WindowLoss,
    decision_events,
    format_event,
    outcome_event,
    render_replay_page,
    summarize_policies,
    summary_lines,
    window_lines,
)
from evertune.stages.runner import run_outdated_stages
from evertune.stages.snapshot import take_snapshot
from evertune.terminal import verdict_line
from evertune.times import MICROSECOND, TimeWindow, to_naive_timestamp, to_utc_datetime
from evertune.types import FloatArray, Predictions, encode_classes

EXAMPLE = "example"
ROW_NAME = "replay_row"  # the column that names a row, by which its label finds it
LABELLED_AT = "labelled_at"
TRAINING_FILE = "learned.parquet"
TRAINING_SHARE = 0.6
MIN_ROWS = 100
WINDOW_DAYS, MIN_WINDOWS = 7, 2
ORACLE_LATEST_DAYS = (30.0,)
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
COPIED_PATHS = ("flows", "pipelines", "params.yaml", "dvc.yaml", ".gitignore", ".dvcignore")
SMALL_SETTINGS: dict[str, dict[str, object]] = {
    "search": {"budget_seconds": None, "budget_trials": 8},
    "evaluation": {"bootstrap_draws": 300, "importance_rows": 500, "importance_repeats": 1},
    "scoring": {"source": None, "labels": None, "cron": None, "log_variable": None},
    "monitoring": {"cron": None, "notify": []},
}
SMALL_RETUNE_SETTINGS = {"budget_seconds": None, "budget_trials": 4}

Reporter = Callable[[str], None]


@dataclass(frozen=True)
class ReplayReport:
    """The results of each policy, and the page that draws them."""

    results: tuple[ReplayResult, ...]
    summaries: tuple[PolicySummary, ...]
    page: Path


def replay(
    root: Path,
    *,
    file: Path | None = None,
    time: str | None = None,
    target: str | None = None,
    n_windows: int | None = None,
    label_delay_days: float = 0.0,
    policy: PolicyName | Literal["all"] = "all",
    say: Reporter,
) -> ReplayReport:
    """Play a table through the loop and return what happened.

    Parameters
    ----------
    root : Path
        The project, whose params.yaml says how to search, monitor and decide.
    file : Path, optional
        A CSV or Parquet table; None: the project's own source.
    time, target : str, optional
        Its columns; None: as params.yaml says.
    n_windows : int, optional
        How many equal stretches of time are played; None: as many as there are weeks.
    label_delay_days : float
        From a prediction to its label.
    policy : str
        `loop`, `never`, `scheduled`, `oracle`, or `all` to compare them.
    say : function
        Takes every line while it happens.

    Raises
    ------
    TableError
        The table has no time column with dates, or too few rows.
    StageError
        The first model does not pass the gate, so that there is nothing to watch.
    BusyError
        Another replay runs in this project.
    """
    params = load_params(root)
    policies: tuple[PolicyName, ...] = POLICIES if policy == "all" else (policy,)
    folder = params.paths.state / "replay"
    name = params.registry.name if file is None else registry_name(str(file))
    folder.mkdir(parents=True, exist_ok=True)
    with project_lock(folder, "evertune replay"), _without_tracking_server():
        project = create_replay_project(root, folder / name, file=file, time=time, target=target)
        days = (project.end - project.start) / timedelta(days=1)
        windows = project.windows(n_windows or max(MIN_WINDOWS, round(days / WINDOW_DAYS)))
        delay = timedelta(days=label_delay_days)
        say(
            f"{name}: {len(project.learned)} rows before {project.start:%Y-%m-%d} are learned from,"
            f" {len(project.played)} rows until {project.end:%Y-%m-%d} are played in"
            f" {len(windows)} windows"
        )
        trained = project.train()
        say(format_event(trained))
        results = compare_policies(
            project, policies, windows=windows, label_delay_days=label_delay_days
        )
        if "loop" in policies:
            events = (trained, *project.play(windows, delay, say=say))
            results = (ReplayResult("loop", project.losses(windows, delay), events), *results)
    settings = params.monitoring.policy
    prices = UnitCosts(settings.cost or 1.0, settings.gain_per_row or 1.0)
    summaries = summarize_policies(results, prices=prices)
    page = folder / name / "replay.html"
    write_text(page, render_replay_page(results, summaries, title=name, prices=prices))
    lines = ["", *window_lines(results), "", *summary_lines(summaries), "", f"page: {page}"]
    say("\n".join(lines))
    return ReplayReport(results, summaries, page)


@dataclass(frozen=True, eq=False)
class ReplayProject:
    """A project in which a table is played; `create_replay_project` makes it.

    Attributes
    ----------
    root : Path
        Of the project.
    table : DataFrame of n rows
        Raw rows in the order of time, with a column `ROW_NAME`.
    moments : Series of datetime64, n rows
        When each was.
    start : datetime
        Rows of before are learned from, the others are played.
    """

    root: Path
    table: pd.DataFrame
    moments: pd.Series
    start: datetime

    @property
    def end(self) -> datetime:
        """When the last row was."""
        return to_utc_datetime(self.moments.iloc[-1])

    @property
    def learned(self) -> pd.DataFrame:
        """The rows that are learned from."""
        return self.table[self.moments < to_naive_timestamp(self.start)]

    @property
    def played(self) -> pd.DataFrame:
        """The rows that are played."""
        return self.table[self.moments >= to_naive_timestamp(self.start)]

    @cached_property
    def model(self) -> Model:
        """The first model."""
        return load_model(load_params(self.root).paths.model)

    @cached_property
    def loss_scale(self) -> float | None:
        """The error that counts as a loss of 1 in regression, None for classes."""
        schema = self.model.schema
        if schema.task != "regression":
            return None
        holdout = read_table(load_params(self.root).paths.holdout)
        return error_scale(
            encode_target(holdout, schema), predict(self.model.fitted, holdout, schema)
        )

    def windows(self, n: int) -> tuple[TimeWindow, ...]:
        """Return n equal windows from the first to the last row that is played."""
        end = self.end + MICROSECOND
        edges = [self.start + number * (end - self.start) / n for number in range(n)]
        spans = zip(edges, [*edges[1:], end], strict=True)
        return tuple(TimeWindow(*span, int(self._between(*span).sum())) for span in spans)

    def train(self) -> ReplayEvent:
        """Make the first model by the real steps, and return that event."""
        with redirect_stdout(StringIO()):  # what stages print is no part of the timeline
            take_snapshot(self.root)
            run_outdated_stages(self.root, lambda _, __: None)
            verdict = register(self.root)
        if not verdict.promoted:
            raise StageError(
                f"expected the first model to become champion, but {verdict_line(verdict)}; there"
                " is nothing to watch without one"
            )
        return ReplayEvent(self.start, "trained", verdict.version, verdict_line(verdict))

    def play(
        self, windows: Sequence[TimeWindow], label_delay: timedelta, *, say: Reporter
    ) -> Iterator[ReplayEvent]:
        """Yield what happens in the loop, window by window, and say it."""
        target = load_params(self.root).data.target
        before: MonitoringDecision | None = None
        for window in windows:
            rows = self.table[self._between(window.start, window.end)]
            if len(rows):
                inputs = rows.drop(columns=[target]).reset_index(drop=True)
                score(self.root, now=window.end, table=inputs)
                score_with_shadow(self.root, inputs, now=window.end)
            self._load_labels(window.start, window.end, label_delay)
            decision = monitor(self.root, now=window.end).decision
            events = [*decision_events(decision, before)]
            if decision.action in REQUEST_ACTIONS:
                outcome = outcome_event(self._carry_out(decision))
                events += [outcome] if outcome else []
            for event in events:
                say(format_event(event))
                yield event
            before = decision

    def losses(
        self, windows: Sequence[TimeWindow], label_delay: timedelta
    ) -> tuple[WindowLoss, ...]:
        """Return the loss of every window of the log, once all labels are there."""
        end, schema = windows[-1].end, self.model.schema
        self._load_labels(end, end + label_delay + MICROSECOND, label_delay)
        with open_prediction_log(load_params(self.root)) as log:
            frame = log.read(classes=schema.classes)
        y_true = frame["truth"].to_numpy(dtype=np.float64)
        predictions = logged_predictions(frame)
        losses = bounded_losses(y_true, predictions, task=schema.task, scale=self.loss_scale)
        frame = frame.assign(loss=losses).dropna(subset="loss")
        found = []
        for window in windows:
            start, end = to_naive_timestamp(window.start), to_naive_timestamp(window.end)
            rows = frame[(frame["moment"] >= start) & (frame["moment"] < end)]
            counted = replace(window, n_rows=len(rows))
            found.append(
                WindowLoss(counted, float(rows["loss"].mean()), str(rows["version"].iloc[-1]))
                if len(rows)
                else WindowLoss(counted, None)
            )
        return tuple(found)

    def _between(self, start: datetime, end: datetime) -> pd.Series:
        first, last = to_naive_timestamp(start), to_naive_timestamp(end)
        played = self.moments >= to_naive_timestamp(self.start)
        return played & (self.moments >= first) & (self.moments < last)

    def _load_labels(self, start: datetime, now: datetime, delay: timedelta) -> None:
        """Load the labels that came since a moment."""
        came = self._between(start - delay, now - delay)
        rows = self.table.loc[came, [ROW_NAME, load_params(self.root).data.target]]
        if len(rows):
            moments = self.moments[came] + delay
            load_label_table(self.root, rows.assign(**{LABELLED_AT: moments}), now=now)

    def _carry_out(self, decision: MonitoringDecision) -> DecisionOutcome:
        try:
            with redirect_stdout(StringIO()):
                return follow_decision_locally(
                    self.root, decision.id, now=decision.moment, say=lambda _, __: None
                )
        except (StageError, TableError) as error:
            return DecisionOutcome(decision.id, decision.moment, "failed", detail=str(error))


@contextmanager
def _without_tracking_server() -> Iterator[None]:
    """Leave out a tracking server that the project uses."""
    address = os.environ.pop(TRACKING_VARIABLE, None)
    try:
        yield
    finally:
        if address is not None:
            os.environ[TRACKING_VARIABLE] = address


# Policies that need no loop


def compare_policies(
    project: ReplayProject,
    policies: Sequence[PolicyName],
    *,
    windows: Sequence[TimeWindow],
    label_delay_days: float,
) -> tuple[ReplayResult, ...]:
    """Return the results of policies that need no loop; others are left out. Writes nothing.

    Each fit is of the first model's configuration; `scheduled` fits on the latest rows, as
    `monitoring.retune.latest_days` says.
    """
    stream = _labelled_stream(project)
    spans = tuple(
        (moment_to_day(stream, each.start), moment_to_day(stream, each.end)) for each in windows
    )
    config = ReplayConfig(spans[0][0], label_delay=label_delay_days, spans=spans)
    latest = load_params(project.root).monitoring.retune.latest_days
    ways = {
        "never": partial(never_retrain, stream, config),
        "scheduled": partial(retrain_on_schedule, stream, config, latest_days=latest),
        "oracle": partial(best_in_hindsight, stream, config, latest_days=ORACLE_LATEST_DAYS),
    }
    return tuple(ways[policy]() for policy in policies if policy in ways)


def _labelled_stream(project: ReplayProject) -> LabelledStream:
    """Return the labelled rows of a table, with the first model's configuration as learner."""
    model, schema = project.model, project.model.schema
    labels, _ = normalize_label_column(project.table[schema.target], schema)
    y_true = (
        np.asarray(labels.astype("float64"))
        if schema.task == "regression"
        else encode_classes(labels, schema.classes)
    )
    known = np.isfinite(y_true)
    y_true = y_true[known]
    clean, _ = conform_to_schema(project.table[known], schema)
    since = project.moments[known] - to_naive_timestamp(project.start)

    def predict_rows(fitted: FittedPipeline | Ensemble, rows: RowIndices) -> Predictions:
        return predict(fitted, clean.iloc[rows].reset_index(drop=True), schema)

    def fit(rows: RowIndices, weights: FloatArray | None) -> PredictFunction:
        fitted = fit_configuration(
            model.configuration,
            clean.iloc[rows],
            y_true[rows],
            schema=schema,
            seed=0,
            n_jobs=-1,
            weights=weights,
        )
        return partial(predict_rows, fitted)

    return LabelledStream(
        origin=project.start,
        days=np.asarray(since / pd.Timedelta(days=1), dtype=np.float64),
        y_true=y_true,
        fit=fit,
        task=schema.task,
        metric=metrics_for(schema.task)[0],
        scale=project.loss_scale,
        first=partial(predict_rows, model.fitted),
    )


# The project in which a table is played


def create_replay_project(
    root: Path,
    folder: Path,
    *,
    file: Path | None = None,
    time: str | None = None,
    target: str | None = None,
) -> ReplayProject:
    """Return a new project in which a table can be played; an older one in its place is removed.

    It has the code of the original project, its params.yaml with a small search, and the first part
    of the rows to train on; the original stays as it is.

    Parameters
    ----------
    root : Path
        The project whose params.yaml says how to search, monitor and decide.
    folder : Path
        Where the new one is made.
    file : Path, optional
        A CSV or Parquet file; None: the project's own source.
    time, target : str, optional
        Its columns; None: those of params.yaml.

    Raises
    ------
    TableError
        The table cannot be read, has no column of dates, or too few rows.
    """
    params = load_params(root)
    columns = {"time": time or params.data.time, "target": target or params.data.target}
    data = params.data.model_copy(update=columns)
    if file is not None:
        data = DataSection.model_validate({"source": str(file), **columns})
    source = (
        SourceTable(simulate_customers()) if data.source == EXAMPLE else inspect_source(data, root)
    )
    table, moments = _sort_by_time(source.table, data)
    cut = moments.iloc[0] + TRAINING_SHARE * (moments.iloc[-1] - moments.iloc[0])
    n_before = int((moments < cut).sum())
    if min(n_before, len(table) - n_before) < MIN_ROWS:
        raise TableError(
            f"{data.source}: expected at least {MIN_ROWS} rows to learn from and as many to play,"
            f" but before {cut:%Y-%m-%d} lie {n_before} and after it {len(table) - n_before}."
        )
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name in (*COPIED_PATHS, *(path.name for path in root.glob("*.py"))):
        if (root / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", ".*_cache")
            shutil.copytree(root / name, folder / name, ignore=skipped)
        elif (root / name).is_file():
            shutil.copy2(root / name, folder / name)
    write_table(folder / TRAINING_FILE, table.iloc[:n_before])
    ignored = dict.fromkeys([*data.ignore, *([data.identifier] if data.identifier else [])])
    section = data.model_copy(
        update={
            "source": TRAINING_FILE,
            "identifier": ROW_NAME,
            "ignore": tuple(ignored),
            "dialect": DialectSection(decimal=source.dialect.decimal),
            "existing_model": None,
            "address_variable": None,
        }
    ).model_dump(mode="json")
    section["dialect"] = {name: sign for name, sign in section["dialect"].items() if sign}
    retune = params.monitoring.retune.model_dump(mode="json") | SMALL_RETUNE_SETTINGS
    edit_section(folder / "params.yaml", "data", section)
    for name, values in SMALL_SETTINGS.items():
        edit_section(folder / "params.yaml", name, values)
    edit_section(folder / "params.yaml", "monitoring", {"retune": retune})
    return ReplayProject(folder, table, moments, to_utc_datetime(cut))


def _sort_by_time(raw: pd.DataFrame, data: DataSection) -> tuple[pd.DataFrame, pd.Series]:
    """Return the rows in the order of time, each with a name, and when each was."""
    for role, name in (("time", data.time), ("target", data.target)):
        if name is None or name not in raw.columns:
            raise TableError(
                f"{data.source}: expected a column for --{role}, but got {name!r}."
                f"{did_you_mean(name or '', map(str, raw.columns))}"
            )
    moments, bad = as_date(raw[data.time], missing=data.missing_values)
    bad = bad | moments.isna()
    if bad.any():
        raise TableError(
            f"{data.source}: expected a date in every row of {data.time!r}, but {int(bad.sum())} of"
            f" {len(raw)} are none; a table is played by its dates, so name a column that has them"
            " with --time."
        )
    order = moments.sort_values(kind="stable").index
    table = raw.loc[order].reset_index(drop=True)
    names = [f"row {number}" for number in range(len(table))]
    return table.assign(**{ROW_NAME: names}), moments.loc[order].reset_index(drop=True)
