"""Stage: part the clean table into training, selection and hold-out rows, and folds."""

from evertune.config.loader import run_stage
from evertune.stages.split import run

if __name__ == "__main__":
    raise SystemExit(run_stage(run))
