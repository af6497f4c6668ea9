"""Weight files that mean harm or are not what they say: one plain line each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from planner.accuracy.ranking import Magnitudes
from planner.case import sparsifiable_layers
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.weights import MAX_PAIRS, read_magnitudes
from tests.planner.builders import chain
from tests.processor_time import at_most
from tests.profiles.onnx_models import file, node

PROFILE = chain(6, 4)
NAME = "conv_1.weight"


def read(path: Path, profile: ModelProfile) -> tuple[Magnitudes | None, ...]:
    return read_magnitudes(path, profile, sparsifiable_layers(profile))


def refusal(tmp_path: Path, content: bytes, suffix: str = "safetensors") -> str:
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        read(path, PROFILE)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 500
    return text


def tensors(**entries: Any) -> bytes:
    """A safetensors file with a header of our own and 96 bytes of values."""
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + bytes(96)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is no safetensors file"),
        (b"\x10", "is no safetensors file"),
        (b"\xff" * 8, "header is 18,446,744,073,709,551,615 bytes; at most 16,777,216 are read"),
        ((2**24 + 1).to_bytes(8, "little"), "its header is 16,777,217 bytes"),
        ((100).to_bytes(8, "little") + b"{}", "is no safetensors file"),
        ((8).to_bytes(8, "little") + b"[" * 8, "is no safetensors file"),
        ((2**20).to_bytes(8, "little") + b"[" * 2**20, "is no safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "no tensor 'conv_1.weight' for the layer 'conv_1'"),
        (
            tensors(a={"dtype": "F32", "shape": [4, 6], "data_offsets": [0, 960]}),
            "is no safetensors file",
        ),
        (
            tensors(a={"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 96]}),
            "is no safetensors file",
        ),
        (
            tensors(a={"dtype": "F32", "shape": [-4, 6], "data_offsets": [0, 96]}),
            "is no safetensors file",
        ),
        (
            tensors(
                **{"conv_1.weights": {"dtype": "F32", "shape": [4, 6], "data_offsets": [0, 96]}}
            ),
            "did you mean 'conv_1.weights'?",
        ),
        (
            tensors(**{NAME: {"dtype": "F32", "shape": [6, 4], "data_offsets": [0, 96]}}),
            "'conv_1.weight' has the shape (6, 4); the layer 'conv_1' has 4 output and 6 input ",
        ),
        (
            tensors(**{NAME: {"dtype": "I32", "shape": [4, 6, 1, 1], "data_offsets": [0, 96]}}),
            "'conv_1.weight' has the element type I32; F16, BF16, F32, F64 can be read",
        ),
        (
            tensors(**{NAME: {"dtype": "F32", "shape": [4, 6, 1, 1], "data_offsets": [0, 96]}}),
            "every weight of net is 0",
        ),
    ],
)
def test_hostile_safetensors(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refusal(tmp_path, content)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite(tmp_path: Path, bad: float) -> None:
    weight = np.ones((4, 6, 1, 1))
    weight[1, 2] = bad
    save_file({NAME: weight}, tmp_path / "m.safetensors")
    with pytest.raises(BadInputError, match="'conv_1' holds NaN or infinity"):
        read(tmp_path / "m.safetensors", PROFILE)


def test_truncated_at_every_tenth_byte(tmp_path: Path) -> None:
    save_file({NAME: np.ones((4, 6, 1, 1), np.float32)}, tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    for end in range(0, len(whole), 10):
        assert "is no safetensors file" in refusal(tmp_path, whole[:end])


def conv(weight: onnx.TensorProto) -> bytes:
    return file(
        [node("Conv", f"x {weight.name}", "y", name="conv_1")], {"x": [1, 6, 2, 2]}, "y", [weight]
    )


def stored(shape: tuple[int, ...], **changes: Any) -> onnx.TensorProto:
    tensor = onnx.numpy_helper.from_array(np.ones(shape, np.float32), "w")
    for field, value in changes.items():
        setattr(tensor, field, value)
    return tensor


def test_hostile_onnx(tmp_path: Path) -> None:
    external = stored((4, 6, 1, 1), data_location=TensorProto.EXTERNAL)
    external.external_data.add(key="location", value="/etc/passwd")
    huge = stored((4, 6, 1, 1))
    huge.dims[:] = [2**31, 2**31, 1, 1]
    cases = [
        (b"", "no node or stored weight is called as the layer 'conv_1'"),
        (b"\xff\xff", "is no ONNX model"),
        (conv(external), "keeps the tensor 'w' in another file"),
        (conv(huge), "the tensor 'w' does not hold the values of its shape"),
        (conv(stored((4, 6, 1, 1), raw_data=b"1234")), "does not hold the values of its shape"),
        (conv(stored((4, 6, 1, 1), data_type=TensorProto.INT8)), "has the element type INT8"),
        (conv(stored((4, 6, 1, 1), data_type=999)), "has the element type ?"),
        (conv(stored((24,))), "has the shape (24,); one matrix is needed"),
        (conv(stored((4, 3, 1, 1))), "4 output and 6 input features, its weight 4 and 3"),
    ]
    for content, message in cases:
        assert message in refusal(tmp_path, content, "onnx")


def test_a_cycle_of_onnx_nodes_ends(tmp_path: Path) -> None:
    looped = helper.make_model(
        helper.make_graph(
            [
                node("Identity", "b", "a"),
                node("Identity", "a", "b"),
                node("Conv", "x a", "y", name="conv_1"),
            ],
            "graph",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6, 2, 2])],
            [],
        )
    )
    content = looped.SerializeToString()
    assert "no node or stored weight" in refusal(tmp_path, content, "onnx")


def test_other_files_and_models_without_weights(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"give a file \.safetensors, \.onnx, \.pt or \.pth"):
        read(tmp_path / "weights.bin", PROFILE)
    with pytest.raises(BadInputError, match="no such file"):
        read(tmp_path / "none.safetensors", PROFILE)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(BadInputError, match="is a folder"):
        read(tmp_path / "folder.onnx", PROFILE)
    with pytest.raises(BadInputError, match="no layer exchanges features"):
        read(tmp_path / "none.onnx", chain(4))
    wide = chain(4, 2**14, 2**14)
    assert MAX_PAIRS < 2**28
    with pytest.raises(BadInputError, match="at most 134,217,728 are read"):
        read(tmp_path / "none.safetensors", wide)


def test_a_header_of_many_names_is_refused_in_no_time(tmp_path: Path) -> None:
    entries = {
        f"{'a' * (k % 50)}{k}.{NAME}": {"dtype": "F32", "shape": [4, 7, 1], "data_offsets": [0, 0]}
        for k in range(60_000)
    }
    for number, entry in enumerate(entries.values()):
        entry["data_offsets"] = [number * 112, (number + 1) * 112]
    header = json.dumps(entries).encode()
    path = tmp_path / "many.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(112 * len(entries)))
    with at_most(5), pytest.raises(BadInputError, match=r"no tensor 'conv_1\.weight'"):
        read(path, PROFILE)
