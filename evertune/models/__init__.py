"""Model families, from fit to file.

- `families`: all families with their defaults; fits a configuration, encoder included.
- `training`: the contract of a family's fit function.
- `early_stopping`: the best round so far, and deadlines inside fits.
- `boosting` (LightGBM, XGBoost, CatBoost), `sklearn_models` (linear models, trees, forests,
  histogram boosting, neighbours, SVM, naive Bayes), `mlp` (networks in numpy), `embedding_mlp`
  (networks with embeddings, in PyTorch): the families, each with its early stopping.
- `feature_selection`: choose encoded columns inside a fit.
- `model`: fitted models and ensembles, and their predictions; `network`: a trained network.
- `persistence`: save and load without pickle; `origin`: the record of how a model was built.
- `compiled`, `compiled_rows`: predict a few rows within a millisecond or so.
"""
