"""Positions at other input shapes: those of a fresh trace, and what a hostile file gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from planner.domain.model_profile import ModelProfile
from planner.domain.positions import SAME, Geometry, Window
from planner.errors import BadInputError
from planner.reshape import at_input_shapes
from profiles.catalog import load_model
from profiles.files import document_text, read_document
from profiles.same_positions import without_positions
from tests.profiles.test_positions import Apply, Attention, Llama, Windows
from tests.profiles.test_reshape import Shapes, assert_like_a_trace, assert_refused

IMAGE: Shapes = {"x": (1, 3, 24, 36)}
OTHERS: tuple[Shapes, ...] = ({"x": (2, 3, 36, 24)}, {"x": (5, 3, 60, 84)})


def with_a_view(_: nn.Module, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    y = x.permute(0, 2, 3, 1).reshape(n, h // 4, 4, w // 4, 4, c).transpose(2, 3)
    return y.reshape(n, h // 4 * (w // 4), 16, c).softmax(2)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "rows to tokens": lambda _, x: x.flatten(2).transpose(1, 2).relu(),
    "windows": with_a_view,
    "concat": lambda _, x: torch.cat([x, x.relu(), x[:, :, 1:]], 2),
    "end": lambda _, x: x[:, :, -5:] + 1,
    "inner": lambda _, x: x[:, :, 1:-1] * 2,
    "strided": lambda _, x: torch.cat([x[:, :, 0::2], x[:, :, 1::2]], 1),
    "adaptive": lambda _, x: functional.adaptive_avg_pool2d(x, 4),
    "resized to fixed": lambda _, x: functional.interpolate(x, size=(11, 11), mode="bilinear"),
    "corners": lambda _, x: functional.interpolate(
        functional.avg_pool2d(x, 4), size=x.shape[2:], mode="bilinear", align_corners=True
    ),
    "nearest": lambda _, x: functional.interpolate(functional.max_pool2d(x, 2), size=x.shape[2:]),
    "scaled": lambda _, x: functional.interpolate(x, scale_factor=2, mode="bilinear"),
    "rolled": lambda _, x: x.roll((-1, 2), (2, 3)),
    "reflected": lambda _, x: functional.pad(x, (1, 1, 2, 2), mode="reflect"),
    "padded": lambda _, x: functional.pad(x, (1, 1, 2, 2)),
    "pixels": lambda _, x: functional.pixel_unshuffle(x, 2),
    "pooled": lambda _, x: functional.avg_pool2d(x, 20),
    "normalised": lambda _, x: functional.instance_norm(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    opened = assert_like_a_trace(Apply(FUNCTIONS[name]), IMAGE, *OTHERS)
    assert opened.reshaping is not None
    assert opened.reshaping.open_sizes == ("n", "h", "w")
    assert any(layer.positions for layer in opened.layers)


class Patches(nn.Module):
    """Patches of an image of any size as tokens, which attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.attention = (
            nn.Conv2d(3, 12, 4, 4),
            nn.LayerNorm(12),
            Attention(3, 3),
        )
        self.token = nn.Parameter(torch.ones(1, 1, 12))

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y], 1)
        found: Tensor = y + self.attention(self.norm(y))
        return found


def test_tokens() -> None:
    assert_like_a_trace(Patches(), IMAGE, *OTHERS)
    tokens: tuple[Shapes, ...] = tuple({"input_ids": s} for s in ((2, 7), (4, 33), (1, 20)))
    opened = assert_like_a_trace(Llama(), {"input_ids": (1, 9)}, *tokens)
    assert opened.inputs[0].positions == 9
    assert opened.reshaping is not None
    assert opened.reshaping.positions == ("t",)


@pytest.mark.parametrize("shift", [0, 1])
def test_windows_of_a_batch(shift: int) -> None:
    shapes: Shapes = {"x": (1, 6, 9, 12)}
    assert_like_a_trace(Windows(shift), shapes, {"x": (2, 6, 9, 12)}, {"x": (5, 6, 9, 12)})


def test_a_batch_of_one_has_samples_to_be_more() -> None:
    profile = load_model("resnet50-eighth")
    assert profile.inputs[0].samples == 1
    found = at_input_shapes(profile, batch=8)
    assert found.inputs[0].samples == 8
    assert {layer.samples for layer in found.layers if len(layer.inputs) == 1} == {
        Geometry(count=8, reads=(SAME,))
    }
    again = at_input_shapes(found, batch=1)
    assert again.layers == tuple(
        layer.model_copy(update={"witness_macs": None}) for layer in profile.layers
    )


def test_average_pooling_adds_up_where_it_gives_one_position() -> None:
    opened = assert_like_a_trace(nn.AvgPool2d(20), IMAGE, *OTHERS)
    (layer,) = opened.layers
    assert layer.positions is not None
    assert layer.positions.sums
    (larger,) = at_input_shapes(opened, {"x": (1, 3, 60, 84)}).layers
    assert larger.positions is not None
    assert not larger.positions.sums
    assert larger.positions.count == 3


def test_who_reads_what_has_no_positions_reads_all() -> None:
    layers = load_model("resnet50-eighth").layers
    first, second, *_ = without_positions(layers, {(layers[0].name, "positions")})
    assert first.positions is None
    assert first.samples == layers[0].samples
    assert second.positions == Geometry(count=112, reads=(None,))


def test_what_cannot_be_at_a_shape_is_read_whole() -> None:
    geometry = Geometry(count=4, reads=(Window(step=3, per=3), SAME))
    found = geometry.changed({"count": 1, "0.step": 0, "7.first": 3})
    assert found == Geometry(count=1, reads=(None, SAME))


def _reads(document: dict[str, Any]) -> None:
    document["layers"][0]["positions"]["reads"].append({})


def _count(document: dict[str, Any]) -> None:
    document["layers"][0]["positions"]["count"] = 111


def _stale(document: dict[str, Any]) -> None:
    document["layers"][0]["positions"]["count"] = 56


def _unknown(document: dict[str, Any]) -> None:
    del document["layers"][0]["samples"]


def _number(text: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["reshaping"]["numbers"][document["layers"][0]["scaling"]]["positions.count"] = text

    return change


def _window(**numbers: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["layers"][0]["positions"]["reads"][0].update(numbers)


def _reshaping(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["reshaping"].update(fields)


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "one window too many": (_reads, "do not say of every input which of it are read"),
    "uneven": (_count, "output bytes are no multiple of output features times positions"),
    "stale": (_stale, "positions differ from its scaling's"),
    "unknown source": (_unknown, "has no samples"),
    "huge": (_number("h*h*h*h*h*h"), "too many"),
    "negative": (_number("0 - h"), "fewer than none"),
    "unknown name": (_number("q"), "'q' is not known before it"),
    "no step": (_window(step=0), "step"),
    "far": (_window(first=-(2**50)), "first"),
    "counts": (_reshaping(positions=["h", "w"]), "needs one entry for each of the inputs"),
    "another count": (_reshaping(positions=["w_1"]), "'w_1' is not known before it"),
    "fixed count": (_reshaping(samples=[3]), "has 1 samples"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused(name: str) -> None:
    assert_refused(*HOSTILE[name])


def test_positions_that_cut_unevenly_at_another_shape() -> None:
    document = json.loads(document_text(load_model("resnet50-eighth")))
    _number("112 + 2 * h - 448")(document)
    read = read_document(json.dumps(document).encode(), ModelProfile, what="profile")
    with pytest.raises(BadInputError, match="cut its output unevenly"):
        at_input_shapes(read, {"image": (1, 3, 225, 224)})
