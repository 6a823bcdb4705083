"""Model families, from fit to file.

- `families`: all families with their defaults; fits a configuration, encoder included.
- `fit_context`: the contract of a family's fit function.
- `early_stopping`: the best round so far, and deadlines inside fits.
- `boosting` (LightGBM, XGBoost, CatBoost), `sklearn_models` (linear models, trees, forests,
  histogram boosting, neighbours, SVM, naive Bayes), `neural_network` (in numpy),
  `embedding_network` (networks with embeddings, in PyTorch): the families, each with its early
  stopping.
- `feature_selection`: choose encoded columns inside a fit.
- `fitted_model`: fitted models and ensembles, and their predictions; `network`: a trained network.
- `persistence`: the folder of a model; `predictor_files`: predictors without pickle; `provenance`:
  the record of how a model was built.
- `compiled`, `compiled_rows`: predict a few rows within a millisecond or so.
"""
