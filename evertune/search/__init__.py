"""Search for configurations: what is tried, in which order, where it runs and for how long.

| question | module |
|---|---|
| Can the search of params.yaml work? | `check_params` |
| Which families, parameters and ranges are searched? | `space` (values), `configurations` (rules) |
| Which configurations are tried first? | `portfolio` |
| Which configuration comes next? | `samplers`, a package: its table has them all |
| Which axes are searched together? | `samplers.strategies` |
| What does a search know and decide while it runs? | `study`: `Study.ask`, `report`, `tell` |
| When is a trial given up? | `pruning`; Ray Tune's schedulers in `ray_schedulers`, at `rungs` |
| How is one configuration scored on the folds? | `objective`, within `memory`'s limits |
| Where do trials run? | `run` (this process, or Ray), `ray_tune` (trainable, session, cluster) |
| What is stored? | `trial_log` |
| What came of it? | `leaderboard`, `summary` |
| Which hyperparameters mattered? | `explanation` |
| Which searcher is better here? | `comparison` (settings, statistics), `comparison_runs` |

The way of one trial, six files: `pipelines/search.py` makes a study, `run` gives it workers, which
ask `study` for a job; `samplers` proposes its configuration; the worker evaluates it with
`objective.run_job`, which fits each fold with `evertune.models.families`. On Ray's workers the loop
is that of `ray_tune` instead of `run`'s.
"""
