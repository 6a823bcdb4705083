"""Stage: clean the source table and write its schema."""

from evertune.config.loader import run_stage
from evertune.stages.prepare import run

if __name__ == "__main__":
    raise SystemExit(run_stage(run))
