from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.units import FLOP_PER_MAC
from profiles.catalog import (
    cluster_names,
    curve_names,
    load_cluster,
    load_curve,
    load_model,
    model_names,
)
from profiles.files import document_text
from profiles.networks import own

REPO = Path(__file__).parents[2]
LIBRARY = REPO / "profiles" / "library"


@pytest.fixture(scope="module")
def build_library() -> ModuleType:
    path = REPO / "scripts" / "build_library.py"
    spec = importlib.util.spec_from_file_location("build_library", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["build_library"] = module
    spec.loader.exec_module(module)
    return module


# Models


ONE_OF_EACH_KIND = {"resnet50", "mobilenetv2-224", "deit-s", "gpt2"}
BY_KIND = [
    name if name in ONE_OF_EACH_KIND else pytest.param(name, marks=pytest.mark.slow)
    for name in model_names()
]


@pytest.mark.parametrize("name", BY_KIND)
def test_a_rebuild_gives_the_shipped_model(build_library: ModuleType, name: str) -> None:
    shipped = (LIBRARY / "models" / f"{name}.json").read_text(encoding="utf-8")
    rebuilt: str = build_library.build(name)
    # By line first: a difference then shows as one layer, not as a file.
    for new, old in zip(rebuilt.splitlines(), shipped.splitlines(), strict=False):
        assert new == old, "stale: run python scripts/build_library.py"
    assert rebuilt == shipped


def test_every_shipped_model_can_be_rebuilt(build_library: ModuleType) -> None:
    assert sorted(build_library.ARCHITECTURES) == list(model_names())


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.activation = nn.Conv2d(3, 4, 3), nn.ReLU()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        activated: torch.Tensor = self.activation(self.first(image))
        return activated


def test_check_finds_what_is_stale_and_build_mends_it(
    build_library: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "tiny"
    monkeypatch.setattr(build_library, "ARCHITECTURES", {name: own(Tiny, 8)})
    shipped = build_library.build(name)
    path = tmp_path / f"{name}.json"

    def run(*arguments: str) -> tuple[int, str]:
        return build_library.main(list(arguments), folder=tmp_path), capsys.readouterr().err

    assert run("--check") == (1, f"stale: {name}.json\n")
    assert not path.exists()
    assert run() == (0, f"wrote: {name}.json\n")
    assert path.read_text(encoding="utf-8") == shipped
    path.write_text(shipped.replace('"macs": 0', '"macs": 1', 1), encoding="utf-8")
    assert run("--check") == (1, f"stale: {name}.json\n")
    assert run() == (0, f"wrote: {name}.json\n")
    assert run("--check") == (0, "")


def resnet50_by_hand(divisor: int) -> tuple[int, int]:
    """MACs and parameters of ResNet-50 with 1/divisor of the width, from its description."""
    macs = params = 0

    def convolution(inputs: int, outputs: int, kernel: int, size: int) -> int:
        nonlocal macs, params
        macs += inputs * outputs * kernel**2 * size**2
        params += inputs * outputs * kernel**2 + 2 * outputs  # batch norm: scale and shift
        return outputs

    width = convolution(3, 64 // divisor, 7, 112)
    for group, (depth, size) in enumerate(zip((3, 4, 6, 3), (56, 28, 14, 7), strict=True)):
        inner, outer = (base * 2**group // divisor for base in (64, 256))
        for block in range(depth):
            before = size * 2 if block == 0 and group > 0 else size
            convolution(width, inner, 1, before)  # the stride is on the 3x3
            convolution(inner, inner, 3, size)
            convolution(inner, outer, 1, size)
            if block == 0:
                convolution(width, outer, 1, size)
            width = outer
    return macs + width * 1000, params + width * 1000 + 1000


@pytest.mark.parametrize(
    ("name", "divisor"),
    [("resnet50", 1), ("resnet50-half", 2), ("resnet50-quarter", 4), ("resnet50-eighth", 8)],
)
def test_resnet50_totals_by_hand(name: str, divisor: int) -> None:
    profile = load_model(name)
    assert (profile.totals.macs, profile.totals.params) == resnet50_by_hand(divisor)
    assert sum(layer.macs > 0 for layer in profile.layers) == 54


MOBILENETV2_CLASSIFIER_MACS = 1280 * 1000
MOBILENETV2_MACS = {
    "mobilenetv2-224": 300_774_272,
    # the convolutions grow with the area, the classifier does not
    "mobilenetv2-256": (300_774_272 - MOBILENETV2_CLASSIFIER_MACS) * 256**2 // 224**2
    + MOBILENETV2_CLASSIFIER_MACS,
}


@pytest.mark.parametrize("name", MOBILENETV2_MACS)
def test_mobilenetv2_totals(name: str) -> None:
    profile = load_model(name)
    assert profile.totals.macs == MOBILENETV2_MACS[name]
    assert profile.totals.params == 3_504_872
    assert sum(layer.macs > 0 for layer in profile.layers) == 53
    depthwise = [layer for layer in profile.layers if layer.groups > 1]
    assert len(depthwise) == 17
    assert {layer.feature_flow for layer in depthwise} == {"local"}


def test_the_published_resnet50() -> None:
    totals = load_model("resnet50").totals
    assert (totals.macs, totals.params) == (4_089_184_256, 25_557_032)


WITHOUT_WITNESS = {name for name in model_names() if name.startswith("llama")} | {"esrgan"}
FVCORE_MISSES = {
    # ours to the name under which fvcore says that it skipped it
    "attention": "aten::scaled_dot_product_attention",
    "conv": "aten::_convolution_mode",  # padding="same"
}


@pytest.mark.parametrize("name", model_names())
def test_every_mac_has_a_witness_or_a_named_exception(name: str) -> None:
    profile = load_model(name)
    witness = profile.coverage.witness
    assert (witness is None) == (name in WITHOUT_WITNESS)
    if witness is None:
        assert profile.coverage.witness_note
        return
    alone = [layer for layer in profile.layers if layer.macs and layer.witness_macs is None]
    for layer in profile.layers:
        assert layer.witness_macs in (None, layer.macs), layer.name
    assert witness.total_macs + sum(layer.macs for layer in alone) == profile.totals.macs
    assert {FVCORE_MISSES[layer.op] for layer in alone} <= set(witness.skipped_ops)
    assert not alone or name in {
        "bert-base",
        "deit-s",
        "deit-s-distilled",
        "efficientnet-b0",
        "gpt2",
        "swin-t",
    }


@pytest.mark.parametrize("name", model_names())
def test_models_say_where_they_come_from(name: str) -> None:
    profile = load_model(name)
    (spec,) = profile.inputs
    sizes = "x".join(map(str, spec.shape))
    source = profile.provenance.source
    assert f", {spec.name} {sizes}" in source
    assert spec.name == ("input_ids" if spec.dtype == "int64" else "image")
    tools = {"torch", "transformers"} if source.startswith("transformers ") else {"torch"}
    assert source.startswith(("transformers ", "profiles.architectures."))
    assert set(profile.provenance.tools) == tools
    assert "+" not in "".join(profile.provenance.tools.values()), "the same for every build"
    if name.startswith(("mobilenet", "resnet")):
        family = "MobileNetV2" if name.startswith("mobilenet") else "ResNet"
        assert f"{family}ForImageClassification({family}Config(num_labels=1000" in source


@pytest.mark.parametrize("name", model_names())
def test_files_stay_small(name: str) -> None:
    assert (LIBRARY / "models" / f"{name}.json").stat().st_size < 1.7e6


# Clusters


@pytest.mark.parametrize("name", cluster_names())
def test_every_number_of_a_cluster_has_one_origin_and_source(name: str) -> None:
    cluster = load_cluster(name)
    assert not cluster.pair_links
    holders = (*cluster.nodes, cluster.link)
    numbers = {
        field
        for holder in holders
        for field, value in holder.model_dump().items()
        if isinstance(value, int | float)
        # software of messages is counted where it is known
        and (value or not field.startswith("message_"))
    }
    assert {"macs_per_s", "bandwidth_bytes_per_s", "latency_s"} <= numbers
    keys = [figure.key for figure in cluster.figures]
    assert sorted(keys) == sorted({*numbers, "nodes", "medium", "casting"})
    assert all(len(figure.source) > 10 for figure in cluster.figures)
    assert cluster.description


@pytest.mark.parametrize("name", cluster_names())
def test_cluster_files_keep_one_form(name: str) -> None:
    text = (LIBRARY / "clusters" / f"{name}.json").read_text(encoding="utf-8")
    assert text == document_text(load_cluster(name))


@pytest.mark.parametrize(
    ("name", "nodes", "macs_per_s", "bandwidth_bytes_per_s", "memory_bytes", "medium"),
    [
        ("head-mounted", 2, 125e9, 37.5e6, None, "full_duplex"),
        ("small-nodes", 8, 3.75e9, 37.5e6, None, "full_duplex"),
        ("jetson-tx2-wifi", 2, 2.18e9, 1.26e6, 8e9, "shared"),
        ("arm-wireless", 4, 18.9e9, 9.6e6, 4e9, "shared"),
        ("esp32-s3", 4, 133e6, 2.5e6, 512 * 2**10 + 8 * 2**20, "shared"),
        ("a100-nvlink", 8, 78e12, 300e9, 80e9, "full_duplex"),
    ],
)
def test_cluster_figures(
    name: str,
    nodes: int,
    macs_per_s: float,
    bandwidth_bytes_per_s: float,
    memory_bytes: float | None,
    medium: str,
) -> None:
    cluster = load_cluster(name)
    assert len(cluster.nodes) == nodes
    assert {node.macs_per_s for node in cluster.nodes} == {macs_per_s}
    assert {node.memory_bytes for node in cluster.nodes} == {memory_bytes}
    assert cluster.link.bandwidth_bytes_per_s == bandwidth_bytes_per_s
    assert cluster.medium == medium
    assert cluster.source_index == 0


def origins(cluster: Cluster) -> dict[str, str]:
    return {figure.key: figure.origin for figure in cluster.figures}


def test_our_readings_of_a_paper_are_not_called_measured() -> None:
    for name in ("head-mounted", "small-nodes", "jetson-tx2-wifi"):
        assert "measured" not in origins(load_cluster(name)).values()
        assert origins(load_cluster(name))["macs_per_s"] == "derived"


def cut_bytes(profile: ModelProfile, workers: int) -> int:
    """Bytes that cross the first of AR-MDI's cuts between equal workers."""
    share = profile.totals.params / workers
    held, best = 0, (float("inf"), 0)
    for layer in profile.layers:
        held += layer.params
        if layer.params:
            best = min(best, (abs(held - share), layer.output_bytes))
    return best[1]


def test_jetson_figures_follow_from_the_published_gains() -> None:
    """T and c of `reference.md`: the time of the whole model and of sending an activation."""
    whole_s, send_s = 0.18, 0.36 * 0.18
    profile, cluster = load_model("mobilenetv2-256"), load_cluster("jetson-tx2-wifi")
    assert cut_bytes(profile, 2) == 81_920
    assert profile.totals.macs / whole_s == pytest.approx(cluster.nodes[0].macs_per_s, rel=3e-3)
    assert 81_920 / send_s == pytest.approx(cluster.link.bandwidth_bytes_per_s, rel=5e-3)


def test_rates_derived_from_measured_times_and_data_sheets() -> None:
    pi, esp, a100 = (load_cluster(name) for name in ("arm-wireless", "esp32-s3", "a100-nvlink"))
    person_detection_s = 0.054
    node = pi.nodes[0]
    for model, layers, seconds in (("resnet50", 54, 0.26283), ("mobilenetv2-224", 53, 0.06188)):
        macs = load_model(model).totals.macs
        told = macs / node.macs_per_s + layers * node.layer_overhead_s
        assert told == pytest.approx(seconds, rel=0.01)
    assert mobilenetv1_macs(96, 1, 0.25, 2) / person_detection_s == pytest.approx(
        esp.nodes[0].macs_per_s, rel=0.01
    )
    assert a100.nodes[0].macs_per_s == 156e12 / FLOP_PER_MAC
    assert a100.link.bandwidth_bytes_per_s == 12 * 25e9 == 600e9 / 2
    assert a100.nodes[0].memory_bytes_per_s == 2039e9


def mobilenetv1_macs(image: int, channels: int, width: float, classes: int) -> int:
    """From the network's description: a convolution, then 13 depthwise-separable ones."""
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    outputs = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    size, inputs = image // 2, int(32 * width)
    macs = size**2 * 9 * channels * inputs
    for stride, output in zip(strides, outputs, strict=True):
        size //= stride
        macs += size**2 * inputs * (9 + int(output * width))
        inputs = int(output * width)
    return macs + inputs * classes


# Accuracy curves: the published table, one row per level, (DISCO, random)

PUBLISHED: dict[str, dict[int, tuple[float | None, float | None]]] = {
    "resnet50-imagenet": {
        0: (76.80, None),
        80: (76.84, 75.26),
        90: (76.50, 74.90),
        95: (76.26, 74.54),
        99: (75.94, 73.85),
        100: (73.36, 73.36),
    },
    "deit-s-imagenet": {
        0: (79.94, None),
        60: (80.08, 78.51),
        80: (79.50, 78.45),
        90: (79.21, 78.24),
        95: (79.11, 75.65),
        99: (78.70, None),
        100: (74.57, 74.57),
    },
    "ssd300-coco": {
        0: (26.0, None),
        80: (26.7, 23.6),
        90: (26.1, 23.2),
        95: (25.6, 22.6),
        99: (24.6, None),
        100: (19.6, 19.6),
    },
    "deeplabv3plus-voc": {
        0: (77.2, None),
        80: (78.5, 74.4),
        90: (78.1, 72.8),
        95: (77.5, 70.9),
        99: (76.7, 66.8),
        100: (64.5, 64.5),
    },
    "esrgan-div2k": {
        0: (32.56, None),
        60: (32.56, None),
        80: (32.47, 31.82),
        90: (32.46, 31.76),
        95: (32.41, 31.75),
        99: (32.49, None),
        100: (31.69, 31.69),
    },
}


def test_curves_speak_of_the_networks_that_the_paper_measured() -> None:
    assert {name: load_curve(name).models for name in curve_names()} == {
        "deeplabv3plus-voc": ("deeplabv3plus-resnet101",),
        "deit-s-imagenet": ("deit-s",),  # 197 tokens: not the distilled one
        "esrgan-div2k": ("esrgan",),
        "resnet50-imagenet": ("resnet50",),
        "ssd300-coco": (),  # on which backbone is not known
    }


@pytest.mark.parametrize("name", curve_names())
def test_curves_hold_the_published_values(name: str) -> None:
    curve = load_curve(name)
    for column, points in enumerate((curve.disco, curve.random)):
        published = {
            level: row[column] for level, row in PUBLISHED[name].items() if row[column] is not None
        }
        assert {point.sparsity_percent: point.value for point in points} == published
    assert curve.dense == PUBLISHED[name][0][0]
    assert (curve.nodes, curve.origin) == (2, "measured")
    assert "DISCO" in curve.source


def test_published_split_rows() -> None:
    rows = {(row.strategy, row.groups): row.value for row in load_curve("resnet50-imagenet").splits}
    assert rows == {
        ("dense-then-split", 1): 75.14,
        ("dense-then-split", 2): 74.55,
        ("dense-then-split", 3): 73.3,
        ("split-then-aggregate", 1): 75.10,
        ("split-then-aggregate", 2): 74.88,
        ("split-then-aggregate", 3): 73.66,
    }
    assert not any(load_curve(name).splits for name in curve_names() if name != "resnet50-imagenet")


@pytest.mark.parametrize("name", curve_names())
def test_curve_files_keep_one_form(name: str) -> None:
    text = (LIBRARY / "accuracy" / f"{name}.json").read_text(encoding="utf-8")
    assert text == document_text(load_curve(name))
