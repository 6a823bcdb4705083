"""Bootstrap intervals, tests of two models, sequential tests."""
