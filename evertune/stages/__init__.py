"""What the stages of dvc.yaml and the snapshot do, from files to files.

`snapshot` -> `prepare` -> `split` -> `baseline` and `search` -> `fit` -> `evaluate`. The files
pipelines/<stage>.py of a project call them; `runner` runs those that are out of date. `rebuild`
stands in for `search` where a version is made again.
"""
