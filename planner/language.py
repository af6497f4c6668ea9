"""The two phases of a language model as profiles: reading a prompt, and a step of the answer.

A `LanguageModel` has shapes alone; what a run of it multiplies, reads and keeps follows from the
number of tokens (docs/model.md, eq. 43 to 46). Both phases have the same layers with the same
weights, so that one placement serves both.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from typing import Any, Literal

from planner.domain.expressions import MAX_VALUE
from planner.domain.flows import FeatureFlow
from planner.domain.language_model import (
    Attention,
    Block,
    Experts,
    LanguageModel,
    Matrix,
    Mlp,
    NormKind,
    bytes_of,
)
from planner.domain.layer_profile import LayerProfile, Routing, TensorSpec
from planner.domain.model_profile import Coverage, ModelProfile
from planner.domain.positions import SAME, Geometry, Window
from planner.domain.workload import Workload
from planner.errors import BadInputError

HIDDEN = "hidden"
"""The layer in front of all blocks: the embedding, brought to where the first block wants it."""
ATTENTION = ".self_attn"
"""In the names of all layers of attention."""
LAST_TOKEN = "last_token"
"""The layer that keeps the last token of a prompt: nothing behind it needs the others."""


@dataclass(frozen=True)
class Phase:
    """A run of the model.

    Attributes
    ----------
    tokens : int
        New tokens of every request.
    past : int
        Tokens that were read before.
    batch : int
        Requests that run together.
    room : int
        Tokens of a request for which memory is kept.
    requests : int
        For so many requests.
    cache_bits : Fraction, optional
        Of a number that is kept; None: as it is computed.
    """

    tokens: int
    past: int = 0
    batch: int = 1
    room: int = 0
    requests: int = 1
    cache_bits: Fraction | None = None


@dataclass(frozen=True)
class Phases:
    """A model's profiles in both phases of a workload.

    Attributes
    ----------
    prompt, step : ModelProfile
        Reading the prompt, or its last chunk, and making one token of the answer. Layer by layer of
        the same names.
    chunk : ModelProfile, optional
        The chunk in the middle of those before the last; the head runs for the last alone.
    """

    prompt: ModelProfile
    step: ModelProfile
    chunk: ModelProfile | None = None


def phases_of(model: LanguageModel, workload: Workload, batch: int = 1) -> Phases:
    """Both phases of a workload, of so many requests that run together.

    Parameters
    ----------
    model : LanguageModel
    workload : Workload
    batch : int
    """
    common: dict[str, Any] = dict(
        batch=batch,
        room=workload.kept_tokens,
        requests=workload.requests,
        cache_bits=bits_of(workload.cache_bits),
    )
    last, before = workload.last_chunk, workload.prompt - workload.last_chunk
    chunk = None
    if before:
        size = before // (workload.chunks - 1)
        middle = (before - size) // 2
        chunk = phase_profile(model, Phase(size, middle, **common))
    return Phases(
        prompt=phase_profile(model, Phase(last, before, **common)),
        step=phase_profile(model, Phase(1, workload.step_fill, **common)),
        chunk=chunk,
    )


def bits_of(bits: float | None) -> Fraction | None:
    """Bits as they were written: 4.5 are nine halves."""
    return None if bits is None else Fraction(str(bits))


def cache_token_bytes(
    model: LanguageModel, attention: Attention, bits: Fraction | None = None
) -> int:
    """Bytes that are kept of one token by one block (eq. 44).

    Parameters
    ----------
    model : LanguageModel
    attention : Attention
    bits : Fraction, optional
        Of a number; None: those of an activation.
    """
    width = Fraction(8 * model.element_bytes) if bits is None else bits
    parts = attention.kept_heads
    return parts * bytes_of(attention.kept_numbers // parts, width)


def phase_profile(model: LanguageModel, phase: Phase) -> ModelProfile:
    """A run of a language model, layer by layer.

    Multiply-accumulates are those of all keys for all queries, masks skip nothing; a sliding
    window is as many keys as it sees. The head runs for the last token of every request.

    Parameters
    ----------
    model : LanguageModel
    phase : Phase

    Raises
    ------
    BadInputError
        A layer would have counts of 2^62 or more.
    """
    build = _Build(model, phase)
    spec = TensorSpec(
        name="tokens",
        shape=(phase.batch, phase.tokens),
        bytes=8 * build.rows,
        features=1,
        positions=phase.tokens,
        samples=phase.batch,
        dtype="int64",
    )
    build.embed(spec)
    for number, block in enumerate(model.blocks):
        build.block(f"layers.{number}", block)
    build.finish()
    counted = Counter(layer.op for layer in build.layers if layer.macs)
    free = Counter(layer.op for layer in build.layers if not layer.macs)
    return ModelProfile(
        name=model.name,
        element_bytes=model.element_bytes,
        weight_bits=model.weight_bits,
        inputs=(spec,),
        outputs=(build.layers[-1].name,),
        layers=tuple(build.layers),
        provenance=model.provenance,
        coverage=Coverage(
            counted=dict(counted), free=dict(free), witness_note="worked out from shapes alone"
        ),
    )


class _Build:
    """The layers of a run, one behind the other."""

    def __init__(self, model: LanguageModel, phase: Phase) -> None:
        self.model, self.phase = model, phase
        self.rows = phase.batch * phase.tokens
        """Vectors of every layer: tokens of all requests."""
        self.layers: list[LayerProfile] = []
        self._tokens = phase.tokens
        self._last = "tokens"

    def embed(self, spec: TensorSpec) -> None:
        table = self.model.embedding
        self._add(
            "embed_tokens",
            "embedding",
            "mixing",
            (spec.name,),
            read=(1, spec.bytes),
            made=(table.columns, self._size(table.columns)),
            params=table.params + self.model.positions,
            param_bytes=table.bytes + self.model.positions * self.model.element_bytes,
        )
        size = self._size(table.columns)
        shape = table.columns, size
        self._add(HIDDEN, "alias", "local", (self._last,), read=shape, made=shape)

    def block(self, name: str, block: Block) -> None:
        came = self._last
        read = came
        if block.before_attention:
            read = self._norm(f"{name}.input_norm", came, block.before_attention, block.norm)
        attended = self._attention(f"{name}.self_attn", read, block.attention)
        if block.after_attention:
            attended = self._norm(
                f"{name}.after_attention_norm", attended, block.after_attention, block.norm
            )
        if not block.parallel:
            came = self._sum(f"{name}.self_attn.add", came, attended)
            read = came
        if block.before_mlp:
            read = self._norm(f"{name}.mlp_norm", came, block.before_mlp, block.norm)
        if isinstance(block.mlp, Mlp):
            made = [self._mlp(f"{name}.mlp", read, block.mlp)]
        else:
            made = self._experts(f"{name}.mlp", read, block.mlp)
        if block.after_mlp:
            if len(made) > 1:
                made = [self._sum(f"{name}.mlp.add", *made)]
            made = [self._norm(f"{name}.after_mlp_norm", made[0], block.after_mlp, block.norm)]
        self._sum(name, came, *((attended,) if block.parallel else ()), *made)

    def finish(self) -> None:
        model, hidden = self.model, self.model.hidden
        before, size = self._tokens, self._size(hidden)
        self._tokens, self.rows = 1, self.phase.batch
        self._add(
            LAST_TOKEN,
            "slice",
            "local",
            (self._last,),
            read=(hidden, size),
            made=(hidden, self._size(hidden)),
            windows=(Window(first=before - 1, last=before - 1),),
        )
        if model.last_norm:
            self._norm("norm", self._last, model.last_norm, model.norm)
        table = model.embedding
        tied, biases = model.head is None, model.head_biases
        head = model.head or Matrix(
            inputs=hidden, outputs=table.rows, bytes=table.bytes, biases=biases
        )
        self._linear(
            "lm_head",
            self._last,
            head,
            params=head.biases + (0 if tied else head.weights),
            shared_params=head.weights if tied else 0,
            shared_bytes={"embed_tokens": table.bytes} if tied else {},
        )

    # Parts of a block.

    def _attention(self, name: str, read: str, attention: Attention) -> str:
        query, last = read, len(attention.query) - 1
        grouped = attention.heads // attention.kv_heads
        together = grouped if attention.kept_heads > 1 else 1
        for at, matrix in enumerate(attention.query):
            label = f"{name}.q_proj" if last == 0 else f"{name}.q_{'ab'[at]}_proj"
            cut = attention.key_size * together if at == last else 1
            query = self._linear(label, query, matrix, granularity=cut)
        keys = self._keys(name, read, attention)
        phase, model = self.phase, self.model
        seen = attention.seen(phase.past + phase.tokens)
        met = attention.key_size + attention.value_size
        if attention.latent is not None and phase.past:
            # one vector stands for the keys and values of all heads, and meets each of them
            met = 2 * attention.latent.rank + attention.latent.rotary
        each = cache_token_bytes(model, attention, phase.cache_bits)
        kept = each * attention.seen(phase.room) * phase.requests
        others = attention.others * model.element_bytes
        made = attention.heads * attention.value_size
        self._add(
            name,
            "attention",
            "grouped",
            (query, *keys),
            read=(attention.heads * attention.key_size, self._size(attention.query[-1].outputs)),
            made=(made, self._size(made)),
            macs=self.rows * attention.heads * met * seen,
            params=attention.others,
            param_bytes=others + kept,
            cache_bytes=kept,
            cache_token_bytes=each,
            cache_parts=attention.kept_heads if kept else 1,
            read_bytes=others + min(each * attention.seen(phase.past) * phase.batch, kept),
            groups=attention.heads,
            granularity=attention.value_size * together,
            windows=(SAME, *[None] * len(keys)),
        )
        return self._linear(f"{name}.o_proj", name, attention.output)

    def _keys(self, name: str, read: str, attention: Attention) -> tuple[str, ...]:
        """Keys and values: of heads of their own, of one for all heads, or out of one vector."""
        latent = attention.latent
        if latent is not None:
            each = latent.up.outputs // attention.heads
            vector = self._linear(f"{name}.kv_a_proj", read, latent.down, told=True)
            part = self._add(
                f"{name}.kv_a",
                "slice",
                "slice",
                (vector,),
                read=(latent.down.outputs, self._size(latent.down.outputs)),
                made=(latent.rank, self._size(latent.rank)),
            )
            made = self._linear(f"{name}.kv_b_proj", part, latent.up, granularity=each)
            return (made, vector)
        assert attention.key is not None and attention.value is not None
        one = attention.kv_heads == 1 and attention.heads > 1
        return tuple(
            self._linear(
                f"{name}.{part}_proj", read, matrix, told=one, granularity=1 if one else size
            )
            for part, matrix, size in (
                ("k", attention.key, attention.key_size),
                ("v", attention.value, attention.value_size),
            )
        )

    def _mlp(self, name: str, read: str, mlp: Mlp, more: tuple[str, ...] = ()) -> str:
        gate = () if mlp.gate is None else (self._linear(f"{name}.gate_proj", read, mlp.gate),)
        up = self._linear(f"{name}.up_proj", read, mlp.up)
        inner = self._activation(f"{name}.act", (*gate, up, *more), mlp.up.outputs)
        return self._linear(f"{name}.down_proj", inner, mlp.down)

    def _experts(self, name: str, read: str, experts: Experts) -> list[str]:
        """Those of all tokens as one layer of products for each matrix."""
        router = self._linear(f"{name}.router", read, experts.router, told=True)
        each, label = experts.each, f"{name}.experts"
        routing = Routing(
            experts=experts.count,
            taken=experts.active,
            shared=experts.shared,
            vectors=self.rows,
            place="first",
        )
        copies = _Copies(
            stored=experts.count + experts.shared,
            taken=experts.active + experts.shared,
            met=experts.distinct(self.rows) + experts.shared,
            routing=routing,
        )
        first = [("gate_proj", each.gate)] if each.gate is not None else []
        sources = [
            self._linear(f"{label}.{part}", read, matrix, copies)
            for part, matrix in (*first, ("up_proj", each.up))
        ]
        inner = self._activation(
            f"{label}.act", (*sources, router), each.up.outputs, copies.at("inner")
        )
        made = [self._linear(f"{label}.down_proj", inner, each.down, copies.at("last"))]
        if experts.beside is not None:
            gate = experts.beside_gate
            weighed = (
                () if gate is None else (self._linear(f"{name}.weigh", read, gate, told=True),)
            )
            made.append(self._mlp(f"{name}.shared", read, experts.beside, weighed))
        return made

    # Layers.

    def _linear(
        self,
        name: str,
        read: str,
        matrix: Matrix,
        copies: _Copies | None = None,
        *,
        told: bool = False,
        **fields: Any,
    ) -> str:
        """A product with a matrix, or with some of equal ones; ``told``: all nodes have it."""
        copies = copies or _Copies()
        inputs, outputs = matrix.inputs, matrix.outputs
        stored, other = copies.stored, matrix.biases * self.model.element_bytes
        counts: dict[str, Any] = {
            "params": stored * matrix.params,
            "weight_params": 0 if told else stored * matrix.weights,
            "param_bytes": stored * (matrix.bytes + other),
            "weight_bytes": None if told else stored * matrix.bytes,
        }
        if copies.met < stored:
            counts["read_bytes"] = ceil(copies.met * (matrix.bytes + other))
        size = self._size(outputs) * (1 if copies.joins else copies.taken)
        return self._add(
            name,
            "linear",
            "reduce" if told else "mixing",
            (read,),
            read=(inputs, self._size(inputs) * (copies.taken if copies.joins else 1)),
            made=(outputs, size),
            macs=self.rows * copies.taken * matrix.weights,
            statistics_bytes=size if told else 0,
            routing=copies.routing,
            **{**counts, **fields},
        )

    def _norm(self, name: str, read: str, params: int, kind: NormKind) -> str:
        hidden = self.model.hidden
        told = 1 if kind == "rms_norm" else 2  # a mean as well
        return self._add(
            name,
            kind,
            "local",
            (read,),
            read=(hidden, self._size(hidden)),
            made=(hidden, self._size(hidden)),
            params=params,
            param_bytes=params * self.model.element_bytes,
            statistics_bytes=told * self._size(1),
        )

    def _sum(self, name: str, *read: str) -> str:
        hidden = self.model.hidden
        size = self._size(hidden)
        return self._add(
            name, "add", "local", read, read=(hidden, len(read) * size), made=(hidden, size)
        )

    def _activation(
        self, name: str, read: tuple[str, ...], inner: int, copies: _Copies | None = None
    ) -> str:
        copies = copies or _Copies()
        size = copies.taken * self._size(inner)
        known = {layer.name: layer.output_bytes for layer in self.layers[-_NEAR:]}
        total = sum(known[source] for source in read)
        return self._add(
            name,
            "mul",
            "local",
            read,
            read=(inner, total),
            made=(inner, size),
            routing=copies.routing,
        )

    def _add(
        self,
        name: str,
        op: str,
        flow: FeatureFlow,
        inputs: tuple[str, ...],
        *,
        read: tuple[int, int],
        made: tuple[int, int],
        windows: tuple[Window | None, ...] = (),
        **fields: Any,
    ) -> str:
        """A layer that reads and makes so many features of so many bytes."""
        element = self.model.element_bytes
        same = windows or (SAME,) * len(inputs)
        counts: dict[str, Any] = dict(
            in_features=read[0],
            out_features=made[0],
            elements_per_feature=max(read[1] // read[0] // element, 1),
            output_elements_per_feature=max(made[1] // made[0] // element, 1),
            input_bytes=read[1],
            output_bytes=made[1],
            **{"macs": 0, "params": 0, "param_bytes": 0, **fields},
        )
        for what, count in counts.items():
            if isinstance(count, int) and count >= MAX_VALUE:
                raise BadInputError(
                    f"{self.model.name}, {self._tokens:,} tokens: layer {name!r}: its {what} are "
                    "2^62 or more"
                )
        layer = LayerProfile(
            name=name,
            op=op,
            inputs=inputs,
            feature_flow=flow,
            positions=Geometry(count=self._tokens, reads=same),
            samples=Geometry(count=self.phase.batch, reads=(SAME,) * len(inputs)),
            **counts,
        )
        self.layers.append(layer)
        self._last = name
        return name

    def _size(self, features: int) -> int:
        """Bytes of so many features of every vector."""
        return self.rows * features * self.model.element_bytes


@dataclass(frozen=True)
class _Copies:
    """Equal matrices: how many are stored, a token takes, and all tokens take different ones of."""

    stored: int = 1
    taken: int = 1
    met: Fraction = Fraction(1)
    routing: Routing | None = None

    @property
    def joins(self) -> bool:
        """Whether one vector comes out of all that a token takes."""
        return self.routing is not None and self.routing.place == "last"

    def at(self, place: Literal["inner", "last"]) -> _Copies:
        """The same behind the first matrix."""
        assert self.routing is not None
        return replace(self, routing=self.routing.model_copy(update={"place": place}))


_NEAR = 8  # layers in which an activation's sources lie
