"""Approve: ask a person in Prefect's UI whether a version may become champion.

Registering starts this flow's deployment for a version that passed the gates, where
registry.approval is true. `evertune approve VERSION` answers from the terminal instead.
"""

from prefect import flow

from evertune.orchestration.tasks import apply_answer, ask_person


@flow(name="approve", persist_result=True)
def approve(root: str, version: str) -> str:
    """Wait for a person's answer, then make the version champion or leave it challenger."""
    return apply_answer(root, version, ask_person(version))
