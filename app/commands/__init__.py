"""One file per command of ``planner``; `app.cli` puts them together."""
