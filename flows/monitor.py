"""The flow `monitor` of this project."""

from evertune.orchestration.monitor import monitoring

__all__ = ["monitoring"]
