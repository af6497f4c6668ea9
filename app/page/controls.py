"""Draws the control of a setting; its words, range and options stand in `app.settings`.

Every control keeps its value for the session: another view does not draw it, and a run that a new
one interrupts may not reach it.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.kinds import Amount, Flag, Number, OneOf, Text, Whole
from app.page.address import CONTROLS
from app.settings import Control


def draw_control(key: str, place: Any = st, **more: Any) -> None:
    """Draw a control; its value is the session's of that key.

    Parameters
    ----------
    key : str
        Of `app.page.address.CONTROLS`.
    place : optional
        A column or a container.
    **more
        What this place of the page says otherwise: Streamlit's own parameters of the control.
    """
    setting = CONTROLS[key]
    control, kind = setting.control or Control(), setting.kind
    label = more.pop("label", control.label)
    common = {"key": key, "help": control.help, "persist_state": "session", **more}
    if isinstance(kind, OneOf) and control.look:
        if control.look == "hidden":
            common = {"label_visibility": "collapsed", **common}
        words = common.pop("options", kind.words)
        place.segmented_control(label, words, required=True, **common)
    elif isinstance(kind, OneOf):
        place.selectbox(label, common.pop("options", kind.words), **common)
    elif isinstance(kind, Flag):
        place.toggle(label, **common)
    elif isinstance(kind, Text):
        place.text_input(
            label, max_chars=kind.longest, **{"placeholder": control.placeholder, **common}
        )
    elif isinstance(kind, Whole | Number):
        place.number_input(label, **{**_range(kind, control), **common})


def _range(kind: Whole | Number, control: Control) -> dict[str, Any]:
    """The bounds of a field for numbers; one that may be empty begins so."""
    found: dict[str, Any] = {"min_value": kind.low, "max_value": kind.high, "step": kind.step}
    if isinstance(kind, Number):
        found["format"] = "%.6g" if kind.empty or isinstance(kind, Amount) else "%.4g"
    if kind.empty:
        found |= {"value": None, "placeholder": control.placeholder}
    return found


def draw_section(name: str) -> None:
    """Draw the controls of a section one below the other."""
    for key, setting in CONTROLS.items():
        if setting.control and setting.control.section == name:
            draw_control(key)
