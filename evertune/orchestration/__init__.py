"""What flows share: Prefect tasks, progress, deployments, the server of a run."""
