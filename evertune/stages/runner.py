"""Run the stages of a project's dvc.yaml in this process, and have DVC record what they make.

Reads dvc.yaml, params.yaml and pipelines/<stage>.py. Writes what the stages write, and dvc.lock.

A stage is the function `run` of the project's own file `pipelines/<stage>.py`, called with the
sections of params.yaml that its signature names. DVC decides what is up to date. There is no
Prefect here: the flows make a task of every stage, a replay runs them as they are.
"""

from collections.abc import Callable
from pathlib import Path

from evertune.config.loader import call_with_sections
from evertune.errors import StageError
from evertune.failpoints import failpoint
from evertune.files import load_project_file, template_folder
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
        run_and_record(root, name, run=stage_function(root, name))
        ran.append(name)
        say(name, "done")
    return tuple(ran)


def stage_function(root: Path, name: str) -> Callable[..., None]:
    """Return the function `run` of `pipelines/<name>.py` in the project's folder.

    A folder without pipelines/ runs the packaged files.

    Raises
    ------
    StageError
        If the project has no such file, the file no such function, or it cannot be imported.
    """
    folder = root.absolute() / "pipelines"
    if not folder.is_dir():  # a version that is rebuilt has its data and values alone
        folder = template_folder() / "pipelines"
    path = folder / f"{name}.py"
    if not path.is_file():
        raise StageError(
            f"expected the stage '{name}' in {path}, but there is no such file. Restore it, or "
            "take the stage out of dvc.yaml."
        )
    run: Callable[..., None] | None = getattr(load_project_file(path), "run", None)
    if not callable(run):
        raise StageError(f"expected a function `run` in {path}, but it has none. Write it.")
    return run


def run_and_record(root: Path, name: str, *, run: Callable[..., None]) -> None:
    """Run a stage and have DVC record what it made.

    Raises
    ------
    StageError
        If what the stage depends on changed while it ran; nothing is recorded.
    """
    before = dvc.dependency_hashes(root, name)
    call_with_sections(run, root)
    failpoint("stage.ran")
    after = dvc.dependency_hashes(root, name)
    changed = sorted(key for key in before | after if before.get(key) != after.get(key))
    if changed:
        raise StageError(
            f"{', '.join(changed)} changed while '{name}' ran, so its results belong to neither "
            "state and are not recorded. Run `evertune train` again."
        )
    dvc.commit_stage(root, name)
    failpoint("stage.recorded")
