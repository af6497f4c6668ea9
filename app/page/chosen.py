"""What the controls ask together, and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.page import state
from app.page.answer import Answer, catalogue_answer
from app.page.asking import question_of
from app.page.goal import OwnAccuracy
from app.page.model_choice import Model
from app.page.store import Same, store
from app.page.uploads import read_shapes
from app.question import Question
from profiles.accuracy import Accuracy


@dataclass(frozen=True)
class Chosen:
    """The question and its model; without a model, why there is none."""

    question: Question
    model: Model
    own_accuracy: Accuracy | None = None

    @property
    def is_missing(self) -> bool:
        """Whether a file is merely awaited."""
        return self.model.profile is None and not self.model.message

    @property
    def message(self) -> str:
        """Why there is no model."""
        return self.model.message or "Choose a model file in the side bar."

    def answer(self) -> Answer | None:
        """The answer, nothing of it worked out yet; none without a model.

        What a visitor's own file had a part in stays in the visitor's session.
        """
        chosen, model = st.session_state, self.model
        if model.profile is None:
            return None
        shown = store().shown
        if shown is not None and self._is_about(shown):  # others may have driven it from the cache
            return shown
        if model.catalogue_model is not None and self.own_accuracy is None:
            shapes = tuple(read_shapes(chosen.shapes).items())
            asked = shapes, chosen.batch, chosen.weight_bits
            return catalogue_answer(model.catalogue_model, self.question, *asked)
        profile = model.profile
        key = (Same(profile, self.own_accuracy), self.question)
        return store().once(
            "answer", key, lambda: Answer(profile, self.question, self.own_accuracy, shown)
        )

    def _is_about(self, answer: Answer) -> bool:
        """Whether an answer is to this very question."""
        return (
            answer.profile is self.model.profile
            and answer.own_accuracy is self.own_accuracy
            and answer.question == self.question
        )


def chosen_now(model: Model, own: OwnAccuracy) -> Chosen:
    """What all controls ask, once they are drawn."""
    return Chosen(question_of(state.values(), own.kind), model, own.model)
