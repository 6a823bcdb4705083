"""The flow `retune` of this project."""

from evertune.orchestration.retune import retune

__all__ = ["retune"]
