"""What the controls ask together, and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.page import state
from app.page.answer import Answer, catalogue_answer
from app.page.asking import question_of
from app.page.goal import OwnAccuracy
from app.page.language_answer import LanguageAnswer, language_answer
from app.page.model_choice import Model
from app.page.store import Same, Shown, store
from app.page.uploads import read_shapes
from app.question import Question
from planner.domain.language_model import LanguageModel
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
        return self.model.is_missing and not self.model.message

    @property
    def message(self) -> str:
        """Why there is no model."""
        return self.model.message or "Choose a model file in the side bar."

    def answer(self) -> Shown | None:
        """The answer, nothing of it worked out yet; none without a model.

        What a visitor's own file had a part in stays in the visitor's session.
        """
        chosen, model = st.session_state, self.model
        if model.is_missing:
            return None
        shown = store().shown
        if shown is not None and self._is_about(shown):  # others may have driven it from the cache
            return shown
        # Kept in the session as well: what is shared makes room for other visitors' questions, and
        # a plan that is looked for would begin anew, for as long as there are enough of them.
        if model.language is not None:
            return self._about_language(model.language)
        if model.catalogue_model is not None and self.own_accuracy is None:
            shapes = tuple(read_shapes(chosen.shapes).items())
            named = model.catalogue_model, self.question, shapes, chosen.batch, chosen.weight_bits
            return store().once("answer", named, lambda: catalogue_answer(*named))
        profile = model.profile
        assert profile is not None
        before = shown if isinstance(shown, Answer) else None
        key = (Same(profile, self.own_accuracy), self.question)
        return store().once(
            "answer", key, lambda: Answer(profile, self.question, self.own_accuracy, before)
        )

    def _about_language(self, model: LanguageModel) -> LanguageAnswer:
        name = self.model.catalogue_model
        if name is not None:
            named = name, st.session_state.weight_bits, self.question
            return store().once("answer", named, lambda: language_answer(*named))
        key = (Same(model), self.question)
        return store().once("answer", key, lambda: LanguageAnswer(model, self.question))

    def _is_about(self, answer: Shown) -> bool:
        """Whether an answer is to this very question."""
        mine = self.model.profile, self.own_accuracy
        about = mine if isinstance(answer, Answer) else (self.model.language,)
        return Same(*answer.about) == Same(*about) and answer.question == self.question


def chosen_now(model: Model, own: OwnAccuracy) -> Chosen:
    """What all controls ask, once they are drawn."""
    is_language = model.language is not None
    question = question_of(state.values(), own.kind, is_language=is_language)
    return Chosen(question, model, own.model)
