"""MLflow: runs, versions, aliases; the promotion gate, decision records, reproduce."""
