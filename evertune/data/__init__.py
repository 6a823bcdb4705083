"""Tables, from files to training rows and hold-out.

- `readers`: sources (`csv_dialects`, Parquet, SQL); `example`: the simulated customers.
- `parsing`: cells as numbers, booleans, dates or text; `column_kinds`: what kind a column is;
  `target`: task and classes; `validation`: issues, as people read them.
- `schema`: what later steps rely on; `cleaning`: raw tables to clean ones; `dataframes`: the same
  for tables of a program, by the estimator; `profiling`: a summary, and what looks suspicious.
- `holdout`, `folds`, `training_windows`: which rows train and which judge.
- `labels`: labels that arrive later; `feedback`: production rows in the training table.
"""
