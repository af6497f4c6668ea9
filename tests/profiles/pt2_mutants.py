"""Damaged copies of ``.pt2`` archives, and a reader that goes through many of them in one child."""

from __future__ import annotations

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from profiles.from_pt2 import child
from profiles.from_pt2.archive import read_graph_json
from profiles.from_torch.hygiene import quiet
from tests.profiles.mutants import REQUEST, outcomes

STRANGE = (None, -1, 0, 1, 3, 2**31, 2**62, 2**64, "x", "", [], {}, True, 1.5, 1e308)
STRANGE_OBJECTS = ({"as_int": 3}, {"as_name": "q"}, {"as_ints": [1, 2]}, {"as_none": True})


def archived(document: Any) -> bytes:
    """An archive of a document, or of a text that is none."""
    text = document if isinstance(document, str) else json.dumps(document)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/models/model.json", text)
    return buffer.getvalue()


def mutant(text: str, seed: int) -> bytes:
    """An archive of the document after one to four random changes, of its fields or of bytes."""
    chance = random.Random(seed)
    kind = chance.random()
    if kind < 0.1:
        return _with_other_bytes(archived(text), chance)
    if kind < 0.2:
        return archived(_with_other_bytes(text.encode(), chance).decode(errors="replace"))
    document = json.loads(text)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        _change(document, chance)
    return archived(document)


def _with_other_bytes(data: bytes, chance: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(broken))
        kind = chance.choice(("flip", "cut", "copy"))
        if kind == "flip":
            broken[at] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del broken[at : at + chance.randint(1, 64)]
        else:
            start = chance.randrange(len(broken))
            broken[at:at] = broken[start : start + chance.randint(1, 64)]
    return bytes(broken)


def _change(document: Any, chance: random.Random) -> None:
    spots = list(_places(document))
    if not spots:
        return
    holder, key = chance.choice(spots)
    kind = chance.random()
    if kind < 0.2:
        del holder[key]
    elif kind < 0.35:  # what stands elsewhere
        other, name = chance.choice(spots)
        holder[key] = copy.deepcopy(other[name])
    elif kind < 0.5 and isinstance(holder, list):
        holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
    elif isinstance(holder[key], str):
        alike = [h[k] for h, k in spots if isinstance(h[k], str)]
        holder[key] = copy.deepcopy(chance.choice((chance.choice(alike), chance.choice(STRANGE))))
    elif isinstance(holder[key], int):
        holder[key] = copy.deepcopy(chance.choice(STRANGE))
    else:
        holder[key] = copy.deepcopy(chance.choice(STRANGE + STRANGE_OBJECTS))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every field and item but those of metadata, as holder and key."""
    stack = [value]
    while stack:
        holder = stack.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, item in items:
            if key == "metadata":
                continue
            yield holder, key
            if isinstance(item, dict | list):
                stack.append(item)


def exported_documents() -> Iterator[tuple[str, str]]:
    """Name and text of documents that torch writes, of networks of several kinds."""
    import torch
    from torch import nn

    class Layers(nn.Module):
        """A layer, a product of weights alone, a product that nobody reads, and a choice."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.other = nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            self.other(x)
            y = self.layer(x) @ (self.other.weight @ self.other.weight)
            return torch.cond(x.sum() > 0, lambda z: self.other(z), lambda z: z * 2, (y,))

    convolutions = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Flatten(),
        nn.Linear(72, 4),
    )
    networks: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
        "layers": (Layers, torch.zeros(1, 3, 8), None),
        "convolutions": (lambda: convolutions, torch.zeros(2, 3, 10, 10), None),
        "open": (lambda: convolutions, torch.zeros(2, 3, 10, 10), ({0: torch.export.Dim.AUTO},)),
        "recurrent": (lambda: nn.LSTM(4, 6), torch.zeros(5, 2, 4), None),
    }
    for name, (build, x, dynamic) in networks.items():
        module = build().eval().requires_grad_(False)
        with quiet():  # torch's word on a recurrent layer's weights
            exported = torch.export.export(module, (x,), dynamic_shapes=dynamic, strict=False)
        buffer = io.BytesIO()
        torch.export.save(exported, buffer)
        document = read_graph_json(buffer.getvalue())
        del document["graph_module"]["module_call_graph"]
        yield name, json.dumps(document)


def main(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Read mutants of one document; what became of them, by seed."""
    text = data.decode()

    def read(seed: int) -> None:
        child.main(REQUEST, mutant(text, seed))

    return outcomes(request["seeds"], read)
