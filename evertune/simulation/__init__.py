"""Replay of a table in the order of time, policies compared, simulated traffic."""
