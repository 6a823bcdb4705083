"""Score: predict the table of scoring.source, and load labels that came late.

`evertune score` runs this flow; its deployment runs at the times of scoring.cron.
"""

from prefect import flow

from evertune.orchestration.tasks import load_labels, score_table
from evertune.serving.batch import ScoringResult


@flow(name="score", persist_result=False)
def score(root: str) -> ScoringResult:
    """Score the table with the champion, and load the labels that scoring.labels names."""
    scored = score_table(root)
    load_labels(root)
    return scored
