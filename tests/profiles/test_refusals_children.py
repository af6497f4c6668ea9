"""Every refusal of what a reader in a limited child answers, and of sources before one is asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from profiles.language import language_model_in_child, load_language_model
from profiles.sandbox import Limits, run_limited
from profiles.sources import load_module, load_source
from profiles.strangers import profile_in_child
from tests.messages import message_of

CHILD = "tests.profiles.odd_child"
LIMITS = Limits(memory_bytes=2**31, cpu_s=1, wall_s=20, output_bytes=10**5)

ASKED: Any = {"name": "odd", "input_shapes": None, "batch": None, "limits": None}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("loops", "takes more than 1 s of processor time to read"),
        ("talks", r"its result is larger than .*"),
        ("ends", r"its reader fails \(exit status 3\)"),
        ("crashes", r"crashes its reader \(SIGSEGV\)"),
        ("eats", "needs more than 2 GiB of memory to read"),
        ("fails", r"its reader fails \(ValueError\)"),
    ],
)
def test_readers_that_misbehave(name: str, message: str) -> None:
    said = message_of(lambda: run_limited(CHILD, {"name": name}, b"", what="x.onnx", limits=LIMITS))
    assert re.fullmatch(f"x.onnx: {message}", said)


def test_a_reader_that_waits() -> None:
    limits = Limits(memory_bytes=2**31, cpu_s=1, wall_s=0.5, output_bytes=10)
    said = message_of(lambda: run_limited(CHILD, {"name": "sleeps"}, b"", what="x", limits=limits))
    assert said == "x: takes more than 0.5 s to read"


def test_answers_that_are_none() -> None:
    said = message_of(lambda: profile_in_child(CHILD, b"", source="a/odd.onnx", **ASKED))
    assert said.startswith("odd.onnx: ")
    assert "missing" in said
    said = message_of(lambda: language_model_in_child(CHILD, b"", "odd", "odd.gguf"))
    assert said.startswith("odd.gguf: ")


def test_what_is_too_large_is_not_read() -> None:
    said = message_of(
        lambda: profile_in_child(CHILD, b"123", source="odd.onnx", most_bytes=2, **ASKED)
    )
    assert "is larger than" in said


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet-of-our-own", "SOURCE 'resnet-of-our-own': no such model; give "),
        ("math:no_such_name", "SOURCE 'math:no_such_name': module 'math' has no attribute"),
        ("no_such_module:name", "No module named 'no_such_module'; give "),
        ("math:pi", "SOURCE 'math:pi': pi is no callable"),
        ("math:sqrt", "SOURCE 'math:sqrt': cannot be called: TypeError"),
        ("builtins:dict", "builtins:dict: returned dict; a torch.nn.Module is needed"),
    ],
)
def test_sources_that_are_none(source: str, message: str) -> None:
    assert message in message_of(lambda: load_source(source, input_shapes={"x": (1, 2)}))


def test_modules_without_shapes_and_files_with_types(tmp_path: Path) -> None:
    import torch

    said = message_of(lambda: load_module(torch.nn.Linear(2, 3), input_shapes=None))
    assert said.endswith("a module needs its input shapes, such as --input-shape image=1,3,224,224")
    said = message_of(lambda: load_source("resnet50", input_types={"x": "int64"}))
    assert said == "resnet50: has types of its own; leave --input-type out"


def test_weights_without_their_configuration(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    said = message_of(lambda: load_language_model(str(path)))
    assert said == (
        "model.safetensors: the config.json beside it says what its tensors are, and is not there"
    )
