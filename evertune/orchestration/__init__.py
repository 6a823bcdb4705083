"""What flows share: Prefect tasks, progress, deployments, servers and processes.

- `tasks`: what the flows in flows/ are made of; `steps`: the same without Prefect.
- `carry_out_decision`: the steps of a refit, retune or rollback.
- `deployments`: schedules and triggers; `server_names`: how servers tell projects apart.
- `progress`: a running search in the terminal, in Prefect and in MLflow.
- `server`, `processes`, `child_process`: servers that end with the command that started them.
"""
