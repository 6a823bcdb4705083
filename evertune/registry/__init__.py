"""MLflow and all that decides about versions: the gate, promotion, decision records, rebuilding.

| question | module |
|---|---|
| What reads and writes MLflow (runs, versions, aliases)? | `mlflow_registry`: `ModelRegistry` |
| Which store is it, and where do its files lie? | `mlflow_connection`, `embedded_store` |
| What is shown of a run and a version? | `registration_inputs`, `mlflow_pages`, `run_page` |
| What makes a version load without Evertune? | `packaging`, `pyfunc` |
| May a version become champion? | `gates` (the rule), `evidence`, `holdout_reuse` |
| What registers a result and judges it? | `register`, `already_registered` |
| What promotes, approves, rejects, rolls back? | `promotion` |
| Where are decisions recorded? | `decision_log`, `promotion_records`, `decision_page` |
| What shows, rebuilds or evaluates versions? | `overview`, `reproduce`, `evaluate_version` |
| What frees space? | `gc` |
"""
