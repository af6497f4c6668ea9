"""The what-if page: controls on the left, the plan and what it costs on the right."""
