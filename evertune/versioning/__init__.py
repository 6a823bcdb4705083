"""DVC and git."""
