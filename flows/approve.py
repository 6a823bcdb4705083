"""The flow `approve` of this project."""

from evertune.orchestration.approve import approval

__all__ = ["approval"]
