"""The scoring service and batch scoring."""
