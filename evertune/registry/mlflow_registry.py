"""The runs and the registered versions of one project in MLflow.

`open_registry(params)` returns a `ModelRegistry`; nothing else touches MLflow's client. The
experiment and the registered model are both called `registry.name` and are tagged with the
project's id, so that two projects with one name on a shared MLflow never take over each other's
runs, versions or aliases.

The aliases are `champion` (in use), `challenger` (the newest that is not) and `previous` (the
champion before). Only `evertune.registry.promotion` moves them. A run is found again by what it
shows, and a version by the hash of its model's files, so that everything here can be repeated
after a kill.
"""

import json
import re
import shutil
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from evertune.config.loader import find_root
from evertune.config.schema import Params
from evertune.errors import BusyError, InputError, ParamsError, StageError
from evertune.failpoints import failpoint
from evertune.files import read_record, read_table
from evertune.messages import did_you_mean, strip_credentials, ways_to_a_champion
from evertune.registry.embedded_store import EmbeddedStore, StoredVersion, embedded_store
from evertune.registry.mlflow_connection import connect, embedded_address, error_code
from evertune.registry.run_page import (
    ASSESSMENT_TAG,
    COMPARISON_TAG,
    DATA_PREFIX,
    FORMER_METRIC_PREFIX,
    FORMER_MODE_TAG,
    HOLDOUT_PREFIX,
    METRIC_TAG,
    MODE_TAG,
    NOTE_TAG,
    LoggedDataset,
    MetricPoint,
    ModelDescription,
    RunPage,
    mlflow_key,
)
from evertune.registry.version_files import find_file_fault, write_file_list
from evertune.trials import Trial

if TYPE_CHECKING:
    import pandas as pd

    from evertune.data.schema import TableSchema
    from evertune.evaluation.other_table import Assessment
    from evertune.models.fitted_model import Model
    from evertune.search.comparison import Comparison

PROJECT_ID_TAG = "evertune.project_id"
PROJECT_TAG = "evertune.project"  # machine and folder; only 0.1 wrote it
SEARCH_TAG = "evertune.search"
RESULT_TAG = "evertune.result"
TRIAL_TAG = "evertune.trial"
IDENTITY_TAG = "evertune.model"
FILES_TAG = "evertune.files"  # digest of the list of the version's files
MONITORING_TAG = "evertune.monitoring"
ROLLED_BACK_TAG = "evertune.rolled_back"
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # how the UI shows it
ALIASES = ("previous", "champion", "challenger")  # in the order in which they move
LATEST = "latest"
MONITORING_NOTE = "Production: see the artifact monitoring.html, and the metrics by window."
MODEL_FOLDER = "model"
EXAMPLE_FILE = "input_example.json"
MODEL_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<number>[0-9]+)|@(?P<alias>.+))")
MAX_TEXT_LENGTH = 5000
MAX_DESCRIPTION_LENGTH = 5000  # of a column of MLflow's database
OWN_WORDS = "\n\n---\n*Evertune keeps the above up to date; your own words below this line stay.*"
LONG_PARAMETERS = "long_parameters.json"  # the parameters that are longer, in full
CUT = f" ... (in full: see {LONG_PARAMETERS})"
BATCH_SIZE = 100


@dataclass(frozen=True)
class ModelVersion:
    """A registered version.

    Attributes
    ----------
    identity : str
        Hash of the model's files.
    run_id : str
        The run that shows how it was made.
    created_seconds : float
        When it was registered, since 1970.
    source : str
        Where its files lie.
    facts : dict of str to str
        What its tags and those of its run say, and the md5s of its data (`dvc.source`, ...).
    metrics : dict of str to float
        Scores, such as `holdout/roc_auc`.
    """

    number: str
    identity: str
    run_id: str
    created_seconds: float
    source: str
    facts: dict[str, str]
    metrics: dict[str, float]
    aliases: tuple[str, ...]

    @property
    def metric(self) -> str | None:
        """The optimised metric; None if nothing tells."""
        return self.facts.get(METRIC_TAG)

    @property
    def mode(self) -> str | None:
        """`tune`, `refit` or `retune`; None if nothing tells."""
        return self.facts.get(MODE_TAG) or self.facts.get(FORMER_MODE_TAG)

    @property
    def data_md5s(self) -> dict[str, str]:
        """DVC's md5 of each table that it came from, by `source`, `training` and so on."""
        return {
            name.removeprefix(DATA_PREFIX): md5
            for name, md5 in self.facts.items()
            if name.startswith(DATA_PREFIX)
        }

    def holdout_score(self, metric: str, prefix: str = HOLDOUT_PREFIX) -> float | None:
        """Return a score on the hold-out, or an end of its interval; None if it is not known."""
        return self.metrics.get(mlflow_key(f"{prefix}{metric}"))


@dataclass(frozen=True)
class LastRun:
    """The run of a search, in short: `status` in MLflow's words, the time since 1970."""

    run_id: str
    title: str
    status: str
    started_seconds: float


@dataclass(frozen=True)
class FoundRun:
    """A finished run of any project; `model` is the name of its experiment."""

    run_id: str
    model: str
    parameters: Mapping[str, str]


def open_registry(params: Params) -> "ModelRegistry":
    """Return the registry of a project; its experiment is made if there is none yet.

    Raises
    ------
    BusyError
        MLflow does not answer.
    UnsafeError
        The embedded database is not a database.
    StageError
        The experiment was deleted.
    ParamsError
        `registry.name` belongs to another project on this MLflow.
    """
    from evertune.identity import project_id

    # A deployed checkout shares the state folder, and the identity, of its project.
    beside_state = params.paths.state.parent
    is_project = (beside_state / "params.yaml").is_file()
    root = beside_state if is_project else find_root(params.paths.plan.parent)
    return ModelRegistry(
        params.paths.state,
        params.registry.name,
        project_id(root),
        root=root,
        timezone=params.monitoring.timezone,
    )


class ModelRegistry:
    """The experiment and the registered model of one project.

    Parameters
    ----------
    state : Path
        The project's `state` folder, absolute.
    name : str
        Of the experiment and of the registered model (`registry.name`).
    project_id : str
        Tags the experiment, the registered model and every run.
    root : Path, optional
        The project's folder, by which runs of Evertune 0.1 are recognised.
    timezone : str
        In which descriptions show times.
    """

    def __init__(
        self,
        state: Path,
        name: str,
        project_id: str,
        *,
        root: Path | None = None,
        timezone: str = "UTC",
    ) -> None:
        self.name = name
        self.timezone = timezone
        self.project_id = project_id
        self._client = connect(state)
        self._embedded = self._client.address == embedded_address(state)
        self._database = state / "mlflow.db"
        self._root = root or state.parent
        self.experiment_id = self._open_experiment((state / "artifacts").as_uri())

    @property
    def address(self) -> str:
        """The address of MLflow's server or database, with its password if it has one."""
        return self._client.address

    @property
    def address_for_readers(self) -> str:
        """The address as a person in the project's folder would write it, without a password."""
        if self._embedded:
            return f"sqlite:///{self._database.parent.name}/{self._database.name}"
        return strip_credentials(self.address)

    def artifact_link(self, run_id: str, name: str) -> str:
        """Return where MLflow's pages show an artifact of a run, to be used within them."""
        return f"#/experiments/{self.experiment_id}/runs/{run_id}/artifacts/{name}"

    def experiment_page(self, server: str) -> str:
        """Return where the MLflow UI at an address shows the runs of this project.

        The address is returned without its password; as it is if it is no web server's.
        """
        place = strip_credentials(server).rstrip("/")
        if not place.startswith("http"):
            return place
        # Without the type of work the UI shows the menu of language models.
        return f"{place}/#/experiments/{self.experiment_id}/runs?workflowType=machine_learning"

    # Versions

    def versions(self) -> tuple[ModelVersion, ...]:
        """Return every version of the model, oldest first."""
        aliases = self._all_aliases()
        store = self._store()
        if store is not None:
            return tuple(_stored_version(each, aliases) for each in store.versions(self.name))
        found = self._client.search("search_model_versions", f"name = '{self.name}'", page_size=500)
        return self._with_runs(sorted(found, key=lambda each: int(each.version)), aliases)

    def version(self, reference: str) -> ModelVersion:
        """Return a version by its number, an alias, or `latest`.

        Raises
        ------
        InputError
            There is none; the message lists the aliases and the last ten versions.
        """
        found = self.find(reference)
        if found is not None:
            return found
        versions = self.versions()
        if not versions:
            known = "there is none yet; run `evertune train`"
        else:
            aliases = sorted(alias for each in versions for alias in each.aliases)
            numbers = [each.number for each in versions]
            known = f"there are {', '.join([*aliases, *numbers[-10:]])}"
            known += did_you_mean(reference, [*aliases, *numbers])
        raise InputError(
            f"expected the number or an alias of a version of {self.name}, but got {reference!r};"
            f" {known}"
        )

    def find(self, reference: str) -> ModelVersion | None:
        """Return a version by its number, an alias, or `latest`; None if there is none."""
        if reference == LATEST:
            return next(reversed(self.versions()), None)
        store = self._store()
        if store is not None:
            number = store.aliases(self.name).get(reference, reference)
            return next((each for each in self.versions() if each.number == number), None)
        model = self._registered_model()
        aliases = _aliases_of(model)
        number = aliases.get(reference, reference)
        if model is None or not number.isdecimal():
            return None
        try:
            found = self._client.get_model_version(self.name, number)
        except StageError as error:
            if error_code(error) == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return self._with_runs([found], aliases)[0]

    def champion(self) -> ModelVersion | None:
        """Return the version in use, None if there is none yet."""
        return self.find("champion")

    def require_champion(self) -> ModelVersion:
        """Return the version in use; StageError if there is none yet."""
        champion = self.champion()
        if champion is None:
            raise StageError(
                f"{self.name} has no champion yet; "
                f"{ways_to_a_champion(self.aliases().get('challenger'))}"
            )
        return champion

    def aliases(self) -> dict[str, str]:
        """Return the version that has each of Evertune's aliases."""
        found = self._all_aliases()
        return {alias: found[alias] for alias in ALIASES if alias in found}

    def move_aliases(self, *, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Bring the aliases from how they were at the decision to how they shall be.

        A move that was cut short is brought to the same end. Only
        `evertune.registry.promotion.apply_decision` calls this.

        Raises
        ------
        BusyError
            Another version has become champion in the meantime; nothing is moved.
        """
        current = self._all_aliases()
        champion = current.get("champion")
        if champion not in (before.get("champion"), after.get("champion")):
            raise BusyError(
                f"expected {version_text(before.get('champion'))} of {self.name} to be champion,"
                f" but it is {version_text(champion)} now; nothing was changed: run again, to"
                " compare with that one"
            )
        for alias in ALIASES:
            wanted = after.get(alias)
            if wanted is None and alias in current:
                self._client.delete_registered_model_alias(self.name, alias)
            elif wanted is not None and wanted != current.get(alias):
                self._client.set_registered_model_alias(self.name, alias, wanted)
            failpoint("promotion.alias_moved")

    def register_version(
        self, run_id: str, *, model: Path, description: ModelDescription
    ) -> ModelVersion:
        """Return the version with the description's identity, registered if it is not yet.

        `run_id` is the run that shows how the model was made, and of this model only; `model` is
        the folder that `save_model` wrote.
        """
        self._open_registered_model()
        identity = description.identity
        found = next((each for each in self.versions() if each.identity == identity), None)
        if found is not None:
            return found
        logged = self._log_model(run_id, model, description)
        digest = logged.tags.get(FILES_TAG)  # none if an earlier release stored the files
        self.tag_run(run_id, {IDENTITY_TAG: identity, **({FILES_TAG: digest} if digest else {})})
        failpoint("register.files_stored")
        made = self._client.create_model_version(
            self.name,
            source=logged.artifact_location,
            run_id=run_id,
            tags=dict(description.tags),
            description=description.description,
            model_id=logged.model_id,
        )
        return self._with_runs([made], self._all_aliases())[0]

    def describe_version(self, number: str, text: str) -> None:
        """Set the description of a version; what a person wrote below its last line stays."""
        before = self._client.get_model_version(self.name, number).description
        text = _with_own_words(before, text)
        if text != before:
            self._client.update_model_version(self.name, number, text)

    def describe_model(self, text: str) -> None:
        """Set the description of the registered model, as `describe_version` does."""
        before = self._client.get_registered_model(self.name).description
        text = _with_own_words(before, text)
        if text != before:
            self._client.update_registered_model(self.name, text)

    def tag_version(self, number: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version; its others stay."""
        for name, value in tags.items():
            self._client.set_model_version_tag(self.name, number, name, value)

    def untag_version(self, number: str, *names: str) -> None:
        """Remove tags of a version, those of them that it has."""
        tags = self._client.get_model_version(self.name, number).tags
        for name in names:
            if name in tags:
                self._client.delete_model_version_tag(self.name, number, name)

    def download_version(self, version: ModelVersion, *, folder: Path) -> Path:
        """Return the folder of a version's files, copied to `folder`.

        Raises
        ------
        StageError
            They are gone, or are not those that were registered.
        """
        try:
            files = self._client.fetch_artifacts(version.source, folder=folder)
        except (StageError, shutil.Error) as error:
            raise self._unusable(version, f"its files cannot be read: {error}") from error
        digest = version.facts.get(FILES_TAG)
        fault = None if digest is None else find_file_fault(files, digest)
        if fault is not None:
            raise self._unusable(version, fault)
        return files

    def load_model(self, version: ModelVersion) -> "Model":
        """Return the model of a version; StageError if its files cannot be used."""
        from evertune.models.persistence import load_model

        with self._files_of(version) as files:
            return load_model(model_folder(files))

    def champion_schema(self) -> "TableSchema":
        """Return the schema of the champion's table; StageError if there is no champion yet."""
        from evertune.models.persistence import ModelMetadata

        with self._files_of(self.require_champion()) as files:
            card: ModelMetadata = read_record(model_folder(files) / "model.json", ModelMetadata)
            return card.schema

    def example_rows(self, version: ModelVersion) -> "pd.DataFrame":
        """Return the raw rows that a version was registered with as an example."""
        with self._files_of(version) as files:
            return read_example_rows(files)

    def model_names(self) -> tuple[str, ...]:
        """Return the names of all registered models on this MLflow, also of other projects."""
        found = self._client.search("search_registered_models", page_size=500)
        return tuple(sorted(str(model.name) for model in found))

    def of_model(self, name: str) -> "ModelRegistry":
        """Return a view of another registered model on this MLflow, only to read."""
        other = copy(self)
        other.name = name
        return other

    # Runs

    def open_run(self, digest: str, *, title: str, result: str | None = None) -> str:
        """Return the id of the run of a search; a new one unless there is one that fits.

        The caller holds the project's lock: runs of this project that still read RUNNING belong
        to processes that died, and are marked KILLED.

        Parameters
        ----------
        digest : str
            Of all that the search depends on (`SearchHeader.digest`).
        title : str
            The name of a new run.
        result : str, optional
            Digest of what is to be shown. A run is given to one result for good: what it shows
            is never mixed.
        """
        self._close_abandoned_runs()
        for run in self._search_runs(f"tags.`{SEARCH_TAG}` = '{digest}'"):
            if run.data.tags.get(RESULT_TAG) in (None, result):
                run_id = str(run.info.run_id)
                if result is not None:
                    self._client.set_tag(run_id, RESULT_TAG, result)
                if result is None or run.info.status != "FINISHED":
                    self._client.update_run(run_id, status="RUNNING")
                return run_id
        tags = {SEARCH_TAG: digest, **({RESULT_TAG: result} if result else {})}
        return self._create_run(title, "evertune train", tags)

    def log_trials(
        self, run_id: str, trials: Sequence[Trial], *, greater_is_better: bool, most: int
    ) -> None:
        """Bring the nested runs, and the curve of the best score, in line with the trials so far.

        The `most` best trials have exactly one run each afterwards.
        """
        from evertune.registry.mlflow_pages import score_curves, trial_pages

        pages = trial_pages(trials, greater_is_better=greater_is_better, most=most)
        nested = self._search_runs(f"tags.`mlflow.parentRunId` = '{run_id}'")
        shown = {int(run.data.tags[TRIAL_TAG]): str(run.info.run_id) for run in nested}
        for number in shown.keys() - pages.keys():
            self._client.delete_run(shown[number])
        for number in sorted(pages.keys() - shown.keys()):
            page = pages[number]
            tags = {**page.tags, "mlflow.parentRunId": run_id, TRIAL_TAG: str(number)}
            child = self._create_run(page.title, "evertune train", tags)
            self._log_values(child, points=_points(page), parameters=page.parameters)
            self._client.set_terminated(child, page.status)
        # A point that is logged again with the same time and step is the same point to MLflow.
        start = int(self._client.get_run(run_id).info.start_time)
        curve = score_curves(
            trials, greater_is_better=greater_is_better, started_milliseconds=start
        )
        self._log_values(run_id, points=curve)

    def log_page(self, run_id: str, page: RunPage) -> None:
        """Show everything that is known about a result in its run.

        Logging a page twice changes nothing but the times of its metrics.
        """
        self._client.update_run(run_id, name=page.title)
        self._log_values(
            run_id,
            points=_points(page),
            parameters=page.parameters,
            tags={**page.tags, NOTE_TAG: page.note},
        )
        self._log_files(run_id, page)
        cut = {name: text for name, text in page.parameters.items() if len(text) > MAX_TEXT_LENGTH}
        if cut:
            self._client.log_text(run_id, json.dumps(cut, ensure_ascii=False), LONG_PARAMETERS)
        if page.leaderboard is not None:
            text = page.leaderboard.to_json(orient="split", index=False)
            self._client.log_text(run_id, text, "leaderboard.json")
        self._client.log_inputs(
            run_id, datasets=[_dataset_input(each, read_table(each.path)) for each in page.tables]
        )

    def shows_result(self, run_id: str, *, result: str) -> bool:
        """Return whether the run shows this result in full."""
        run = self._client.get_run(run_id)
        return bool(run.info.status == "FINISHED" and run.data.tags.get(RESULT_TAG) == result)

    def finish_run(self, run_id: str) -> None:
        """Mark the run as showing its result in full."""
        self._client.set_terminated(run_id, "FINISHED")

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run; its others stay."""
        for name, value in tags.items():
            self._client.set_tag(run_id, name, value)

    def log_text(self, run_id: str, *, name: str, text: str) -> None:
        """Keep a text among the artifacts of a run."""
        self._client.log_text(run_id, text, name)

    def read_text(self, run_id: str, *, name: str) -> str | None:
        """Return a text at the top of the artifacts of a run; None if it has none.

        A process that was killed while it wrote may have left half of it.
        """
        store = self._store()
        kept = store and store.artifact_folder(run_id)
        if kept:
            return (kept / name).read_text("utf-8") if (kept / name).is_file() else None
        with TemporaryDirectory() as beside:
            found = self.download_artifact(run_id, name=name, folder=Path(beside))
            return None if found is None else found.read_text("utf-8")

    def download_artifact(self, run_id: str, *, name: str, folder: Path) -> Path | None:
        """Return a file or folder of a run's artifacts, copied to `folder`; None if it has none."""
        if name not in {each.path for each in self._client.list_artifacts(run_id)}:
            return None
        return self._client.fetch_artifacts(f"runs:/{run_id}/{name}", folder=folder)

    def has_run(self, run_id: str) -> bool:
        """Return whether there is a run with this id that was not deleted."""
        store = self._store()
        if store is not None:
            return store.has_run(run_id)
        try:
            return bool(self._client.get_run(run_id).info.lifecycle_stage == "active")
        except StageError as error:
            if error_code(error) == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def last_run(self) -> LastRun | None:
        """Return the newest run of a search, None if there is none."""
        store = self._store()
        if store is not None:
            run = store.last_run(self.experiment_id, tag=SEARCH_TAG)
            if run is None:
                return None
            started = run.started_milliseconds / 1000
            return LastRun(run.run_id, run.title, run.status, started)
        found = self._client.search_runs(
            [self.experiment_id],
            f"tags.`{SEARCH_TAG}` LIKE '%'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        if not found:
            return None
        info = found[0].info
        return LastRun(info.run_id, info.run_name, info.status, info.start_time / 1000)

    def finished_runs(self, parameter: str, *, most: int) -> tuple[FoundRun, ...]:
        """Return the newest finished runs of all projects that have a parameter, newest first."""
        names = {
            str(each.experiment_id): str(each.name)
            for each in self._client.search("search_experiments")
        }
        found = self._client.search_runs(
            list(names),
            f"attributes.status = 'FINISHED' AND params.`{parameter}` LIKE '%'",
            order_by=["attributes.start_time DESC"],
            max_results=most,
        )
        return tuple(
            FoundRun(str(run.info.run_id), names[str(run.info.experiment_id)], run.data.params)
            for run in found
        )

    def log_assessment(
        self, found: "Assessment", *, folder: Path, source: Path, rows: "pd.DataFrame"
    ) -> str:
        """Show an evaluation on demand in a run of its own and return the run's id.

        The same version judged by the same table again is shown in the same run. `folder` holds
        the pages, `source` is the file of the table `rows`.
        """
        from evertune.registry.mlflow_pages import assessment_page

        page = assessment_page(found, folder=folder)
        key = f"{found.version}-{found.digest}"
        run_id = self._get_or_create_run(ASSESSMENT_TAG, key, page, "evertune evaluate")
        self._log_values(run_id, points=_points(page))
        self._log_files(run_id, page)
        table = LoggedDataset(found.table, source, found.digest, "evaluation")
        self._client.log_inputs(run_id, datasets=[_dataset_input(table, rows)])
        self.finish_run(run_id)
        return run_id

    def log_comparison(self, found: "Comparison", *, files: Sequence[Path], digest: str) -> str:
        """Show a comparison of searchers in a run of its own and return the run's id.

        The same comparison (`digest`, of all its runs) is shown in the same run. `files` are its
        report and its plots.
        """
        from evertune.registry.mlflow_pages import comparison_curves, comparison_page

        page = comparison_page(found, files=files)
        run_id = self._get_or_create_run(COMPARISON_TAG, digest, page, "evertune compare")
        if not self.shows_result(run_id, result=digest):
            points = [*_points(page), *comparison_curves(found)]
            tags = {RESULT_TAG: digest}
            self._log_values(run_id, points=points, parameters=page.parameters, tags=tags)
        self._log_files(run_id, page)
        self.finish_run(run_id)
        return run_id

    def log_monitoring(self, *, page: Path, points: Sequence[MetricPoint]) -> str:
        """Show the monitoring page and its metrics in the model's one run for that; return its id.

        The page takes the place of the one before. Points that the run has are not sent again; a
        corrected value is another point.
        """
        title = f"monitoring {self.name}"
        shown = RunPage(title, MONITORING_NOTE, files=((page, ""),))
        run_id = self._get_or_create_run(MONITORING_TAG, self.name, shown, "evertune monitor")
        logged = {
            (name, each.value, each.step, each.timestamp)
            for name in {point.name for point in points}
            for each in self._client.get_metric_history(run_id, mlflow_key(name))
        }
        new = [p for p in points if (p.name, p.value, p.step, p.milliseconds) not in logged]
        self._log_values(run_id, points=new)
        self._log_files(run_id, shown)
        self.finish_run(run_id)
        return run_id

    # Inside

    @contextmanager
    def _files_of(self, version: ModelVersion) -> Iterator[Path]:
        """Give a copy of a version's files; what cannot be read in it is the version's error."""
        with TemporaryDirectory() as beside:
            files = self.download_version(version, folder=Path(beside))
            try:
                yield files
            except InputError as error:
                raise self._unusable(version, str(error).replace(f"{files}/", "")) from error

    def _unusable(self, version: ModelVersion, fault: str) -> StageError:
        number = version.number
        return StageError(
            f"version {number} of {self.name} is not loaded: {fault.rstrip('.')}. Put a copy of its"
            f" files back at {strip_credentials(version.source)}; or use another version:"
            " `evertune rollback`, or `evertune promote VERSION --reason ...`;"
            f" `evertune reproduce {number}` makes the model again"
        )

    def _store(self) -> EmbeddedStore | None:
        return embedded_store(self._database) if self._embedded else None

    def _open_experiment(self, artifacts: str) -> str:
        store = self._store()
        stored = store and store.experiment(self.name)
        if stored and stored.tags.get(PROJECT_ID_TAG) == self.project_id:
            return stored.experiment_id
        found = self._client.get_experiment_by_name(self.name)
        if found is None:
            tags = {**EXPERIMENT_TAGS, PROJECT_ID_TAG: self.project_id}
            location = None if self._client.address.startswith("http") else artifacts
            try:
                return str(
                    self._client.create_experiment(self.name, artifact_location=location, tags=tags)
                )
            except StageError as error:
                if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(self.name)  # another run was quicker
        if found.lifecycle_stage == "deleted":
            raise StageError(
                f"expected the MLflow experiment {self.name!r}, but it was deleted: restore it with"
                f" `mlflow experiments restore --experiment-id {found.experiment_id}`"
                " or change registry.name in params.yaml"
            )
        experiment_id = str(found.experiment_id)
        owner = found.tags.get(PROJECT_ID_TAG)
        if owner == self.project_id:
            return experiment_id
        if self._may_adopt(owner, experiment_id):
            self._client.set_experiment_tag(experiment_id, PROJECT_ID_TAG, self.project_id)
        else:
            raise self._foreign_name("experiment", owner)
        return experiment_id

    def _open_registered_model(self) -> None:
        tags = {PROJECT_ID_TAG: self.project_id}
        if not self._has_model():
            try:
                self._client.create_registered_model(
                    self.name, tags=tags, description="Kept tuned by Evertune."
                )
            except StageError as error:
                if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                    raise
        owner = self._client.get_registered_model(self.name).tags.get(PROJECT_ID_TAG)
        if owner == self.project_id:
            return
        versions = self._client.search_model_versions(f"name = '{self.name}'", max_results=100)
        runs = [self._client.get_run(each.run_id) for each in versions if each.run_id]
        is_ours = all(run.info.experiment_id == self.experiment_id for run in runs)
        if self._embedded or (owner is None and is_ours):
            self._client.set_registered_model_tag(self.name, PROJECT_ID_TAG, self.project_id)
        else:
            raise self._foreign_name("registered model", owner)

    def _may_adopt(self, owner: str | None, experiment_id: str) -> bool:
        """Return whether an experiment of another project's id, or of none, may be taken over.

        The embedded database is the project's own. On a shared server the runs of Evertune 0.1
        tell which machine and folder they came from.
        """
        if self._embedded or owner is not None:
            return self._embedded
        place = f"{socket.gethostname()}:{self._root}"
        marked = f"tags.`{PROJECT_TAG}` LIKE '%'"
        runs = self._client.search_runs([experiment_id], marked, max_results=1000)
        return all(run.data.tags[PROJECT_TAG] == place for run in runs)

    def _foreign_name(self, kind: str, owner: str | None) -> ParamsError:
        whose = "of another project" if owner is None else f"of the project with the id {owner}"
        address = strip_credentials(self._client.address)
        return ParamsError(
            f"expected {self.name!r} to be free for this project (id {self.project_id}) on the"
            f" MLflow at {address}, but its {kind} is {whose}; nothing was changed:"
            " set registry.name in params.yaml to a name of this project's own"
        )

    def _has_model(self) -> bool:
        return self._registered_model() is not None

    def _registered_model(self) -> Any:
        """Return MLflow's registered model, None if there is none: asking by name is an error."""
        found = self._client.search_registered_models(f"name = '{self.name}'")
        return found[0] if found else None

    def _all_aliases(self) -> dict[str, str]:
        store = self._store()
        if store is not None:
            return store.aliases(self.name)
        return _aliases_of(self._registered_model())

    def _with_runs(
        self, stored: Sequence[Any], aliases: Mapping[str, str]
    ) -> tuple[ModelVersion, ...]:
        """Return versions as MLflow's client has them, with what their runs say."""
        runs = self._runs({each.run_id for each in stored if each.run_id})
        made = []
        for each in stored:
            run = runs.get(each.run_id)
            params = {} if run is None else run.data.params
            values = {name: text for name, text in params.items() if name.startswith(DATA_PREFIX)}
            known = StoredVersion(
                number=str(each.version),
                run_id=str(each.run_id or ""),
                created_milliseconds=each.creation_timestamp,
                source=str(each.source),
                tags=dict(each.tags),
                run_values=values | (run.data.tags if run else {}),
                metrics=dict(run.data.metrics) if run else {},
            )
            made.append(_stored_version(known, aliases))
        return tuple(made)

    def _runs(self, run_ids: set[str]) -> dict[str, Any]:
        """Return runs by their ids, also deleted ones, without those that are gone for good."""
        from mlflow.entities import ViewType

        found: dict[str, Any] = {}
        wanted = sorted(run_ids)
        for start in range(0, len(wanted) if len(wanted) > 1 else 0, BATCH_SIZE):
            names = ", ".join(f"'{each}'" for each in wanted[start : start + BATCH_SIZE])
            for run in self._client.search(
                "search_runs",
                [self.experiment_id],
                f"attributes.run_id IN ({names})",
                run_view_type=ViewType.ALL,
            ):
                found[run.info.run_id] = run
        for run_id in set(wanted) - found.keys():  # a single one, or of another experiment
            try:
                found[run_id] = self._client.get_run(run_id)
            except StageError as error:
                if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                    raise
        return found

    def _log_model(self, run_id: str, model: Path, description: ModelDescription) -> Any:
        """Return the logged model with the description's identity, complete.

        `mlflow.models.Model.log` would do this in one call, but would log the model again after
        a kill; this finds and completes what was begun.
        """
        from mlflow.entities import LoggedModelOutput, Metric

        from evertune.registry.packaging import write_served_model

        wanted = f"tags.`{IDENTITY_TAG}` = '{description.identity}'"
        begun = self._client.search_logged_models([self.experiment_id], wanted)
        if begun and str(begun[0].status) == "READY":
            return begun[0]
        logged = (
            begun[0]
            if begun
            else self._client.create_logged_model(
                self.experiment_id,
                name=MODEL_FOLDER,
                source_run_id=run_id,
                tags={IDENTITY_TAG: description.identity, **description.tags},
            )
        )
        with TemporaryDirectory() as beside:
            # MLflow keeps the last part of the model's path, which model_folder relies on.
            link = Path(beside) / MODEL_FOLDER
            link.symlink_to(model, target_is_directory=True)
            served = Path(beside) / "served"
            write_served_model(
                served,
                model=link,
                inputs=description.inputs,
                outputs=description.outputs,
                example=description.example,
            )
            tags = {FILES_TAG: write_file_list(served)}
            self._client.set_logged_model_tags(logged.model_id, tags)
            self._client.log_model_artifacts(logged.model_id, str(served))
        now = int(time.time() * 1000)
        points = [
            Metric(mlflow_key(name), value, now, 0, model_id=logged.model_id)
            for name, value in description.metrics.items()
        ]
        self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        self._client.log_batch(run_id, metrics=points)
        return self._client.finalize_logged_model(logged.model_id, "READY")

    def _search_runs(self, filter_string: str) -> list[Any]:
        return self._client.search(
            "search_runs",
            [self.experiment_id],
            filter_string,
            order_by=["attributes.start_time DESC"],
        )

    def _get_or_create_run(self, tag: str, value: str, page: RunPage, command: str) -> str:
        found = self._search_runs(f"tags.`{tag}` = '{value}'")
        if found:
            return str(found[0].info.run_id)
        tags = {tag: value, **page.tags, NOTE_TAG: page.note}
        return self._create_run(page.title, command, tags)

    def _create_run(self, title: str, command: str, tags: Mapping[str, str]) -> str:
        every = {
            PROJECT_ID_TAG: self.project_id,
            "mlflow.source.name": command,
            "mlflow.source.type": "LOCAL",
            **tags,
        }
        made = self._client.create_run(self.experiment_id, tags=every, run_name=title)
        return str(made.info.run_id)

    def _close_abandoned_runs(self) -> None:
        for run in self._search_runs("attributes.status = 'RUNNING'"):
            if TRIAL_TAG in run.data.tags:
                self._client.delete_run(run.info.run_id)  # half of it may be missing
            elif SEARCH_TAG in run.data.tags:
                self._client.set_terminated(run.info.run_id, "KILLED")

    def _log_values(
        self,
        run_id: str,
        *,
        points: Sequence[MetricPoint] = (),
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics, parameters and tags in as few calls as MLflow allows."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        metrics = [
            Metric(mlflow_key(p.name), p.value, p.milliseconds or now, p.step) for p in points
        ]
        params = [Param(name, _shorten(text)) for name, text in (parameters or {}).items()]
        marks = [
            RunTag(mlflow_key(name), text[:MAX_TEXT_LENGTH]) for name, text in (tags or {}).items()
        ]
        for start in range(0, max(len(metrics), len(params), len(marks)), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            self._client.log_batch(run_id, metrics[part], params[part], marks[part])

    def _log_files(self, run_id: str, page: RunPage) -> None:
        for path, folder in page.files:
            add = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            add(run_id, str(path), folder or None)


def _shorten(text: str) -> str:
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    return f"{text[: MAX_TEXT_LENGTH - len(CUT)]}{CUT}"


def _points(page: RunPage) -> list[MetricPoint]:
    return [MetricPoint(name, value) for name, value in page.metrics.items()]


def model_folder(files: Path) -> Path:
    """Return the folder that `save_model` wrote among a version's files."""
    return files / "data" / MODEL_FOLDER


def read_example_rows(files: Path) -> "pd.DataFrame":
    """Return the raw rows of the example among a version's files; InputError if there are none."""
    import pandas as pd

    try:
        example = json.loads((files / EXAMPLE_FILE).read_text(encoding="utf-8"))
        return pd.DataFrame(example["data"], columns=example["columns"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{files / EXAMPLE_FILE}: expected rows, but they cannot be read: {error}"
        ) from error


def version_text(number: str | None) -> str:
    """Return a version, or that there is none, in words."""
    return "no version" if number is None else f"version {number}"


def predict_with_registered_model(
    registry: ModelRegistry, uri: str, *, table: "pd.DataFrame", positive: str | float | bool
) -> "pd.Series":
    """Return what a registered model predicts for n rows, as a source table would hold it.

    Parameters
    ----------
    registry : ModelRegistry
        Of the project; the model may be another one on the same MLflow.
    uri : str
        ``models:/NAME/NUMBER`` or ``models:/NAME@ALIAS``, a model that Evertune registered.
    table : DataFrame of n rows
        Text or typed cells.
    positive : str
        The class of interest in a binary task, or `auto`.

    Returns
    -------
    series of n
        Values; or classes as text; or, in a binary task in which `positive` is a class, its
        probabilities.

    Raises
    ------
    ParamsError
        The address names no model.
    InputError
        There is no such version.
    TableError
        The table lacks what the model needs.
    """
    from evertune.models.persistence import predict_rows, prediction_table

    found = MODEL_URI.fullmatch(uri)
    if found is None:
        raise ParamsError(
            "data.existing_model must be models:/NAME/NUMBER or models:/NAME@ALIAS, but got"
            f" {uri!r}."
        )
    other = registry.of_model(found["name"])
    model = other.load_model(other.version(found["number"] or found["alias"]))
    predicted = prediction_table(predict_rows(model, table), model.schema)
    probability = f"probability_{positive}"
    is_binary = len(model.schema.classes) == 2
    return predicted[probability if is_binary and probability in predicted else "prediction"]


def _aliases_of(model: Any) -> dict[str, str]:
    return {} if model is None else {alias: str(n) for alias, n in model.aliases.items()}


def _stored_version(stored: StoredVersion, aliases: Mapping[str, str]) -> ModelVersion:
    facts = stored.run_values | stored.tags  # earlier releases tagged the version with all of it
    former = {
        f"{HOLDOUT_PREFIX}{name.removeprefix(FORMER_METRIC_PREFIX)}": float(value)
        for name, value in stored.tags.items()
        if name.startswith(FORMER_METRIC_PREFIX)
    }
    return ModelVersion(
        number=stored.number,
        identity=facts.get(IDENTITY_TAG, ""),
        run_id=stored.run_id,
        created_seconds=stored.created_milliseconds / 1000,
        source=stored.source,
        facts=facts,
        metrics=former or stored.metrics,
        aliases=tuple(sorted(name for name, holder in aliases.items() if holder == stored.number)),
    )


def _with_own_words(before: str | None, text: str) -> str:
    """Return a description that keeps what a person wrote below `OWN_WORDS` in the one before."""
    _, _, words = (before or "").partition(OWN_WORDS)
    room = MAX_DESCRIPTION_LENGTH - len(OWN_WORDS) - len(words)
    return f"{text[: max(room, 0)]}{OWN_WORDS}{words}"


def _dataset_input(table: LoggedDataset, rows: "pd.DataFrame") -> Any:
    """Return a table as MLflow shows it among the inputs of a run, with DVC's md5 as digest."""
    import mlflow.data
    from mlflow.entities import Dataset, DatasetInput, InputTag

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice about whole numbers, and its use of pandas
        found = mlflow.data.from_pandas(rows, str(table.path), name=table.name, digest=table.md5)
        shown = Dataset(**found.to_dict())
    tags = [InputTag("mlflow.data.context", table.context), InputTag("dvc.md5", table.md5)]
    return DatasetInput(shown, tags)
