"""Run the stages again in the folder of a version that is being reproduced.

`rerun_stages_in_subprocess` starts a process that runs them with the installed Evertune. No time
limit decides there: fits have ample time, and the search's recorded result is refitted instead of
searched for again.
"""

import inspect
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from time import monotonic

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.errors import EvertuneError, StageError
from evertune.orchestration.progress import print_step
from evertune.stages import rebuild
from evertune.stages.rebuild import AMPLE_SECONDS, drop_unrecorded_members
from evertune.stages.runner import stage_function

STEPS = ("prepare", "split", "baseline", "rebuild", "fit", "evaluate")


def rerun_stages_in_subprocess(folder: Path) -> None:
    """Run the stages of a folder with the installed Evertune, in a process of its own.

    Modules of the user's are imported by their names; this process may know those of the project.

    Raises
    ------
    StageError
        A stage failed there.
    """
    command = [sys.executable, "-m", "evertune.orchestration.rerun_stages"]
    done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise StageError(f"expected to run the stages in {folder}, but it failed: {lines[-1]}")


def rerun_stages(root: Path) -> None:
    """Make the model and the figures of the project in `root` from what is recorded there."""
    params = without_time_limits(load_params(root))
    for name in STEPS:
        started, told = monotonic(), StringIO()
        with redirect_stdout(told):
            _run_stage(root, name, params)
            if name == "fit":
                drop_unrecorded_members(params.paths)
        last = told.getvalue().strip().rpartition("\n")[2]
        print_step(name, f"done in {monotonic() - started:.1f} s: {last}")


def without_time_limits(params: Params) -> Params:
    """Return the values with ample time to fit, and without a search that judges the search."""
    fit, evaluation = params.fit, params.evaluation.model_copy(update={"nested": False})
    if fit.budget_seconds is not None:
        fit = fit.model_copy(update={"budget_seconds": AMPLE_SECONDS})
    return params.model_copy(update={"fit": fit, "evaluation": evaluation})


def main() -> int:
    """Run the stages in the working directory and return the exit code."""
    try:
        rerun_stages(Path.cwd())
    except EvertuneError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


def _run_stage(root: Path, name: str, params: Params) -> None:
    run = rebuild.run if name == "rebuild" else stage_function(root, name)
    run(**{section: getattr(params, section) for section in inspect.signature(run).parameters})


if __name__ == "__main__":
    raise SystemExit(main())
