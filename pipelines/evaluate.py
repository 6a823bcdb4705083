"""Stage: evaluate the model on the hold-out and write figures, plots and the report."""

from evertune.config.loader import run_stage
from evertune.stages.evaluate import run

if __name__ == "__main__":
    raise SystemExit(run_stage(run))
