"""Statistics of scores.

- `bootstrap`: intervals of a metric and of a difference; `comparison`: tests of two models.
- `repetitions`: intervals and ranks of methods that ran several times.
- `sequential`: tests that may be looked at every day; `results`: the records of all of them.
"""
