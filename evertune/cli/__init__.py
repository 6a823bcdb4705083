"""The command `evertune`.

- `app`: the command itself, projects (`init`, `use`, `train`, `status`), `upgrade`.
- `versions`: history, promotion, rollback, reproducing; `production`: serving and monitoring.
- `checks`: what to look at before a run (`plan`, `doctor`).
- `up`: the programs of `evertune up`; `errors`: messages and exit codes.
"""
