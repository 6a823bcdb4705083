"""What the stages of dvc.yaml and the snapshot do, from files to files."""
