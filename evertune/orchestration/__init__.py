"""What flows share: steps, Prefect tasks, progress, deployments, servers and processes."""
