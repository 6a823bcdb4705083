"""Tables: reading, parsing, schema, cleaning, hold-out, folds, training windows."""
