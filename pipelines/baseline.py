"""Stage: score the baselines that a model must beat."""

from evertune.config.loader import run_stage
from evertune.stages.baseline import run

if __name__ == "__main__":
    raise SystemExit(run_stage(run))
