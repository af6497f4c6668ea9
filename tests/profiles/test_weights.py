"""Magnitudes of real weights, read from safetensors and ONNX files made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from planner.case import sparsifiable_layers
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.from_onnx.frontend import profile_onnx
from profiles.from_torch.frontend import profile_module
from profiles.weights import read_magnitudes
from tests.planner.builders import Net
from tests.profiles.onnx_models import file, node

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(5)


def values(*shape: int) -> NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


def summed(weight: NDArray[Any]) -> NDArray[np.float64]:
    """L1 over the kernel, (O, I)."""
    flat = np.abs(weight.astype(np.float64)).reshape(*weight.shape[:2], -1)
    total: NDArray[np.float64] = flat.sum(axis=2)
    return total


def read(path: Path, profile: ModelProfile) -> dict[str, NDArray[np.float32]]:
    found = read_magnitudes(path, profile, sparsifiable_layers(profile))
    return {
        layer.name: size
        for layer, size in zip(profile.layers, found, strict=True)
        if size is not None
    }


class Small(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(
            nn.Conv2d(8, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ConvTranspose2d(6, 6, 2)
        )
        self.head = nn.Linear(6, 10)
        self.last = nn.Linear(10, 10)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.body(torch.relu(self.stem(x)))).mean((2, 3))
        return self.last(torch.relu(self.head(x)))


@pytest.fixture(scope="module")
def small() -> tuple[ModelProfile, dict[str, NDArray[np.float32]]]:
    module = Small().eval()
    profile = profile_module(
        module, {"image": (1, 3, 8, 8)}, name="small", source="test", witness=False
    )
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    return profile, state


WEIGHTED = {"body.0": False, "body.2": True, "head": False, "last": False}  # stored as (I, O)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_safetensors_of_a_torch_module(
    tmp_path: Path, small: tuple[ModelProfile, dict[str, NDArray[np.float32]]], dtype: str
) -> None:
    profile, state = small
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    stored = {name: array.astype(kind) for name, array in state.items() if array.ndim}
    save_file(stored, tmp_path / "m.safetensors", metadata={"format": "pt"})
    found = read(tmp_path / "m.safetensors", profile)
    assert set(found) == set(WEIGHTED)  # not the reader of the image
    for name, turned in WEIGHTED.items():
        weight = stored[f"{name}.weight"]
        expected = summed(weight.swapaxes(0, 1) if turned else weight)
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)


def test_a_wrapper_adds_or_lacks_a_prefix(
    tmp_path: Path, small: tuple[ModelProfile, dict[str, NDArray[np.float32]]]
) -> None:
    profile, state = small
    weights = {name: array for name, array in state.items() if array.ndim}
    wrapped = {f"model.net.{name}": array for name, array in weights.items()}
    save_file(wrapped, tmp_path / "wrapped.safetensors")
    save_file(weights, tmp_path / "plain.safetensors")
    plain = read(tmp_path / "plain.safetensors", profile)
    found = read(tmp_path / "wrapped.safetensors", profile)
    for name in WEIGHTED:
        assert np.array_equal(found[name], plain[name])
    named = {layer.name: f"net.{layer.name}" for layer in profile.layers}
    layers = tuple(
        layer.model_copy(
            update={
                "name": named[layer.name],
                "inputs": tuple(named.get(source, source) for source in layer.inputs),
            }
        )
        for layer in profile.layers
    )
    outputs = tuple(named[name] for name in profile.outputs)
    longer = profile.model_copy(update={"layers": layers, "outputs": outputs})
    found = read(tmp_path / "plain.safetensors", longer)
    for name in WEIGHTED:
        assert np.array_equal(found[f"net.{name}"], plain[name])


def test_projections_stored_as_inputs_by_outputs(tmp_path: Path) -> None:
    net = Net(3, 1)
    first = net.linear("image", 8)
    wide = net.linear(first, 24)
    net.linear(net.linear(wide, 8), 8)
    profile = net.profile()
    paths = ["stem", "h.c_attn:linear", "mlp.c_proj:linear", "h.c_proj:linear"]
    layers = tuple(
        layer.model_copy(update={"name": name, "op": "linear", "inputs": (source,)})
        for layer, name, source in zip(profile.layers, paths, ["image", *paths[:-1]], strict=True)
    )
    profile = profile.model_copy(update={"layers": layers, "outputs": (paths[-1],)})
    stored = {
        "h.c_attn.weight": values(8, 24),
        "mlp.c_proj.weight": values(24, 8),
        "h.c_proj.weight": values(8, 8),  # square, and called as one that is surely turned
    }
    save_file(stored, tmp_path / "m.safetensors")
    found = read(tmp_path / "m.safetensors", profile)
    for path in paths[1:]:
        weight = stored[path.replace(":linear", ".weight")]
        np.testing.assert_allclose(found[path], np.abs(weight.T))
    straight = {"h.c_attn.weight": values(24, 8), "mlp.c_proj.weight": values(8, 24)}
    square = values(8, 8)
    save_file(straight | {"h.c_proj.weight": square}, tmp_path / "m.safetensors")
    found = read(tmp_path / "m.safetensors", profile)
    np.testing.assert_allclose(found["h.c_proj:linear"], np.abs(square))


def test_a_tied_weight_is_found_where_it_is_stored(tmp_path: Path) -> None:
    net = Net(3, 1)
    net.linear(net.linear(net.linear("image", 8), 6), 50)
    profile = net.profile()
    head = profile.layers[-1].model_copy(update={"params": 0, "weight_params": 0})
    profile = profile.model_copy(update={"layers": (*profile.layers[:-1], head)})
    table = values(50, 6)
    stored = {f"{profile.layers[1].name}.weight": values(6, 8), "wte.weight": table}
    save_file(stored, tmp_path / "m.safetensors")
    np.testing.assert_allclose(read(tmp_path / "m.safetensors", profile)[head.name], np.abs(table))
    save_file(stored | {"copy": table}, tmp_path / "m.safetensors")
    with pytest.raises(BadInputError, match="no tensor"):
        read(tmp_path / "m.safetensors", profile)


def test_a_torch_export_to_onnx(tmp_path: Path) -> None:
    module = Small().eval()
    path = tmp_path / "m.onnx"
    torch.onnx.export(module, (torch.randn(1, 3, 8, 8),), path, dynamo=False, verbose=False)
    profile = profile_onnx(path.read_bytes(), name="m", source="m.onnx")
    found = read(path, profile)
    assert len(found) == len(WEIGHTED)
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    state["body.0.weight"] = state["body.0.weight"] / np.sqrt(1 + 1e-5)  # with its norm folded in
    for size, (name, turned) in zip(found.values(), WEIGHTED.items(), strict=True):
        weight = state[f"{name}.weight"]
        expected = summed(weight.swapaxes(0, 1) if turned else weight)
        np.testing.assert_allclose(size, expected, rtol=1e-4)


def test_weights_of_onnx_by_node_name_number_and_stored_name(tmp_path: Path) -> None:
    stem, square, plain, turned = values(8, 3), values(8, 8), values(8, 5), values(6, 5)
    data = file(
        [
            node("MatMul", "x stem", "a"),
            node("MatMul", "a square", "b", name="middle"),
            node("Constant", "", "plain", value=onnx.numpy_helper.from_array(plain, "v")),
            node("MatMul", "b plain", "c"),
            node("Transpose", "turned", "t", perm=[1, 0]),
            node("Gemm", "c t", "y", name="last"),
        ],
        {"x": [2, 3]},
        "y",
        [
            onnx.numpy_helper.from_array(stem.T.copy(), "stem"),
            onnx.numpy_helper.from_array(square, "square"),
            onnx.numpy_helper.from_array(turned, "turned"),
        ],
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    profile = profile_onnx(data, name="m", source="m.onnx")
    found = read(path, profile)
    assert list(found) == ["middle", "mat_mul_2", "last"]
    np.testing.assert_allclose(found["middle"], np.abs(square.T))
    np.testing.assert_allclose(found["mat_mul_2"], np.abs(plain.T))
    np.testing.assert_allclose(found["last"], np.abs(turned))  # turned twice
    # a profile of another front end, by the name of the stored tensor
    net = Net(3, 1)
    net.linear(net.linear("image", 8), 8)
    other = net.profile()
    weight = values(8, 8)
    name = other.layers[1].name
    data = file(
        [node("Gemm", f"x {name}.weight", "y", transB=1)],
        {"x": [2, 8]},
        "y",
        [onnx.numpy_helper.from_array(weight, f"{name}.weight")],
    )
    path.write_bytes(data)
    np.testing.assert_allclose(read(path, other)[name], np.abs(weight))
