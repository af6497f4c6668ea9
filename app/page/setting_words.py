"""The settings of an answer in words."""

from __future__ import annotations

from app.question import core_value
from app.settings import SETTINGS, Setting
from planner.case import Case
from planner.domain.request import Request


def setting_words(case: Case, request: Request) -> tuple[str, ...]:
    """Every setting of an answer, tuned and with its defaults, in a few words each."""
    said = (_say(setting, case, request) for setting in SETTINGS)
    return tuple(words for words in said if words)


def _say(setting: Setting, case: Case, request: Request) -> str:
    if callable(setting.words):
        return setting.words(case, request)
    value = core_value(setting.field, request, case.settings)
    if value is None or value is False or value == setting.default:
        return ""
    return setting.words.format(setting.kind.to_control(value))
