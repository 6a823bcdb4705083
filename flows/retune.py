"""Retune: carry out a decision, which is to refit, to retune or to roll back.

A refit or a retune takes a snapshot, takes in production's labels, writes the plan of what the
stages are to do, brings each stage of dvc.yaml up to date, registers the model and records the
outcome (`evertune.orchestration.carry_out_decision.decision_steps`). `evertune retune DECISION`
runs this flow; its deployment is started by the event of a decision.
"""

from prefect import flow

from evertune.decisions import DecisionOutcome
from evertune.orchestration.tasks import follow_decision


@flow(name="retune", persist_result=False)
def retune(root: str, decision_id: str, resume: bool = False) -> DecisionOutcome:
    """Carry out a decision that `monitor` made, unless it was taken up before."""
    return follow_decision(root, decision_id, resume=resume)
