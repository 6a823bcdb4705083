"""The flow `train` of this project."""

from evertune.orchestration.train import train, train_alone

__all__ = ["train", "train_alone"]
