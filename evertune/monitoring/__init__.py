"""The prediction log, windows, data contract, drift, performance, triggers, policy."""
