"""A plan for someone else: one HTML file that needs nothing beside it, or a picture."""

from __future__ import annotations

from app.report.document import report_html
from app.report.picture import report_png

__all__ = ["report_html", "report_png"]
