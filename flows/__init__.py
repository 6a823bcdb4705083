"""When and whether: the flows, the command, and what a person sees of a run."""
