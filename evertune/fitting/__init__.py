"""The final model: from a finished search to a model that can be registered.

- `build`: choose the trials, build the ensemble, note where it came from.
- `choose_window`: fit on several training windows and keep the best.
- `refit`: fit members again on all rows.
- `tune`: search and build in memory, for the estimators and nested evaluation.
"""
