"""The command `evertune`.

- `app`: the command itself, projects (`init`, `use`, `train`, `status`), `upgrade`.
- `versions`: history, promotion, rollback, reproducing; `production`: serving and monitoring.
- `up`: the programs of `evertune up`; `errors`: messages and exit codes.
"""
