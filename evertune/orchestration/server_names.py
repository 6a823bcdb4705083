"""The names under which servers that several projects share know a project.

All are made from the project's id (`evertune.identity.project_id`): two projects whose models
have one name never take over each other's deployments, automations or runs.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from evertune.config.loader import load_params
from evertune.files import template_folder
from evertune.identity import project_id

FLOW_NAMES = ("train", "score", "monitor", "retune", "approve")
DECISION_EVENT = "evertune.decision"
PROCESS_TAG = "process:"


@dataclass(frozen=True)
class ProjectIdentity:
    """A project as servers know it.

    Attributes
    ----------
    id : str
        The UUID of data/project.json.
    model : str
        `registry.name`, for people.
    state : Path
        The project's `state` folder on this machine.
    """

    id: str
    model: str
    state: Path

    @classmethod
    def of(cls, root: Path) -> Self:
        """Return the identity of the project in a folder."""
        params = load_params(root)
        return cls(project_id(root), params.registry.name, params.paths.state.resolve())

    @property
    def deployment(self) -> str:
        """The name of each flow's deployment, such as `churn-1b671a64`."""
        return f"{self.model}-{self.id[:8]}"

    @property
    def resource(self) -> str:
        """The resource of the project's events."""
        return f"evertune.project.{self.id}"

    @property
    def tags(self) -> list[str]:
        """The tags of every run of the project."""
        return [f"project:{self.id}", f"model:{self.model}"]

    @property
    def deployed_tag(self) -> str:
        """The tag of runs that a deployment started."""
        return f"deployed:{self.id}"

    @property
    def served_tag(self) -> str:
        """The tag of runs that `evertune up` on this machine started."""
        return f"served:{socket.gethostname()}:{self.state}"


def process_tag() -> str:
    """Return the tag of runs that live in this process."""
    return f"{PROCESS_TAG}{socket.gethostname()}:{os.getpid()}"


def flow_file(root: Path, name: str) -> Path:
    """Return the file of a flow: the project's own, or the packaged one where it has none."""
    own = root / "flows" / f"{name}.py"
    if own.is_file():
        return own
    return template_folder() / "flows" / f"{name}.py"
