"""Profiles of ``.pt2`` archives with open sizes can be saved and had at other shapes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.reshape import at_input_shapes
from profiles.from_pt2.frontend import profile_pt2

AUTO = torch.export.Dim.AUTO
Document = dict[str, Any]


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 8, 3, groups=8)
        self.head = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        y = self.second(self.first(image).relu())
        found: Tensor = self.head(torch.cat([y, y * 2], 2).mean((2, 3)))
        return found


class InFours(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        n, c, h, w = image.shape
        return image.reshape(n, c, h, w // 4, 4).relu()


def archive(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    exported = torch.export.export(
        module.eval(),
        (torch.zeros(shape),),
        dynamic_shapes={"image": {0: AUTO, 2: AUTO, 3: AUTO}},
    )
    file = io.BytesIO()
    torch.export.save(exported, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def pooled() -> bytes:
    return archive(Pooled(), (2, 3, 30, 33))


def edited(data: bytes, change: Callable[[Document], None]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry.endswith("models/model.json"):
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            new.writestr(entry, content)
    return target.getvalue()


def profiled(data: bytes, **options: Any) -> ModelProfile:
    return profile_pt2(data, name="net", source="net.pt2", **options)


@pytest.mark.parametrize("shape", [(4, 3, 97, 130), (3, 3, 225, 64), (2, 3, 31, 33)])
def test_another_reading_gives_the_same(pooled: bytes, shape: tuple[int, ...]) -> None:
    found = at_input_shapes(profiled(pooled), {"image": shape})
    assert found.layers == profiled(pooled, input_shapes={"image": shape}).layers
    assert found.reshaping is not None
    assert found.reshaping.inputs == (("n", 3, "h", "w"),)


def test_ranges_and_guards_of_the_archive_hold() -> None:
    profile = profiled(archive(InFours(), (2, 3, 16, 16)))
    assert at_input_shapes(profile, {"image": (3, 3, 17, 64)}).inputs[0].shape == (3, 3, 17, 64)
    with pytest.raises(BadInputError, match="does not run at image 2,3,16,18: needs "):
        at_input_shapes(profile, {"image": (2, 3, 16, 18)})
    with pytest.raises(BadInputError, match="needs n >= 2"):
        at_input_shapes(profile, batch=1)


def _unknown_guard(document: Document) -> None:
    document["guards_code"] = ["L['other'].size()[0] == 2"]


def _code(document: Document) -> None:
    document["guards_code"] = ["__import__('os').abort()"]


def _no_text(document: Document) -> None:
    document["guards_code"] = [{"deep": []}]


def _strange_symbol(document: Document) -> None:
    document["range_constraints"]["min"] = {"min_val": 1, "max_val": 2}


def _strange_range(document: Document) -> None:
    document["range_constraints"]["s999"] = [1, 2]


def _sum(document: Document) -> None:
    """An open size of a layer as a sum of very many products."""
    values = document["graph_module"]["graph"]["tensor_values"]
    size = values["conv2d"]["sizes"][2]["as_expr"]
    terms = ", ".join(f"FloorDiv({size['expr_str']}, {number})" for number in range(1, 20))
    size["expr_str"] = f"Add({terms})"  # of more terms than are kept


@pytest.mark.parametrize(
    "change", [_unknown_guard, _code, _no_text, _strange_symbol, _strange_range, _sum]
)
def test_what_is_not_understood_leaves_the_profile_fixed(
    pooled: bytes, change: Callable[[Document], None]
) -> None:
    try:
        profile = profiled(edited(pooled, change))
    except BadInputError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert profile.reshaping is None
    with pytest.raises(BadInputError, match="fixed at 2,3,30,33"):
        at_input_shapes(profile, {"image": (2, 3, 40, 40)})
