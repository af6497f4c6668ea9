"""The answer about a language model: one placement for a prompt and its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from app.answer_words import workload_words
from app.asking_answer import language_case
from app.page.asking import LONG_TIME_LIMIT_S
from app.page.worked_out import WorkedOut
from app.question import Question
from app.settings import say_settings
from planner.domain.answer import AnswerPlan
from planner.domain.language_model import LanguageModel
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.quantise import exact_bits
from planner.solve.deadline import Deadline
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.fewer import Fewer, with_fewer
from planner.strategies.phases.fitting import WIDTHS, Fits, what_fits
from planner.strategies.phases.optimise import optimise_answer
from planner.strategies.phases.peers import AnswerComparison, compare_answers
from planner.strategies.phases.times import times_of_phases
from planner.strategies.timeline import NodeTime
from profiles.catalog import load_language
from profiles.files import document_text

Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class PlannedAnswer:
    """A plan with what is shown of it at once.

    Attributes
    ----------
    plan : AnswerPlan
    fewer : Fewer
        What one node makes of it, or two.
    times : dict of tuple of NodeTime
        By phase (`PHASES`), where the time goes.
    """

    plan: AnswerPlan
    fewer: Fewer
    times: dict[str, tuple[NodeTime, ...]]


@dataclass(frozen=True, eq=False)
class LanguageAnswer(WorkedOut):
    """One language model and one question; each part is worked out when it is first shown."""

    model: LanguageModel
    question: Question

    def __reduce__(self) -> tuple[object, ...]:
        """What is asked, and the plan; of what was worked out the costs of a case are large."""
        found = {"plan": vars(self)["plan"]} if self.is_planned else {}
        return LanguageAnswer, (self.model, self.question), found

    @property
    def is_large(self) -> bool:
        """A process of its own finds every plan: unlike nodes take many seconds."""
        return True

    @cached_property
    def case(self) -> LanguageCase:
        """The model on the tuned cluster."""
        return language_case(self.question, self.model)

    @property
    def request(self) -> Request:
        """What ``planner answer`` would ask."""
        return self.question.request

    @cached_property
    def long_request(self) -> Request:
        """The same for what shows its progress and can be stopped."""
        limit = max(LONG_TIME_LIMIT_S, self.request.time_limit_s or 0.0)
        return replace(self.request, time_limit_s=limit)

    @cached_property
    def plan(self) -> PlannedAnswer:
        """The best plan, as ``planner answer`` finds it."""
        best = optimise_answer(self.case, self.request)
        times = times_of_phases(self.case, best)
        return PlannedAnswer(best, with_fewer(self.case, self.request, best), times)

    @property
    def goal(self) -> str:
        """What the best plan has the least or the most of."""
        return self.question.workload.goal

    @property
    def score(self) -> dict[str, float]:
        """What plans are compared in, by goal."""
        found = self.plan.plan.predicted
        return {
            "answer": found.answer_s,
            "first-token": found.first_token_s,
            "token": found.token_s,
            "tokens-per-second": found.all_tokens_per_s,
        }

    @property
    def about(self) -> tuple[object, ...]:
        """The object that it is about, beside the question."""
        return (self.model,)

    def find_plan(self, watch: Watch) -> PlannedAnswer:
        """`plan`, as a job finds it."""
        watch(0, 0)
        return self.plan

    def find_comparison(self, watch: Watch) -> AnswerComparison:
        """Others' rules beside it, as ``planner answer --compare`` shows them."""
        watch(0, 0)
        return compare_answers(self.case, self.long_request)

    def find_fits(self, watch: Watch) -> Fits:
        """What fits at which context, as ``planner fits`` finds it, width by width."""
        deadline = Deadline(self.long_request.time_limit_s)
        asked = replace(self.long_request, exactly=False)
        parts = []
        for done, width in enumerate(WIDTHS):
            watch(done, len(WIDTHS))
            share = deadline.share(1 / (len(WIDTHS) - done))
            within = replace(asked, time_limit_s=share.left_s)
            parts.append(what_fits(self.case, within, (width,)))
        rows = tuple(row for part in parts for row in part.rows)
        widest = next((part.widest for part in parts if part.widest), None)
        return parts[0].model_copy(update={"rows": rows, "widest": widest})

    @property
    def drawn(self) -> Plan:
        """A step of the answer as a plan of layers, with the memory that both phases need."""
        best = self.plan.plan
        step = best.phases["step"]
        memory = {"memory_bytes": best.predicted.memory_bytes}
        return step.model_copy(update={"predicted": step.predicted.model_copy(update=memory)})

    def files(self) -> dict[str, Callable[[], str]]:
        """What makes the texts of the answer's downloads, by name."""
        return {
            "answer.json": lambda: document_text(self.plan.plan),
            "language-model.json": lambda: document_text(self.model),
            "cluster.json": lambda: document_text(self.case.cluster),
        }

    @property
    def title(self) -> str:
        """The model and the cluster."""
        return f"{self.model.name} on {self.question.base_cluster.name}"

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """Every setting that this answer belongs to, in words."""
        case = replace(self.case.cases_of((), 1)["step"], settings=self.question.costs)
        said = say_settings(case, self.request, is_language=True)
        return (workload_words(self.case.workload), *said)

    @property
    def settings_sentence(self) -> str:
        """All settings in one line."""
        return " · ".join(self.settings)


@lru_cache(maxsize=16)
def catalogue_language(name: str, weight_bits: float | None) -> LanguageModel:
    """A language model of the catalogue with weights of the width that is asked for."""
    found = load_language(name)
    return found if weight_bits is None else found.with_bits(exact_bits(weight_bits))


@lru_cache(maxsize=8)
def language_answer(name: str, weight_bits: float | None, question: Question) -> LanguageAnswer:
    """The answer about a language model of the catalogue, shared by all who ask the same."""
    return LanguageAnswer(catalogue_language(name, weight_bits), question)
