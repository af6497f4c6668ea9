"""What the page looks like beyond its theme, and files that are dropped anywhere on it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "look.css").read_text()
_DROP = (_FOLDER / "drop.js").read_text()


def wear_look() -> None:
    """Add the style sheet, and the script that takes dropped files."""
    # first of all something in the side bar: it has its place before anything stands beside it
    st.sidebar.container(key="begin").html("<span></span>")
    with st.container(key="look"):
        st.html(f"<style>{_STYLE}</style>")
        st.html(f"<script>{_DROP}</script>", unsafe_allow_javascript=True)
