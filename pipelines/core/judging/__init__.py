"""What the gate thinks with: tests, looks at the hold-out, verdicts, and the record of each."""
