"""A project: a folder with a params.yaml, and everything that is done with it from Python.

>>> project = Project("models/churn")     # doctest: +SKIP
>>> project.train().decision              # doctest: +SKIP
'promote'
>>> project.champion().predict(rows)      # doctest: +SKIP

`Project` opens what it needs when it is first asked for, so that making one costs nothing and
importing this module is cheap. Use it as a context manager where the prediction log is read,
or call `close`. `project_id` is the name under which servers that several projects share tell
one project from another.
"""

import re
import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from evertune.errors import ParamsError
from evertune.identity import project_id

if TYPE_CHECKING:
    from evertune.config.schema import Params
    from evertune.database import ModelLog
    from evertune.decisions import DecisionOutcome
    from evertune.models.persistence import ServedModel
    from evertune.monitoring.results import MonitoringResult
    from evertune.registry.mlflow_registry import ModelRegistry
    from evertune.registry.overview import ProjectStatus, VersionHistory, VersionSummary
    from evertune.registry.promotion_records import Verdict
    from evertune.serving.batch import ScoringResult

MAX_NAME_LENGTH = 100  # of a name that is made from a file's
TABLE_SUFFIXES = re.compile(r"(\.(csv|tsv|txt|gz|parquet|pq|sql))+$", re.IGNORECASE)


class Project:
    """A folder with a params.yaml.

    Parameters
    ----------
    root : path
        The project's folder; relative to the working directory.

    Raises
    ------
    ParamsError
        There is no params.yaml in `root`; faults in it are raised when `params` is first read.
    """

    def __init__(self, root: str | Path = ".") -> None:
        self.root = Path(root).absolute()
        if not (self.root / "params.yaml").is_file():
            raise ParamsError(
                f"expected a project's folder, but there is no params.yaml in {self.root}; make a"
                f" project with `evertune init {root}`"
            )

    @classmethod
    def find(cls, start: Path | None = None) -> Self:
        """Return the project that a folder (by default the working directory) lies in.

        Raises
        ------
        ParamsError
            Neither the folder nor one above it has a params.yaml.
        """
        from evertune.config.loader import find_root

        return cls(find_root(start or Path.cwd()))

    def __enter__(self) -> Self:
        """Return the project; the block's end closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the project."""
        self.close()

    def __repr__(self) -> str:
        """Return the call that makes it."""
        return f"Project({str(self.root)!r})"

    @property
    def id(self) -> str:
        """The id in data/project.json, which is made at first use."""
        return project_id(self.root)

    @cached_property
    def params(self) -> "Params":
        """The values of params.yaml, checked, with absolute paths; read once."""
        from evertune.config.loader import load_params

        return load_params(self.root)

    @property
    def name(self) -> str:
        """The name of the registered model (`registry.name`)."""
        return self.params.registry.name

    @property
    def state(self) -> Path:
        """The folder of what runs leave behind on this machine (`paths.state`)."""
        return self.params.paths.state

    @cached_property
    def registry(self) -> "ModelRegistry":
        """The project's runs and registered versions in MLflow."""
        from evertune.registry.mlflow_registry import open_registry

        return open_registry(self.params)

    @cached_property
    def log(self) -> "ModelLog":
        """The log of predictions, labels and decisions; `close` gives its connections back."""
        from evertune.database import database_url, open_log

        address = database_url(self.params.scoring.log_variable)
        return open_log(self.state, model=self.name, address=address)

    def close(self) -> None:
        """Give back the connections of the log; the project can be used again afterwards."""
        log = self.__dict__.pop("log", None)
        if log is not None:
            log.close()

    def lock(self, purpose: str) -> AbstractContextManager[None]:
        """Hold the project for one run.

        Parameters
        ----------
        purpose : str
            Shown to whoever finds the project locked, such as `evertune train`.

        Raises
        ------
        BusyError
            Another run holds it.
        """
        from evertune.files import project_lock

        return project_lock(self.state, purpose)

    def train(self, *, say: Callable[[str], None] = lambda _: None) -> "Verdict":
        """Bring every stage up to date and register the model, as `evertune train` does.

        Parameters
        ----------
        say : callable
            Takes the line with the address at which Prefect shows the run.
        """
        from evertune.orchestration.environment import set_defaults
        from evertune.orchestration.server import prefect_server
        from evertune.search.check_params import check_search_params

        set_defaults(self.state)
        check_search_params(self.root)
        self._check_servers()
        with self.lock("evertune train"), prefect_server(self.state) as wait_until_ready:
            # The server needs seconds to come up, which is when the work's imports are made.
            from evertune.orchestration.progress import step_progress

            with step_progress("start"):
                from evertune.stages.snapshot import check_source

                check_source(self.root)
                from evertune.orchestration.tasks import run_flow

                address = wait_until_ready()
            say(f"Prefect shows the run at {address}")
            verdict: Verdict = run_flow(self.root, "train")
            return verdict

    def _check_servers(self) -> None:
        """Check that the servers that a run needs only at its end answer now."""
        from evertune.database import database_url
        from evertune.registry.mlflow_connection import check_reachable, tracking_address

        check_reachable(tracking_address(self.state))
        variable = self.params.scoring.log_variable
        if log := database_url(variable):
            check_reachable(log, variable=str(variable))

    def score(self) -> "ScoringResult":
        """Score the table of `scoring.source` with the champion and log every prediction."""
        from evertune.serving.batch import score

        return score(self.root, now=datetime.now(UTC))

    def monitor(
        self, *, act: bool = False, now: datetime | None = None
    ) -> "tuple[MonitoringResult, DecisionOutcome | None]":
        """Look at production and decide.

        Parameters
        ----------
        act : bool
            Whether to carry the decision out in this process.
        now : datetime, optional
            Aware; by default what `monitoring.now` says.

        Returns
        -------
        tuple
            What was found and decided, and what came of it; None where nothing was done.
        """
        from evertune.orchestration.carry_out_decision import (
            monitor_and_act,
            resolve_now,
            run_monitoring,
        )
        from evertune.orchestration.progress import print_step

        moment = now or resolve_now(self.root, None)
        if act:
            return monitor_and_act(self.root, now=moment, say=print_step)
        return run_monitoring(self.root, now=moment, say=print_step), None

    def champion(self) -> "ServedModel":
        """Return the model in use; its `predict` takes rows and returns a table of predictions.

        Raises
        ------
        StageError
            There is no champion yet, or its files are gone.
        """
        from evertune.models.persistence import ServedModel

        return ServedModel(self.registry.load_model(self.registry.require_champion()))

    def status(self) -> "ProjectStatus":
        """Return which version is champion, its scores, and which stages are out of date."""
        from evertune.registry.overview import read_status

        return read_status(self.root)

    def history(self) -> "VersionHistory":
        """Return which version was champion when, and every decision."""
        from evertune.registry.overview import read_history

        return read_history(self.root)

    def models(self, *, used: str | None = None) -> "tuple[VersionSummary, ...]":
        """Return the registered versions, the newest first.

        Parameters
        ----------
        used : str, optional
            The md5 of a table, or its beginning: only versions that learned from it.
        """
        from evertune.registry.overview import list_models

        return list_models(self.root, used=used)


def registry_name(file: str) -> str:
    """Return a file's name without its endings, as a name that the registry accepts.

    Accents are left out, and what else MLflow, Prefect or the address of the service refuses
    becomes a dash.
    """
    letters = unicodedata.normalize("NFKD", TABLE_SUFFIXES.sub("", Path(file).name))
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", re.sub(r"[\u0300-\u036f]", "", letters))
    return plain.strip("-_.")[:MAX_NAME_LENGTH].rstrip("-_.") or "model"
