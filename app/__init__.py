"""The shell around the planner: command line and what-if page. It owns no numbers."""
