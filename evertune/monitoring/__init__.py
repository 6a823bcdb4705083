"""Monitoring of a model in production, and the decision to retrain it.

Where to look:

- `monitor`: one run, from the log to the recorded decision; `monitoring_run`: the windows of one
  version and their findings
- `prediction_log`: predictions, labels, export and retention; `load_labels`: tables of late labels;
  `log_frames`: the log as tables
- `window_bounds`, `label_delay`: time windows, seasons, and when the labels of a window have
  matured
- `reference`, `input_reference`, `performance`: what production is compared with
- `data_contract`, `drift`, `joint_drift`, `estimation`, `performance`, `loss_process`: findings
- `bins`, `column_reference`, `window_profiles`, `drift_statistics`, `drift_null`: how drift is
  measured
- `triggers`: which findings raise an alarm; `backtest`: what triggers would have done
- `policy`: the rules that decide about alarms (`decide`); `state`: what happened before
- `retraining`: the snapshot of labelled rows and the plan of a refit or retune
- `results`, `report`: the result of a run, /metrics, the HTML page and MLflow

The schedule is `monitoring.cron` of params.yaml.
"""
