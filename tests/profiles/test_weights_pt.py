"""Weights that torch.save wrote: read as tensors alone, refused in one line otherwise."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from planner.accuracy.ranking import Magnitudes
from planner.case import sparsifiable_layers
from planner.errors import BadInputError
from profiles.from_pt.weights import read_state
from profiles.strangers import MAX_MODEL_BYTES
from profiles.weights import read_magnitudes
from tests.planner.builders import chain

torch = pytest.importorskip("torch")

PROFILE = chain(6, 4)
NAME = "conv_1.weight"


def state(**changes: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn((4, 6, 1, 1), generator=generator)
    return {"conv_0.weight": torch.zeros(6, 3, 1, 1), NAME: weight} | changes


def saved(content: object, **how: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def read(path: Path, content: bytes) -> Magnitudes:
    path.write_bytes(content)
    found = read_magnitudes(path, PROFILE, sparsifiable_layers(PROFILE))
    assert found[0] is None and found[1] is not None
    return found[1]


def refusal(folder: Path, content: bytes) -> str:
    with pytest.raises(BadInputError) as caught:
        read(folder / "bad.pt", content)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 500 and text.count("bad.pt") == 1
    return text


def said_of(content: bytes) -> str:
    """What the child's reader has to say, without the child."""
    with pytest.raises(BadInputError) as caught:
        read_state(torch, [PROFILE.layers[1]], content)
    return str(caught.value)


@pytest.mark.parametrize("wrapped", ["", "state_dict", "model"])
def test_a_state_and_a_checkpoint_around_one(tmp_path: Path, wrapped: str) -> None:
    whole = {wrapped: state(), "epoch": 3} if wrapped else state()
    save_file(state(), tmp_path / "m.safetensors")
    expected = read_magnitudes(tmp_path / "m.safetensors", PROFILE, sparsifiable_layers(PROFILE))[1]
    assert expected is not None
    assert np.array_equal(read(tmp_path / "m.pth", saved(whole)), expected)


def test_element_types_and_the_format_of_old(tmp_path: Path) -> None:
    dense = state()[NAME]
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        content = saved(state(**{NAME: dense.to(dtype)}))
        found, stored = read_state(torch, [PROFILE.layers[1]], content)["conv_1"]
        assert np.array_equal(found, dense.to(dtype).float().abs().numpy()[:, :, 0, 0])
        assert stored.name == NAME
    old = saved(state(), _use_new_zipfile_serialization=False)
    assert np.array_equal(read(tmp_path / "m.pt", old), dense.abs().numpy()[:, :, 0, 0])
    turned = saved(state(**{NAME: dense.transpose(0, 1)}))
    assert "'conv_1.weight' has the shape (6, 4, 1, 1); the layer 'conv_1' has 4" in said_of(turned)


class Harm:
    """Pickles as a call of what makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_not_run(
    tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # what the user set does not help
    proof = tmp_path / "was_run"
    content = saved(state(extra=Harm(proof)), _use_new_zipfile_serialization=zipped)
    assert "no state dict of tensors alone, and code in a file is never run" in refusal(
        tmp_path, content
    )
    assert not proof.exists()
    torch.load(io.BytesIO(content), weights_only=False)  # it would have done harm
    assert proof.exists()


def test_a_whole_module_is_refused() -> None:
    assert "torch.save(model.state_dict(), FILE) writes one" in said_of(saved(torch.nn.ReLU()))


def zipped(content: bytes, compression: int) -> bytes:
    """The same archive, packed again."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as before,
        zipfile.ZipFile(file, "w", compression) as after,
    ):
        for entry in before.infolist():
            after.writestr(entry.filename, before.read(entry.filename))
    return file.getvalue()


def test_archives_that_are_more_or_less_than_they_seem() -> None:
    bomb = zipped(saved(state(big=torch.zeros(10**7))), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10**5
    assert "and unpacks to 40,00" in said_of(bomb)
    whole = saved(state())
    for end in range(0, len(whole), 7):
        assert "torch.save" in said_of(whole[:end])
    old = saved(state(), _use_new_zipfile_serialization=False)
    for end in range(0, len(old), 7):
        assert "torch.save" in said_of(old[:end])


class Request:
    """Pickles as a call that weights_only allows."""

    def __init__(self, call: Any, *args: Any) -> None:
        self.call = call, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def test_what_asks_for_absurd_memory(tmp_path: Path) -> None:
    content = saved({NAME: Request(bytearray, 2**33)})
    assert "needs more than 3 GiB of memory" in refusal(tmp_path, content)
    wide = torch.zeros(1).expand(2**33, 6, 1, 1)  # of one stored number
    assert "has the shape (8589934592, 6, 1, 1)" in said_of(saved(state(**{NAME: wide})))


def test_torchs_words_for_memory() -> None:
    """One more number than stored, and one number for all of a tensor that no machine holds."""
    weight = state()[NAME]
    old = saved({NAME: weight}, _use_new_zipfile_serialization=False)
    count, larger = b"K\x18", b"\x8a\x06" + (2**46).to_bytes(6, "little")  # 24 to pickle, and 2^46
    assert old.count(count) == 1
    wide = torch.zeros(1).half().expand(2**23, 2**23, 1, 1)
    for content, layers in (
        (old.replace(count, larger), PROFILE.layers),
        (saved({NAME: wide}), chain(2**23, 2**23).layers),
    ):
        with pytest.raises(MemoryError) as caught:
            read_state(torch, [layers[1]], content)
        assert "allocate memory" in str(caught.value.__cause__)


def test_imaginary_parts_of_conjugates_are_numbers_too() -> None:
    """torch stores them as they are, with a note that they are to be negated."""
    dense = state()[NAME]
    turned = torch.complex(dense, dense).conj().imag
    assert turned.is_neg()
    found, _ = read_state(torch, [PROFILE.layers[1]], saved(state(**{NAME: turned})))["conv_1"]
    assert np.array_equal(found, dense.abs().numpy()[:, :, 0, 0])


def nested() -> bytes:
    """Tensors of two shapes in one, which has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls them a prototype
        several = torch.nested.nested_tensor([torch.ones(4, 6), torch.ones(2, 6)])
    return saved({NAME: several, "conv_0.weight": torch.ones(6, 3, 1, 1)})


@pytest.mark.parametrize(
    "content, message",
    [
        (nested(), "no tensor 'conv_1.weight' for the layer 'conv_1'"),
        (b"not a file of torch", "is no state dict of tensors alone"),
        (b"PK\x03\x04" + bytes(100), "is no whole archive of torch.save"),
        (pickle.dumps({"a": 1}, 2), "is no file of torch.save that can be read"),
        (saved([1, 2]), "holds no state dict, but list"),
        (saved({"model": {"a": 1}}), "holds no state dict, but dict"),
        (saved({"conv_1.weights": state()[NAME]}), "did you mean 'conv_1.weights'?"),
        (saved(state(**{NAME: torch.ones(4, 6, 1, 1).int()})), "is torch.int32, torch.strided"),
        (saved(state(**{NAME: torch.ones(4, 6, 1, 1).to_sparse()})), "torch.sparse_coo; dense"),
        (saved(state(**{NAME: torch.ones(4, 6, 1, 1, device="meta")})), "without values"),
    ],
)
def test_what_is_refused(content: bytes, message: str) -> None:
    assert message in said_of(content)


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    bad = state()[NAME].index_fill(0, torch.tensor([1]), torch.nan)
    assert "'conv_1' holds NaN or infinity" in refusal(tmp_path, saved(state(**{NAME: bad})))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "bad.pt", "wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)
    with pytest.raises(BadInputError, match="is larger than 512 MiB"):
        read_magnitudes(tmp_path / "bad.pt", PROFILE, sparsifiable_layers(PROFILE))


def test_without_torch_one_line_says_which_extra(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(saved(state()))
    script = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "torch" else found(name, *a)
import numpy as np
from pathlib import Path
from profiles.weights import read_magnitudes
from tests.planner.builders import chain
assert "torch" not in sys.modules
read_magnitudes(Path(sys.argv[1]), chain(6, 4), np.array([False, True]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "m.pt")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    said = done.stderr.splitlines()[-1]
    assert "weights m.pt: torch is not installed, and files of torch.save need it: " in said
    assert said.endswith(
        "pip install '.[torch]' in the folder of the planner's sources, or give a .safetensors file"
    )
