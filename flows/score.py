"""The flow `score` of this project."""

from evertune.orchestration.score import score

__all__ = ["score"]
