"""What a language model is asked: a prompt, an answer, room for a context, and how many at once."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.domain.arrays import Frozen
from planner.domain.cluster import PositiveFloat

Goal = Literal["answer", "first-token", "token", "tokens-per-second"]
"""What the best plan of a workload has the least or the most of.

answer
    Seconds from the prompt to the last token of the answer.
first-token
    Seconds from the prompt to the first token.
token
    Seconds from one token to the next, at the fill.
tokens-per-second
    Tokens of all requests together in a second.
"""

Tokens = Annotated[int, Field(ge=1, le=2**24)]


class Workload(Frozen):
    """A prompt and its answer, of so many requests at once."""

    prompt: Tokens = 512
    answer: Tokens = 128
    context: Tokens | None = Field(
        default=None,
        description="tokens of a request for which memory is kept; null: prompt and answer",
    )
    requests: Annotated[int, Field(ge=1, le=4096)] = 1
    fill: Annotated[int, Field(ge=0, le=2**24)] | None = Field(
        default=None,
        description="tokens kept when the time per token is taken; null: the mean of the answer",
    )
    cache_bits: float | None = Field(
        default=None, ge=0.001, le=64, description="of a number that is kept; null: as computed"
    )
    chunk: Tokens | Literal["best"] | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="tokens of the prompt that pass the stages one behind the other; null: all at "
        "once; best: whichever power of two, or all at once, is best",
    )
    goal: Goal = "answer"
    max_first_token_s: PositiveFloat | None = None
    max_token_s: PositiveFloat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.context is not None and self.context < self.prompt + self.answer:
            raise ValueError(
                f"context: found {self.context}; prompt and answer have "
                f"{self.prompt + self.answer} tokens"
            )
        if self.fill is not None and self.fill >= self.kept_tokens:
            raise ValueError(
                f"fill: found {self.fill}; the context keeps {self.kept_tokens} tokens, the new "
                "one among them"
            )
        if self.chunk is not None and self.goal == "tokens-per-second":
            raise ValueError(
                "chunk: found one with the goal tokens-per-second, where other requests keep the "
                "stages busy"
            )
        if self.chunk is not None and self.max_first_token_s is not None:
            raise ValueError("chunk: found one with max_first_token_s; give one of them")
        return self

    @property
    def chunks(self) -> int:
        """Into how many the prompt is cut."""
        return -(-self.prompt // self.chunk) if isinstance(self.chunk, int) else 1

    @property
    def last_chunk(self) -> int:
        """Tokens of the last of them."""
        if not isinstance(self.chunk, int):
            return self.prompt
        return self.prompt - (self.chunks - 1) * self.chunk

    @property
    def counts_step_alone(self) -> bool:
        """Whether nothing that is asked depends on how long a prompt takes."""
        return self.goal == "token" and self.max_first_token_s is None

    @property
    def kept_tokens(self) -> int:
        """Tokens of a request for which memory is kept."""
        return self.context or self.prompt + self.answer

    @property
    def steps(self) -> int:
        """Tokens of the answer behind the first one, which the prompt gives."""
        return self.answer - 1

    @property
    def step_fill(self) -> int:
        """Tokens that are kept when a step is timed: in the mean of the answer unless given."""
        return self.prompt + max(self.answer - 2, 0) // 2 if self.fill is None else self.fill
