"""A language model on the page, without a browser."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.page.address import defaults
from app.page.asking import question_of
from app.page.language_answer import LanguageAnswer, catalogue_language
from app.page.saved import open_page, save_page
from app.page.store import File, Files
from app.page.uploads import read_language, read_model
from planner.domain.answer import AnswerPlan
from planner.domain.language_model import LanguageModel
from planner.errors import BadInputError
from planner.strategies.phases.fitting import Fits, what_fits
from planner.strategies.phases.peers import AnswerComparison
from planner.units import format_rate, format_seconds
from profiles.catalog import load_cluster, load_language
from profiles.presets import PRESETS
from tests.app.command import planner
from tests.page.driving import (
    BYTES,
    figures,
    go_to,
    good,
    is_old,
    opened,
    shown_title,
    texts,
    unescaped,
    values_of,
)
from tests.profiles.gguf_files import gguf, llama

TINY = PRESETS["llama-3.2-1b"] | {
    "num_hidden_layers": 2,
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
}
ASKED = {"model": "tinyllama-1.1b", "cluster": "arm-wireless", "weight_bits": "4.5", "nodes": "2"}

OTHER = {"model": "resnet50-eighth", "cluster": "arm-wireless", "nodes": "2"}


def config(**changed: object) -> bytes:
    return json.dumps(TINY | changed).encode()


def drop(page: AppTest, name: str, content: bytes) -> AppTest:
    page.file_uploader(key="upload").set_value((name, content, BYTES))
    return page.run()


def answered(page: AppTest) -> LanguageAnswer:
    """What the page shows."""
    found = page.session_state["_store"].shown
    assert isinstance(found, LanguageAnswer)
    return found


def said(page: AppTest) -> str:
    """The answer's sentence."""
    (found,) = page.header
    return unescaped(found.value)


def small_table(page: AppTest, caption: str) -> str:
    (found,) = [x.proto.body for x in page.get("html") if f"<caption>{caption}" in x.proto.body]
    return str(found)


def test_a_preset_is_answered_as_the_command_line_answers_it() -> None:
    page = opened(**ASKED)
    done = planner(
        *("answer", "tinyllama-1.1b", "-c", "arm-wireless", "--weight-bits", "4.5"),
        *("--max-nodes", "2", "--format", "json"),
    )
    plan = AnswerPlan.model_validate_json(done.out)
    shown = answered(page).plan.plan
    assert shown.predicted == plan.predicted and shown.stages == plan.stages
    assert shown_title(page) == "tinyllama-1.1b on arm-wireless"
    assert f"<dd>{format_rate(plan.predicted.tokens_per_s)}</dd>" in figures(page)
    assert f"<dd>{format_seconds(plan.predicted.first_token_s, 3)}</dd>" in figures(page)
    assert f"<dd>{format_seconds(plan.predicted.answer_s, 3)}</dd>" in figures(page)
    assert f"the whole answer takes {format_seconds(plan.predicted.answer_s)}." in said(page)
    pictures = texts(page)
    for words in ("Prompt: ", "Token: ", "Memory for 640 tokens", "pi-1", "pi-2"):
        assert f">{words}" in pictures


@pytest.mark.usefixtures("lingering")
def test_what_fits_and_others_rules_stand_beside_it_and_with_all_columns_in_compare(
    tmp_path: Path,
) -> None:
    page = good(drop(opened(**OTHER), "config.json", config()))
    path = tmp_path / "config.json"
    path.write_bytes(config())
    words = (str(path), "-c", "arm-wireless", "--max-nodes", "2", "--format", "json")
    rows = Fits.model_validate_json(planner("fits", *words).out).rows
    fits = small_table(page, "What fits")
    for row in rows:
        assert f"<td>{row.width}</td><td>{row.context:,}</td><td>{row.nodes}</td>" in fits
    rules = small_table(page, "Others&#x27; rules")
    found = AnswerComparison.model_validate_json(planner("answer", *words, "--compare").out)
    for rule in found.rows:
        assert f"<td>{rule.strategy}</td><td>{rule.nodes}</td>" in rules
    go_to(page, "compare")
    tables = [frame.value for frame in page.dataframe]
    assert list(tables[0]["tokens/s"]) == [rule.tokens_per_s for rule in found.rows]
    assert list(tables[1]["largest context"]) == [row.context for row in rows]
    assert list(tables[2]["nodes"]) == [" ".join(x.nodes) for x in answered(page).plan.plan.stages]


def test_settings_are_those_of_the_command_line_and_the_address_keeps_them() -> None:
    query = ASKED | {"prompt": "64", "context": "1024", "goal": "tokens-per-second"}
    page = opened(**query)
    before = said(page)
    good(page.number_input(key="requests").set_value(4).run())
    assert "All requests together" in texts(page)
    assert dict(page.query_params) == query | {"requests": "4"}
    workload = answered(page).question.workload
    assert (workload.prompt, workload.context, workload.requests) == (64, 1024, 4)
    good(page.button(key="undo").click().run())
    assert page.session_state["requests"] == 1 and said(page) == before
    go_to(page, "export")
    line = page.code[0].value
    assert line == (
        "planner answer tinyllama-1.1b --weight-bits 4.5 --cluster arm-wireless --max-nodes 2 "
        "--prompt 64 --context 1024 --goal tokens-per-second"
    )
    done = planner(*shlex.split(line)[1:], "--format", "json")
    assert AnswerPlan.model_validate_json(done.out).predicted == answered(page).plan.plan.predicted


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("context", 8, "workload: context: found 8; prompt and answer have 640 tokens"),
        ("fill", 640, "workload: fill: found 640"),
        ("max_first_token", 1e-6, "time to the first token binds"),
    ],
)
def test_a_bad_value_is_one_line_and_the_controls_stay(key: str, value: float, words: str) -> None:
    page = opened(**ASKED)
    page.number_input(key=key).set_value(value).run()
    assert not page.exception
    (error,) = page.error
    assert words in unescaped(error.value) and "\n" not in error.value
    good(page.number_input(key=key).set_value(None).run())


def test_a_model_that_fits_nowhere_says_so_and_what_would_fit() -> None:
    page = opened(**ASKED)
    page.selectbox(key="model_chip").set_value("llama-3.1-405b").run()
    (error,) = page.error
    assert "no plan fits: memory of" in unescaped(error.value)
    assert not page.exception and not page.header
    good(page.button(key="undo").click().run())
    assert shown_title(page) == "tinyllama-1.1b on arm-wireless"


def test_the_navigation_leads_to_what_there_is_and_other_views_say_what_they_are_about() -> None:
    page = opened(**ASKED)
    for view in ("time", "sources"):
        assert "This view is about one forward pass" in texts(go_to(page, view))
    good(page.selectbox(key="model_chip").set_value("resnet50-eighth").run())
    assert "per input" in figures(page)
    go_to(page, "")
    good(page.selectbox(key="model_chip").set_value("tinyllama-1.1b").run())
    assert "tokens per second" in figures(page)


def test_a_causal_config_is_a_language_model_unless_one_pass_is_asked_for() -> None:
    page = good(drop(opened(**OTHER), "config.json", config()))
    assert shown_title(page) == "llama on arm-wireless" and "tokens/s" in said(page)
    before = said(page)
    good(page.toggle(key="one_pass").set_value(True).run())
    assert "per input" in figures(page) and not is_old(page)
    assert values_of(page)["one_pass"] is True
    good(page.toggle(key="one_pass").set_value(False).run())
    assert said(page) == before


def test_a_cluster_in_the_place_of_a_models_file_keeps_the_model() -> None:
    """A browser empties the field before it puts another file in."""
    page = good(drop(opened(**OTHER), "config.json", config()))
    page.file_uploader(key="upload").set_value(None).run()
    assert "per input" in figures(page)
    boards = load_cluster("arm-wireless").model_copy(update={"name": "boards"})
    good(drop(page, "boards.json", boards.model_dump_json().encode()))
    assert shown_title(page) == "llama on boards"
    page.file_uploader(key="upload").set_value(None).run()
    good(page.number_input(key="nodes").set_value(1).run())
    good(drop(page, "boards.json", boards.model_dump_json().encode()))
    assert "per input" in figures(page)


def test_what_a_file_is_read_as() -> None:
    causal = read_model(File("config.json", config()), "", None)
    assert isinstance(causal, LanguageModel) and len(causal.order) == 2
    narrow = read_model(File("config.json", config()), "", None, 4.5)
    assert isinstance(narrow, LanguageModel) and narrow.weight_bits == 4.5
    head = gguf(*llama())
    read = read_model(File("some.gguf", head + bytes(1000)), "", None)
    assert isinstance(read, LanguageModel)
    document = causal.model_dump_json().encode()
    assert read_model(File("mine.json", document), "", None) == causal
    for other in (config(architectures=["LlamaForSequenceClassification"]), b"[1]", b"{"):
        assert read_language(File("config.json", other)) is None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.gguf", gguf(*llama())[:300], "cut.gguf"),
        ("text.gguf", b"Dear planner,\nthis is a text.", "text.gguf"),
        ("config.json", config(hidden_size="many"), "hidden_size"),
        ("config.json", config(architectures=[3], num_attention_heads=0), "config"),
    ],
)
def test_a_damaged_model_costs_one_line(name: str, content: bytes, words: str) -> None:
    with pytest.raises(BadInputError, match=words) as error:
        read_model(File(name, content), "", None)
    assert "\n" not in str(error.value)


def test_a_saved_page_brings_a_language_model_back(tmp_path: Path) -> None:
    page = good(drop(opened(**OTHER), "config.json", config()))
    good(page.number_input(key="answer").set_value(8).run())
    files = page.session_state["_store"].files
    text = save_page(values_of(page), answered(page).model, True, files)
    fresh = good(drop(opened(**OTHER), "what-if.json", text.encode()))
    assert said(fresh) == said(page) and fresh.session_state["answer"] == 8
    assert open_page("p", text.encode()).files.language == files.language
    usual = defaults({"model": "tinyllama-1.1b"})
    bare = save_page(usual, load_language("tinyllama-1.1b"), False, Files())
    assert json.loads(bare)["language"] is None


def test_a_catalogues_model_is_one_object_for_all_who_ask_the_same() -> None:
    assert catalogue_language("phi-4", 4.5) is catalogue_language("phi-4", 4.5)
    assert catalogue_language("phi-4", None) is load_language("phi-4")


def test_fits_width_by_width_is_what_fits_at_once() -> None:
    values = defaults({"cluster": "arm-wireless"}) | {"nodes": 2, "prompt": 16, "answer": 4}
    model = read_model(File("config.json", config()), "", None)
    assert isinstance(model, LanguageModel)
    question, steps = question_of(values, is_language=True), list[tuple[int, int]]()
    answer = LanguageAnswer(model, question)
    found = answer.find_fits(lambda *step: steps.append(step))
    assert found == what_fits(answer.case, answer.long_request)
    assert steps == [(k, 7) for k in range(7)]
