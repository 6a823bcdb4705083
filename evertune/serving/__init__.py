"""The scoring service and batch scoring.

- `app`: the routes, who may ask, size limits; `requests`: bodies of requests and responses.
- `service`: one project's model in use; it batches requests, predicts and logs.
- `model_holder`: loads a new champion, or the shadow, and tries it before it is used.
- `metrics`: Prometheus; `server`: uvicorn for `evertune serve`; `batch`: `evertune score`.
"""
