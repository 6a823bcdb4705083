"""What remembers, one module for each memory outside of the process."""
