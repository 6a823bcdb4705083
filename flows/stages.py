"""The stages of dvc.yaml in this process: run what is not up to date, and have DVC record it.

No Prefect here: train and retune make a task of every stage, replay runs them as they are.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from pipelines.errors import StageError
from pipelines.params import call_with_sections
from pipelines.stores import versions

Say = Callable[[str, str], None]


def bring_up_to_date(root: Path, say: Say) -> tuple[str, ...]:
    """Run every stage that is not up to date, each after those that it depends on.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    say : function
        Called with the name of a stage and what became of it.

    Returns
    -------
    tuple of str
        The stages that were run.
    """
    ran = []
    for name in versions.stages(root):
        if versions.is_current(root, name):
            say(name, "up to date")
            continue
        make(root, name, run=stage_function(name))
        ran.append(name)
        say(name, "done")
    return tuple(ran)


def stage_function(name: str) -> Callable[..., None]:
    """Return the `run` of a stage."""
    run: Callable[..., None] = import_module(f"pipelines.{name}").run
    return run


def make(root: Path, name: str, *, run: Callable[..., None]) -> None:
    """Run a stage and have DVC record what it made.

    Parameters
    ----------
    root : Path
    name : str
        Of the stage in dvc.yaml.
    run : function
        What the stage does; called with the sections of params.yaml that its signature names.

    Raises
    ------
    StageError
        What the stage depends on was changed while it ran; nothing is recorded.
    """
    before = versions.dependency_hashes(root, name)
    call_with_sections(run, root)
    after = versions.dependency_hashes(root, name)
    changed = sorted(key for key in before | after if before.get(key) != after.get(key))
    if changed:
        raise StageError(
            f"{', '.join(changed)} changed while '{name}' ran, so what it made belongs to neither"
            " state and is not recorded. Run `evertune train` again."
        )
    versions.commit(root, name)
