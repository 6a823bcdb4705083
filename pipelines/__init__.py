"""The work of Evertune, one step a module; core thinks, tuning searches, stores remember."""
