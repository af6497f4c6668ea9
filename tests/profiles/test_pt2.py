"""``.pt2`` archives of torch: the profile of the live module, without torch."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.from_pt2.frontend import profile_pt2
from profiles.from_torch.frontend import profile_module
from profiles.sources import load_source
from tests.processor_time import HANG_S

REPO = Path(__file__).parents[2]
Shapes = dict[str, tuple[int, ...]]
IMAGE: Shapes = {"pixel_values": (1, 3, 224, 224)}
SMALL = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}


class GruNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(20, 30, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(60, 4)

    def forward(self, x: Tensor) -> Tensor:
        y, state = self.gru(x)
        result: Tensor = self.head(y[:, -1]) + state[-1].sum()
        return result


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def deit_config() -> transformers.DeiTConfig:
    return transformers.DeiTConfig(**SMALL, intermediate_size=1536, num_labels=1000)


def gpt2() -> nn.Module:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_layer=2,
            n_embd=64,
            n_head=4,
            vocab_size=1000,
            bos_token_id=0,
            eos_token_id=0,
            use_cache=False,
            attn_implementation="eager",
        )
    )


def llama() -> nn.Module:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=100,
            intermediate_size=128,
            use_cache=False,
            attn_implementation="eager",
        )
    )


def bert() -> nn.Module:
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            attn_implementation="eager",
        )
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], Shapes]] = {
    "ResNet-50": (
        lambda: transformers.ResNetForImageClassification(
            transformers.ResNetConfig(num_labels=1000)
        ),
        IMAGE,
    ),
    "MobileNetV2": (
        lambda: transformers.MobileNetV2ForImageClassification(
            transformers.MobileNetV2Config(num_labels=1000)
        ),
        IMAGE,
    ),
    "DeiT-S": (
        lambda: transformers.ViTForImageClassification(
            transformers.ViTConfig(**SMALL, intermediate_size=1536, num_labels=1000)
        ),
        IMAGE,
    ),
    "DeiT-S distilled": (lambda: transformers.DeiTForImageClassification(deit_config()), IMAGE),
    "DeiT-S with teacher": (
        lambda: transformers.DeiTForImageClassificationWithTeacher(deit_config()),
        IMAGE,
    ),
    "Swin": (
        lambda: transformers.SwinForImageClassification(
            transformers.SwinConfig(depths=[2, 2, 2, 2])
        ),
        IMAGE,
    ),
    "GRU": (GruNet, {"x": (2, 7, 20)}),
    "encoder": (encoder, {"src": (2, 9, 32)}),
    "GPT-2": (gpt2, {"input_ids": (1, 12)}),
    "Llama": (llama, {"input_ids": (1, 12), "attention_mask": (1, 12)}),
    "BERT": (bert, {"input_ids": (1, 12), "attention_mask": (1, 12)}),
}
PUBLISHED = {
    "DeiT-S": 4_598_882_304,
    "DeiT-S distilled": 4_623_756_288,
    "DeiT-S with teacher": 4_623_756_288 + 384 * 1000,
    "ResNet-50": 4_089_184_256,
}


def built(name: str, device: str = "meta") -> tuple[nn.Module, dict[str, Tensor]]:
    build, shapes = MODELS[name]
    with torch.device(device):
        module = build().eval()
        arguments = {
            label: torch.zeros(
                shape, dtype=torch.int64 if label in ("input_ids", "attention_mask") else None
            )
            for label, shape in shapes.items()
        }
    return module, arguments


@cache
def live(name: str) -> ModelProfile:
    return profile_module(built(name)[0], MODELS[name][1], name="model", witness=False)


def saved(module: nn.Module, arguments: dict[str, Tensor], **options: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about itself
        exported = torch.export.export(module, (), kwargs=arguments, strict=False, **options)
    return written(exported)


def written(exported: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def without_origin(profile: ModelProfile) -> dict[str, Any]:
    """All fields but where the profile comes from, and how it follows from open sizes."""
    found: dict[str, Any] = profile.model_dump(
        exclude={
            "provenance": True,
            "coverage": {"witness_note"},
            "reshaping": True,
            "layers": {"__all__": {"scaling"}},
        }
    )
    return found


@pytest.mark.parametrize("name", MODELS)
def test_archive_and_module_have_one_profile(name: str) -> None:
    module, arguments = built(name)
    data = saved(module, arguments)
    profile = profile_pt2(data, name="model", source="folder/model.pt2")
    assert without_origin(profile) == without_origin(live(name))
    assert profile.coverage.uncounted == {}
    assert profile.provenance.front_end == "pt2"
    assert profile.provenance.source == "model.pt2"
    assert profile.provenance.tools == {"torch": torch.__version__}
    if name in PUBLISHED:
        assert profile.totals.macs == PUBLISHED[name]


@pytest.mark.parametrize("name", MODELS)
def test_torchs_own_counter_agrees(name: str) -> None:
    """On the meta device, where the counter sees fused attention; masks need a real one."""
    device = "cpu" if "input_ids" in MODELS[name][1] else "meta"
    module, arguments = built(name, device)
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not know the fused layer
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(**arguments)
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
    assert 2 * live(name).totals.macs == counter.get_total_flops() > 0


def test_the_name_of_a_file_leads_here(tmp_path: Path) -> None:
    path = tmp_path / "net.PT2"
    path.write_bytes(saved(nn.Linear(4, 3), {"input": torch.zeros(1, 4)}))
    profile = load_source(str(path))
    assert (profile.name, profile.totals.macs) == ("net", 12)


def test_torch_is_not_needed(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(saved(*built("encoder")))
    script = """\
import importlib.abc, json, sys
class NoTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx", "sympy", "transformers"):
            raise ImportError(name + " is not here")
sys.meta_path.insert(0, NoTorch())
from pathlib import Path
from profiles.from_pt2.frontend import profile_pt2
from profiles.from_pt2 import child
data = Path(sys.argv[1]).read_bytes()
profile = profile_pt2(data, name="m", source="m.pt2")
here = child.main({"name": "m", "input_shapes": {}, "batch": None}, data)
assert here["totals"]["macs"] == profile.totals.macs
print(profile.totals.macs, "torch" in sys.modules)
"""
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        cwd=REPO,
        env={"PYTHONPATH": str(REPO)},
        check=True,
        timeout=HANG_S,
    )
    assert result.stdout.split()[1:] == ["False"]
    assert int(result.stdout.split()[0]) == 2 * (18 * 32 * 32 * 4 + 2 * 2 * 81 * 32 + 18 * 4096)


def test_decomposed_archives_are_counted_too() -> None:
    module, arguments = built("encoder", "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about itself
        exported = torch.export.export(module, (), kwargs=arguments, strict=False)
        data = written(exported.run_decompositions())
    profile = profile_pt2(data, name="model", source="model.pt2")
    assert profile.totals.macs == live("encoder").totals.macs
    assert profile.totals.params == live("encoder").totals.params
    assert profile.coverage.uncounted == {}


# Shapes


class Open(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        y = self.conv(image)
        y = torch.cat([y, y]).mean((2, 3))
        result: Tensor = self.head(y)
        return result


@pytest.fixture(scope="module")
def open_archive() -> bytes:
    batch, width = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("width", min=8)
    return saved(
        Open().eval(),
        {"image": torch.zeros(2, 3, 10, 12)},
        dynamic_shapes={"image": {0: batch, 3: width}},
    )


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 3, 10, 12)),
        ({"batch": 7}, (7, 3, 10, 12)),
        ({"input_shapes": {"image": (4, 3, 10, 30)}}, (4, 3, 10, 30)),
        ({"input_shapes": {"image": (4, 3, 10, 30)}, "batch": 5}, (5, 3, 10, 30)),
    ],
)
def test_open_sizes_take_any_allowed_value(
    open_archive: bytes, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    profile = profile_pt2(open_archive, name="model", source="model.pt2", **options)
    module = profile_module(Open(), {"image": shape}, name="model", witness=False)
    assert without_origin(profile) == without_origin(module)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch": 65}, "is at most 64 in this archive, not 65"),
        ({"batch": 1}, "is at least 2 in this archive, not 1"),
        (
            {"input_shapes": {"image": (4, 3, 11, 30)}},
            "input 'image': a .pt2 keeps its traced shapes, here any,3,10,any, not 4,3,11,30",
        ),
        ({"input_shapes": {"image": (4, 3)}}, "a .pt2 keeps its traced shapes"),
        ({"input_shapes": {"other": (4, 3)}}, "has no input 'other'; its inputs are image"),
    ],
)
def test_other_sizes_are_refused(open_archive: bytes, options: Any, expected: str) -> None:
    with pytest.raises(BadInputError) as caught:
        profile_pt2(open_archive, name="model", source="model.pt2", **options)
    assert str(caught.value).startswith("model.pt2: ")
    assert expected in str(caught.value)


def test_fixed_shapes_may_be_repeated_and_not_changed() -> None:
    data = saved(nn.Linear(4, 3), {"input": torch.zeros(1, 4)})
    profile = profile_pt2(data, name="m", source="m.pt2", input_shapes={"input": (1, 4)}, batch=1)
    assert profile.totals.macs == 12
    with pytest.raises(BadInputError, match="keeps its traced shapes, here 1,4, not 2,4"):
        profile_pt2(data, name="m", source="m.pt2", batch=2)


def test_the_older_layout_is_read() -> None:
    data = saved(nn.Linear(4, 3), {"input": torch.zeros(1, 4)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("models/model.json")]
        document = json.loads(archive.read(name))
    for node in document["graph_module"]["graph"]["nodes"]:
        del node["name"]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("version", "1")
        archive.writestr("serialized_exported_program.json", json.dumps(document))
    assert profile_pt2(buffer.getvalue(), name="m", source="m.pt2").totals.macs == 12


class Choosing(nn.Module):
    """One of two products, by the data."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(  # type: ignore[no-any-return]
            x.sum() > 0, lambda y: self.b(self.a(y)), lambda y: self.c(y), (x,)
        )


def test_the_branch_with_more_work_stands_for_a_choice() -> None:
    profile = profile_pt2(saved(Choosing(), {"x": torch.zeros(3, 4)}), name="x", source="x.pt2")
    assert profile.totals.macs == 3 * (4 * 5 + 5 * 6)
    assert "assumed: of cond" in profile.provenance.note
    assert profile.coverage.uncounted == {}
