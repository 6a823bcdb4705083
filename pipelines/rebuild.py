"""Stage: fit the recorded trials of a version again, in place of a search."""

from evertune.config.loader import run_stage
from evertune.stages.rebuild import run

if __name__ == "__main__":
    raise SystemExit(run_stage(run))
