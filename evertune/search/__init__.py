"""The search: space, study, samplers, portfolio, objective, Ray Tune."""
