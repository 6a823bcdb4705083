"""What a model is worth: baselines, scores, slices, importance, plots, the report.

| question | module |
|---|---|
| What must a model beat? | `baselines`, `heuristics` |
| Where is a model evaluated? | `evaluate`; by another table: `other_table` |
| What does an evaluation hold? | `evaluation_record` |
| Which rows does it fail on, and what do the columns do? | `slices`, `explain` |
| Which threshold, and what do mistakes cost? | `thresholds` |
| Does each of the four phases pay? | `phases` |
| Where are the report and its pictures? | `report`, `model_card`, `data_card`, `plots` |
"""
