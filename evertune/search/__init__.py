"""Search for configurations: what is tried, in which order, where it runs and for how long.

| question | module |
|---|---|
| Which families, parameters and ranges are searched? | `space` (values), `configurations` (rules) |
| What does a search know and decide while it runs? | `study`: `Study.ask`, `report`, `tell` |
| Which configuration comes next? | `portfolio` (default), `samplers` (tpe, random, grid, given) |
| When is a trial given up? | `pruning`; ASHA is Ray's, in `ray_tune` |
| How is one configuration scored on the folds? | `objective`, within `memory`'s limits |
| Where do trials run? | `run` (this process, or Ray), `ray_tune` (trainable, session, cluster) |
| What is stored? | `trial_log` |
| What came of it? | `leaderboard`, `summary` |
"""
