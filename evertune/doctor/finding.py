"""What a check gets, and what it yields."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from evertune.config.loader import load_params, load_paths
from evertune.config.schema import Params, PathsSection
from evertune.errors import ParamsError
from evertune.files import is_project_locked

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes
    ----------
    check : str
        The check that found it.
    level : str
        An `error` has to be mended before work; a `warning` has not.
    text : str
        What was found, in a sentence.
    command : str, optional
        Mends it, typed in the project's folder.
    by_hand : str, optional
        What to do where no command mends it.
    """

    check: str
    level: Level
    text: str
    command: str | None = None
    by_hand: str | None = None


class Place:
    """A project's folder; what is broken in it must not keep the other checks from working.

    Parameters
    ----------
    root : Path
        The project's folder, absolute.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def params(self) -> Params | None:
        """The values of params.yaml; None if the file has faults, which is another finding."""
        try:
            return load_params(self.root)
        except ParamsError:
            return None

    @cached_property
    def paths(self) -> PathsSection:
        """The absolute paths; the usual ones if params.yaml cannot tell."""
        if self.params is not None:
            return self.params.paths
        try:
            return load_paths(self.root)
        except ParamsError:
            usual = PathsSection()
            return usual.model_copy(update={name: self.root / path for name, path in usual})

    @property
    def state(self) -> Path:
        """The folder of what runs leave behind."""
        return self.paths.state

    @cached_property
    def is_running(self) -> bool:
        """Whether a run holds the project now: what it leaves half-done is no finding then."""
        return self.state.is_dir() and is_project_locked(self.state)
