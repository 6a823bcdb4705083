"""Run the stages of dvc.yaml in this process and have DVC record what they make.

`run_outdated_stages` runs every stage that is not up to date, in the order of dependencies.
`run_and_record` refuses to record a stage whose dependencies changed while it ran. There is no
Prefect here: the train and retune flows make a task of every stage, a replay runs them as they
are.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from evertune.config.loader import call_with_sections
from evertune.errors import StageError
from evertune.versioning import dvc

StageReporter = Callable[[str, str], None]


def run_outdated_stages(root: Path, say: StageReporter) -> tuple[str, ...]:
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
    for name in dvc.list_stages(root):
        if dvc.is_stage_current(root, name):
            say(name, "up to date")
            continue
        run_and_record(root, name, run=stage_function(name))
        ran.append(name)
        say(name, "done")
    return tuple(ran)


def stage_function(name: str) -> Callable[..., None]:
    """Return the `run` of a stage."""
    run: Callable[..., None] = import_module(f"evertune.stages.{name}").run
    return run


def run_and_record(root: Path, name: str, *, run: Callable[..., None]) -> None:
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
    before = dvc.dependency_hashes(root, name)
    call_with_sections(run, root)
    after = dvc.dependency_hashes(root, name)
    changed = sorted(key for key in before | after if before.get(key) != after.get(key))
    if changed:
        raise StageError(
            f"{', '.join(changed)} changed while '{name}' ran, so what it made belongs to neither"
            " state and is not recorded. Run `evertune train` again."
        )
    dvc.commit_stage(root, name)
