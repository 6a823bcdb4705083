"""The work of Evertune, one step a module; beside it core thinks, tuning searches, stores remember."""
