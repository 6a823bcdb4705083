"""Stage: build the final model from the trials of the search."""

from evertune.config.loader import run_stage
from evertune.stages.fit import run

if __name__ == "__main__":
    raise SystemExit(run_stage(run))
