"""The stages in the folder of a version that is made again, in a process of its own.

The process runs the code of that folder. No clock decides there: fits have all the time that they
need, and what the search decided is fitted again instead of searched for.
"""

import inspect
import os
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from time import monotonic

from flows.progress import say
from flows.stages import stage_function
from pipelines.errors import EvertuneError, StageError
from pipelines.params import load_params
from pipelines.rebuild import AMPLE_SECONDS, settle
from pipelines.sections import Params

STEPS = ("prepare", "split", "baseline", "rebuild", "fit", "evaluate")


def remake_apart(folder: Path) -> None:
    """Run the stages of a folder with its own code.

    Raises
    ------
    StageError
        A stage failed there.
    """
    command = [sys.executable, "-m", "flows.rebuilding"]
    settings = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=settings, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise StageError(f"expected to run the stages in {folder}, but it failed: {lines[-1]}")


def remake(root: Path) -> None:
    """Make the model and the figures of the project in `root` from what is recorded there."""
    params = without_clock(load_params(root))
    for name in STEPS:
        started, told = monotonic(), StringIO()
        with redirect_stdout(told):
            _call(name, params)
            if name == "fit":
                settle(params.paths)
        last = told.getvalue().strip().rpartition("\n")[2]
        say(name, f"done in {monotonic() - started:.1f} s: {last}")


def without_clock(params: Params) -> Params:
    """Return the values with ample time to fit, and without a search that judges the search."""
    fit, evaluation = params.fit, params.evaluation.model_copy(update={"nested": False})
    if fit.budget_seconds is not None:
        fit = fit.model_copy(update={"budget_seconds": AMPLE_SECONDS})
    return params.model_copy(update={"fit": fit, "evaluation": evaluation})


def main() -> int:
    """Run the stages in the working directory and return the exit code."""
    try:
        remake(Path.cwd())
    except EvertuneError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


def _call(name: str, params: Params) -> None:
    run = stage_function(name)
    run(**{section: getattr(params, section) for section in inspect.signature(run).parameters})


if __name__ == "__main__":
    raise SystemExit(main())
