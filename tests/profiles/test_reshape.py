"""Profiles at other input shapes: what changes, what is refused, what a hostile file gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from planner.domain.model_profile import ModelProfile
from planner.domain.reshaping import GEOMETRIES
from planner.errors import BadInputError
from planner.reshape import at_input_shapes
from profiles.catalog import load_model
from profiles.files import document_text, read_document
from profiles.from_torch.frontend import profile_module
from profiles.same_positions import essential
from profiles.sources import load_source

Shapes = dict[str, tuple[int, ...]]


def traced(module: nn.Module, shapes: Shapes, **options: Any) -> ModelProfile:
    return profile_module(module, shapes, name="net", witness=False, **options)


def assert_same(found: ModelProfile, fresh: ModelProfile) -> None:
    """All numbers alike; of positions what makes a difference, see `essential`."""
    assert [*map(_plain, found.inputs)] == [*map(_plain, fresh.inputs)]
    assert [*map(_plain, found.layers)] == [*map(_plain, fresh.layers)]
    for name in GEOMETRIES:
        counted = ((getattr(spec, name) for spec in p.inputs) for p in (found, fresh))
        assert all(a == b or max(a, b) < 2 for a, b in zip(*counted, strict=True))
        for one, other, layer in zip(
            essential(found, name), essential(fresh, name), fresh.layers, strict=True
        ):
            assert one == other, (name, layer.name)


def _plain(part: Any) -> Any:
    dropped: dict[str, Any] = {name: None for name in ("scaling", *GEOMETRIES)}
    return part.model_copy(update={n: v for n, v in dropped.items() if hasattr(part, n)})


def assert_refused(change: Callable[[dict[str, Any]], Any], said: str) -> None:
    """One line that says what is wrong with a profile's document that was changed so."""
    document = json.loads(document_text(load_model("resnet50-eighth")))
    change(document)
    with pytest.raises(BadInputError) as caught:
        read_document(json.dumps(document).encode(), ModelProfile, what="profile")
    (line,) = str(caught.value).splitlines()
    assert said in line


def assert_like_a_trace(module: nn.Module, shapes: Shapes, *others: Shapes) -> ModelProfile:
    """The profile with open sizes, after comparing it with fresh traces at other shapes."""
    opened = traced(module, shapes, open_sizes="all")
    fixed = traced(module, shapes)
    assert_same(opened, fixed)
    for other in others:
        fresh = traced(module, other)
        found = at_input_shapes(opened, other)
        assert_same(found, fresh)
    return opened


class Unet(nn.Module):
    """Down, up and a skip: sizes that meet again after rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.out = nn.Conv2d(11, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        up = self.up(self.deep(self.down(image)).relu())
        whole = functional.interpolate(up, size=image.shape[-2:])
        mean = whole.mean((2, 3), keepdim=True)
        found: Tensor = self.out(torch.cat([image, whole * mean], 1))
        return found


class TwoInputs(nn.Module):
    """Tokens of two inputs that share batch and length."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        both = left + right
        found: Tensor = self.head(self.attention(both, both, both)[0])
        return found


class WholeRows(nn.Module):
    """Reads windows of four: only multiples of it can be had."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def forward(self, image: Tensor) -> Tensor:
        n, c, h, w = image.shape
        found: Tensor = self.mix(image.reshape(n, c, h, w // 4, 4))
        return found


class Flattened(nn.Module):
    """The classifier fixes the size of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 8 * 8, 10)

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.last(self.first(image).flatten(1))
        return found


def test_rounded_sizes_and_skips() -> None:
    opened = assert_like_a_trace(
        Unet(), {"image": (1, 3, 32, 48)}, {"image": (3, 3, 33, 51)}, {"image": (1, 3, 97, 130)}
    )
    assert opened.reshaping is not None
    assert opened.reshaping.inputs == (("n", 3, "h", "w"),)


def test_inputs_that_share_sizes() -> None:
    shapes: Shapes = {"left": (1, 6, 12), "right": (1, 6, 12)}
    other: Shapes = {"left": (4, 9, 12), "right": (4, 9, 12)}
    opened = assert_like_a_trace(TwoInputs(), shapes, other)
    given = at_input_shapes(opened, {"left": (4, 9, 12)})
    assert {spec.name: spec.shape for spec in given.inputs} == other
    assert at_input_shapes(opened, batch=4).inputs[1].shape == (4, 6, 12)
    with pytest.raises(BadInputError, match="is 9 elsewhere, not 8"):
        at_input_shapes(opened, {"left": (4, 9, 12), "right": (4, 8, 12)})


def test_conditions_of_the_trace_are_kept() -> None:
    opened = assert_like_a_trace(
        WholeRows(), {"image": (1, 3, 8, 16)}, {"image": (2, 3, 7, 40)}, {"image": (1, 3, 1, 8)}
    )
    with pytest.raises(BadInputError, match="does not run at image 1,3,8,18: needs "):
        at_input_shapes(opened, {"image": (1, 3, 8, 18)})


def test_what_the_model_fixes_stays_fixed() -> None:
    opened = assert_like_a_trace(
        Flattened(), {"image": (1, 3, 8, 8)}, {"image": (7, 3, 8, 8)}, {"image": (2, 3, 8, 8)}
    )
    with pytest.raises(BadInputError) as caught:
        at_input_shapes(opened, {"image": (1, 3, 16, 8)})
    assert str(caught.value) == (
        "input 'image': dimension 2 is fixed at 8, not 16, where image is n,3,8,8; n can change"
    )


class Exchanged(nn.Module):
    """Channels and places change sizes without a transpose: where a row ends hangs on both."""

    def forward(self, signal: Tensor) -> Tensor:
        return signal.reshape(signal.shape[0], signal.shape[2], signal.shape[1]).relu()


def test_what_holds_at_some_shapes_by_chance_is_not_opened() -> None:
    # Four channels divide eight places evenly, and those of the open trace; not most others.
    opened = assert_like_a_trace(Exchanged(), {"signal": (1, 4, 8)}, {"signal": (3, 4, 8)})
    assert opened.reshaping is not None
    assert opened.reshaping.inputs == (("n", 4, 8),)
    with pytest.raises(BadInputError, match="dimension 2 is fixed at 8, not 9"):
        at_input_shapes(opened, {"signal": (1, 4, 9)})


def test_a_module_that_cannot_be_opened_is_fixed_and_says_so() -> None:
    class OnlyOne(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            if image.shape[0] != 1:
                raise ValueError("one image, please")
            return image.relu()

    opened = traced(OnlyOne(), {"image": (1, 3, 1, 1)}, open_sizes="batch")
    assert opened.reshaping is None
    with pytest.raises(BadInputError, match="is fixed at 1,3,1,1, not 2,3,1,1"):
        at_input_shapes(opened, batch=2)


def test_what_belongs_to_the_old_shape_is_dropped_and_said() -> None:
    profile = load_model("resnet50-eighth")
    first = profile.layers[0].model_copy(update={"measured_s": {"phone": 0.1}})
    timed = profile.model_copy(update={"layers": (first, *profile.layers[1:])})
    assert at_input_shapes(timed, {"image": (1, 3, 224, 224)}) is timed
    found = at_input_shapes(timed, {"image": (1, 3, 320, 320)})
    assert not any(layer.measured_s or layer.witness_macs for layer in found.layers)
    assert found.coverage.witness is None
    assert "without the model" in found.coverage.witness_note
    assert found.provenance.source == profile.provenance.source
    assert "worked out for image 1,3,320,320" in found.provenance.note
    assert "measured times of the old shape were dropped" in found.provenance.note
    again = at_input_shapes(found, {"image": (1, 3, 225, 225)}).provenance.note
    assert again.count("worked out for") == 1
    assert "1,3,225,225" in again


def test_sources_take_shape_and_batch(tmp_path: Path) -> None:
    found = load_source("resnet50", input_shapes={"image": (1, 3, 320, 320)}, batch=4)
    assert found.inputs[0].shape == (4, 3, 320, 320)
    # 320 is 10 maps of 32 and 224 is 7: all but the classifier grows with the area.
    classifier = 2048 * 1000
    convolutions = 4_089_184_256 - classifier
    assert found.totals.macs == 4 * (convolutions * 100 // 49 + classifier)
    path = tmp_path / "saved.json"
    path.write_text(document_text(found), encoding="utf-8")
    again = load_source(str(path), input_shapes={"image": (1, 3, 224, 224)})
    assert again.totals == load_model("resnet50").totals
    with pytest.raises(BadInputError, match="no such input; its inputs are image"):
        load_source("resnet50", input_shapes={"picture": (1, 3, 8, 8)})


def test_a_saved_profile_without_expressions_keeps_its_shapes(tmp_path: Path) -> None:
    document = json.loads(document_text(load_model("resnet50-eighth")))
    del document["reshaping"]
    for layer in document["layers"]:
        del layer["scaling"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert load_source(str(path), batch=1).totals == load_model("resnet50-eighth").totals
    with pytest.raises(BadInputError, match="fixed at 1,3,224,224, not 2,3,224,224; profile the"):
        load_source(str(path), batch=2)


def changed(**reshaping: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["reshaping"].update(reshaping)


def _scaling(document: dict[str, Any]) -> None:
    document["layers"][0]["scaling"] = 99


def _without(document: dict[str, Any]) -> None:
    document["reshaping"] = None


def _uneven(document: dict[str, Any]) -> None:
    """In proportion to what the number is a multiple of by chance, its channels' factors."""
    document["reshaping"].update(sizes={"x": "16 * w // 7"}, numbers=[{"macs": "x"}])
    for layer in document["layers"]:
        layer["scaling"] = None
    document["layers"][0]["scaling"] = 0


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "unknown name": (changed(sizes={"a": "b + 1"}), "'b' is not known before it"),
    "itself": (changed(sizes={"a": "a + 1"}), "'a' is not known before it"),
    "taken": (changed(sizes={"h": "1"}), "'h' is there twice"),
    "code": (changed(requirements=["__import__('os').getpid() > 0"]), "is not understood"),
    "attribute": (changed(sizes={"a": "h.real"}), "is not understood"),
    "deep": (changed(sizes={"a": "(" * 60 + "h" + ")" * 60}), "nested more than 20 deep"),
    "long": (changed(sizes={"a": "+".join(["h"] * 300)}), "400"),
    "many": (changed(sizes={f"a{i}": "h" for i in range(6000)}), "2000"),
    "zero": (changed(sizes={"a": "h // (w - w)"}, numbers=[]), "divides by zero"),
    "huge": (changed(sizes={"a": "h*h*h*h*h*h*h*h*h*h"}, numbers=[]), "beyond 2^62"),
    "doubling": (
        changed(
            sizes={"a0": "h", **{f"a{i}": f"a{i - 1} * a{i - 1}" for i in range(1, 60)}},
            numbers=[],
        ),
        "beyond 2^62",
    ),
    "below one": (changed(numbers=[{"macs": "h - h"}] * 40), "nothing is left"),
    "unmet": (changed(requirements=["h == 7"]), "at the present shape, needs h == 7"),
    "no multiple": (changed(numbers=[{"macs": "h + 1"}] * 40), "is no multiple of 225"),
    "other field": (changed(numbers=[{"params": "h"}]), "params"),
    "bad name": (changed(inputs=[["n", 3, "h h", "w"]]), "inputs"),
    "rank": (changed(inputs=[["n", 3, "h", "w", "w"]]), "not those of the profile"),
    "fixed size": (changed(inputs=[["n", 4, "h", "w"]]), "the size 4 is fixed"),
    "features": (changed(features=[4]), "has 3 features"),
    "nothing open": (changed(inputs=[[1, 3, 224, 224]]), "no size is open"),
    "scaling": (_scaling, "to choose from"),
    "scaling without": (_without, "there is no reshaping"),
    "contract": (_uneven, "MACs are no multiple"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused(name: str) -> None:
    assert_refused(*HOSTILE[name])
