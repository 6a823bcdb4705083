"""Jinja templates of the pages: report, decision, monitoring, replay."""
