"""What one answer takes over from the one before changes nothing about it."""

from __future__ import annotations

from functools import partial

import pytest
from streamlit.testing.v1 import AppTest

from app.inputs import accuracy_note
from app.page.answer import Answer, catalogue_answer
from app.page.asking import ask_on_page
from app.page.jobs import StoppedError
from app.page.store import File, Files, Moment, Store
from app.page.uploads import on_disk
from profiles.catalog import load_model
from tests.processor_time import HANG_S

EQUAL = "curve:resnet50-imagenet/equal"
asked = partial(ask_on_page, time_limit_s=HANG_S)
ASKED = (
    asked("small-nodes", 3, accuracy_model=EQUAL, max_accuracy_drop=0.5),
    asked("small-nodes", 3, bandwidth_bytes_per_s=1e7, accuracy_model=EQUAL,
          max_accuracy_drop=0.2),
    asked("small-nodes", 2, overlap=True, accuracy_model="none"),
    asked("jetson-tx2-wifi", 2, exactly=True, share_inputs=True, accuracy_model=EQUAL,
          max_accuracy_drop=1.0),
    asked("small-nodes", 3, accuracy_model="curve:deit-s-imagenet/equal",
          max_accuracy_drop=0.5, objective="throughput", ways=("features",)),
    asked("small-nodes", 3, accuracy_model="none"),
    asked("small-nodes", 2, accuracy_model="none", max_sparsity=0.9),
)  # fmt: skip


def test_answers_in_a_row_are_those_of_fresh_ones() -> None:
    profile, before = load_model("resnet50-quarter"), None
    for question in (*ASKED, ASKED[0]):
        answer = Answer(profile, question, before=before)
        fresh = Answer(profile, question)
        assert answer.plan.stages == fresh.plan.stages
        assert answer.plan.predicted == fresh.plan.predicted
        assert answer.plan.alternatives == fresh.plan.alternatives
        assert accuracy_note(answer.case) == accuracy_note(fresh.case)
        assert not answer._known  # nothing is kept of those before
        before = answer


def test_a_stopped_search_for_what_binds_leaves_nothing_behind() -> None:
    answer = Answer(load_model("resnet50-eighth"), asked("small-nodes", 2))

    def stop(done: int, total: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        answer.find_binding(stop)
    assert "binding" not in vars(answer)
    found = answer.find_binding(lambda done, total: None)
    assert found and found == answer.binding == answer.find_binding(stop)


def test_another_models_answer_is_not_asked() -> None:
    before = Answer(load_model("resnet50-half"), ASKED[0])
    _ = before.plan
    answer = Answer(load_model("resnet50-quarter"), ASKED[0], before=before)
    fresh = Answer(load_model("resnet50-quarter"), ASKED[0])
    assert answer.plan.stages == fresh.plan.stages


def test_catalogue_answers_are_shared_and_shapes_are_kept_apart() -> None:
    one = catalogue_answer("resnet50-eighth", ASKED[2])
    assert catalogue_answer("resnet50-eighth", ASKED[2]) is one
    two = catalogue_answer("resnet50-eighth", ASKED[2], batch=2)
    assert two.profile.totals.macs == 2 * one.profile.totals.macs


def _asks_twice() -> None:
    """A script of the page: what it asks is shared no longer when it asks again."""
    import streamlit as st

    from app.page.answer import catalogue_answer
    from app.page.asking import ask_on_page
    from app.page.chosen import Chosen
    from app.page.model_choice import Model
    from profiles.catalog import load_model

    st.session_state.update(shapes="", batch=None, weight_bits=None)
    profile = load_model("resnet50-eighth")
    chosen = Chosen(ask_on_page("small-nodes", 2), Model(profile, "resnet50-eighth"))
    first = chosen.answer()
    catalogue_answer.cache_clear()
    st.text(f"the same: {chosen.answer() is first}")


def test_many_visitors_questions_do_not_begin_a_plan_anew() -> None:
    page = AppTest.from_function(_asks_twice, default_timeout=HANG_S).run()
    assert not page.exception
    assert page.text[0].value == "the same: True"


def test_a_store_remembers_so_many_moments_and_one_answer() -> None:
    kept, files = Store(), Files()
    answers = [Answer(load_model("resnet50-eighth"), ASKED[2]) for _ in range(40)]
    for number, answer in enumerate(answers):
        moment = Moment({"nodes": number}, files, {"latency": 1.0}, number)
        kept.keep(moment, answer)
        kept.keep(moment, answer)
    assert len(kept.past) == 30
    assert kept.last is not None and kept.last.values == {"nodes": 39}
    assert kept.shown is answers[-1]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", "file"),
        ("a\0b.csv", "a_b.csv"),
        ("…<b>.csv", "__b_.csv"),
        ("", "file"),
        ("x" * 300 + ".csv", "x" * 96 + ".csv"),
    ],
)
def test_an_upload_lies_on_disk_under_a_harmless_name(name: str, shown: str) -> None:
    with on_disk(File(name, b"content")) as path:
        assert path.name == shown
        assert path.read_bytes() == b"content"
        folder = path.parent
    assert not folder.exists()
