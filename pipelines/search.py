"""Stage: search for the best configurations until the budget is used up."""

from evertune.config.loader import run_stage
from evertune.stages.search import run

if __name__ == "__main__":
    raise SystemExit(run_stage(run))
