"""The settings of what a language model is asked: rows of the one table (`app.settings`)."""

from __future__ import annotations

from typing import get_args

from app.kinds import SMALLEST, Number, OneOf, WholeOr
from app.setting import ASKED, OF_LANGUAGE, Setting
from planner.domain.workload import Goal

_MOST_TOKENS = 2**24

WORKLOAD: tuple[Setting, ...] = (
    Setting(
        "prompt",
        Number(1, _MOST_TOKENS, 128, whole=True),
        default=512,
        option="Tokens of the prompt.",
        panel=ASKED,
        commands=OF_LANGUAGE,
        bounds=(1, None),
        label="Prompt",
    ),
    Setting(
        "answer",
        Number(1, _MOST_TOKENS, 128, whole=True),
        default=128,
        option="Tokens of the answer.",
        panel=ASKED,
        commands=OF_LANGUAGE,
        bounds=(1, None),
        label="Answer",
    ),
    Setting(
        "context",
        Number(1, _MOST_TOKENS, 1024, True, whole=True),
        option="Tokens of a request for which memory is kept (default: prompt and answer).",
        panel=ASKED,
        commands=OF_LANGUAGE,
        bounds=(1, None),
        label="Context",
        placeholder="both",
    ),
    Setting(
        "requests",
        Number(1, 4096, whole=True),
        default=1,
        option="Requests at once.",
        panel=ASKED,
        commands=OF_LANGUAGE,
        bounds=(1, None),
        label="Requests",
    ),
    Setting(
        "goal",
        OneOf(get_args(Goal)),
        default="answer",
        option="answer (seconds of the whole answer), first-token, token (seconds from one to the "
        "next) or tokens-per-second (of all requests).",
        panel=ASKED,
        commands=OF_LANGUAGE,
        label="Goal",
    ),
    Setting(
        "max_first_token_s",
        Number(SMALLEST, 1e9, 1.0, True, quantity="time", units=("s",)),
        option="Limit on the first token, such as 2s.",
        panel=ASKED,
        name="max_first_token",
        commands=OF_LANGUAGE,
        label="First token (s)",
        placeholder="none",
    ),
    Setting(
        "max_token_s",
        Number(SMALLEST, 1e9, 10.0, True, quantity="time", units=("ms",)),
        option="Limit on the time per token, such as 100ms.",
        panel=ASKED,
        name="max_token",
        commands=OF_LANGUAGE,
        label="Token (ms)",
        placeholder="none",
    ),
    Setting(
        "chunk",
        WholeOr(word="best", most=_MOST_TOKENS, what="tokens"),
        option="Read the prompt in chunks of so many tokens that pass a pipeline's stages one "
        "behind the other; best: whichever power of two, or all at once (default: all at once).",
        panel=ASKED,
        commands=OF_LANGUAGE,
        metavar="TOKENS|best",
        label="Chunk",
        start="",
        placeholder="all at once",
    ),
    Setting(
        "fill",
        Number(0, _MOST_TOKENS, 128, True, whole=True),
        option="Tokens that are kept when a token is timed (default: the answer's middle).",
        panel=ASKED,
        commands=OF_LANGUAGE,
        bounds=(0, None),
        label="Fill",
        placeholder="middle",
    ),
    Setting(
        "cache_bits",
        Number(0.001, 64.0, 1.0, True),
        option="Of every key and value that is kept, such as 8.5 (default: as computed).",
        panel=ASKED,
        commands=OF_LANGUAGE,
        metavar="BITS",
        label="Cache bits",
        placeholder="as computed",
    ),
)
"""In the order of the command line's help; on the page they are the section of that name."""
