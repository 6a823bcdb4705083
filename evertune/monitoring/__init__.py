"""Monitoring of a model in production, and the decision to retrain it.

One run, `monitor.monitor`, step by step:

1. read the log: `prediction_log` (predictions, labels, retention), `log_frames` (the log as
   tables), `window_bounds` (time windows and seasons), `label_delay` (when labels have matured)
2. measure each window (`monitoring_run`): data quality (`data_contract`), drift (`drift`,
   `joint_drift`), estimated performance (`estimation`, `loss_estimators`), realised performance
   (`performance`, `loss_process`)
3. compare with thresholds: `triggers`
4. decide to retune, refit, roll back, wait or do nothing: `policy.decide`, from the `state`
5. record the decision in `evertune.registry.decision_log`, and the `results` for /metrics

Around it:

- `reference`, `reference_store`, `input_reference`: what production is compared with
- how drift is measured: `bins` parses and counts raw columns, `column_reference` and
  `window_profiles` hold the counts of the reference and of a window, `drift_statistics` compares
  them, and `drift_null` says how much windows differ when nothing changed
- `load_labels`: tables of late labels
- `retraining`: the snapshot of labelled rows and the plan of a refit or retune
- `backtest`: what triggers would have done
- `report`: the HTML page and MLflow

The schedule is `monitoring.cron` of params.yaml.
"""
