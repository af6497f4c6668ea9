"""Write docs/glossary.md from the glossary that the app ships (``--check``: fail if stale)."""

from __future__ import annotations

import sys

from documents import command, made

from app.glossary import glossary_page


def main() -> int:
    """Write the page, or compare it."""
    check = command(__doc__).parse_args().check
    return made({"glossary.md": glossary_page()}, check)


if __name__ == "__main__":
    sys.exit(main())
