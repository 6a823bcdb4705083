"""What would happen: a table replayed, policies compared, traffic to the service.

- `replay`: a table, in the order of time, through the real loop; `results`: events, costs, page.
- `policies`: retraining by schedule, never, or as monitored, over a stream of rows.
- `traffic`: the example's customers, sent to the scoring service day by day.
"""
