"""A causal language model by the shapes of its weights: blocks, heads, experts, what it keeps.

Everything that a prompt and an answer cost follows from these numbers (`planner.language`). Front
ends fill them in from a ``config.json`` or from the header of a GGUF file; no weight is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, model_validator

from planner.domain.arrays import Frozen
from planner.domain.layer_profile import Count, Name, Positive
from planner.domain.model_profile import Provenance
from planner.errors import BadInputError

NormKind = Literal["rms_norm", "layer_norm"]


class Matrix(Frozen):
    """Weights that join every input to every output, and the biases of the outputs."""

    inputs: Positive
    outputs: Positive
    bytes: Positive = Field(description="of the weights, with their scales; biases apart")
    biases: Count = 0

    @classmethod
    def of(cls, inputs: int, outputs: int, bits: Fraction, biases: int = 0) -> Matrix:
        """A matrix of so many bits a weight, rounded up to whole bytes."""
        return cls(
            inputs=inputs,
            outputs=outputs,
            bytes=bytes_of(inputs * outputs, bits),
            biases=biases,
        )

    @property
    def weights(self) -> int:
        """How many join an input to an output."""
        return self.inputs * self.outputs

    @property
    def params(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    def with_bits(self, bits: Fraction) -> Matrix:
        """The same with weights of another width."""
        return self.model_copy(update={"bytes": bytes_of(self.weights, bits)})


def bytes_of(numbers: int, bits: Fraction) -> int:
    """Whole bytes of so many numbers."""
    return -(-numbers * bits.numerator // (8 * bits.denominator))


class Latent(Frozen):
    """Keys and values that are made from one vector per token, which is all that is kept (MLA).

    ``down`` makes that vector: ``rank`` numbers, and ``rotary`` ones that the keys of all heads
    share.
    ``up`` makes the heads' keys and values from its ``rank``.
    """

    down: Matrix
    up: Matrix
    rank: Positive
    rotary: Count

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.down.outputs != self.rank + self.rotary or self.up.inputs != self.rank:
            raise ValueError("latent: its matrices do not make a vector of rank and rotary numbers")
        return self


class Attention(Frozen):
    """Heads that read what earlier tokens left."""

    heads: Positive
    kv_heads: Positive = Field(description="of keys and values; several heads may share one")
    key_size: Positive = Field(description="numbers of a head's query and key")
    value_size: Positive
    window: Positive | None = Field(default=None, description="tokens that it sees at most")
    query: tuple[Matrix, ...] = Field(min_length=1, max_length=2, description="in a row")
    key: Matrix | None = None
    value: Matrix | None = None
    latent: Latent | None = None
    output: Matrix
    others: Count = Field(default=0, description="parameters of norms of queries and keys, sinks")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError("attention: heads are no multiple of those of keys and values")
        if any(one.outputs != other.inputs for one, other in pairwise(self.query)):
            raise ValueError("attention: the matrices of its queries do not meet")
        if self.query[-1].outputs != self.heads * self.key_size:
            raise ValueError("attention: its queries are no heads of key_size numbers")
        if self.output.inputs != self.heads * self.value_size:
            raise ValueError("attention: its output reads no heads of value_size numbers")
        if (self.latent is None) == (self.key is None or self.value is None):
            raise ValueError("attention: give a key and a value, or a latent vector")
        if self.latent is not None:
            if self.latent.up.outputs % self.heads:
                raise ValueError("attention: its latent vector makes no equal heads")
        elif self.key is not None and self.value is not None:
            made = self.key.outputs, self.value.outputs
            if made != (self.kv_heads * self.key_size, self.kv_heads * self.value_size):
                raise ValueError("attention: its keys and values are not those of kv_heads")
        return self

    @property
    def kept_heads(self) -> int:
        """Parts into which what is kept of a token can be divided."""
        return 1 if self.latent else self.kv_heads

    @property
    def kept_numbers(self) -> int:
        """Numbers that are kept of every token."""
        if self.latent is not None:
            return self.latent.rank + self.latent.rotary
        return self.kv_heads * (self.key_size + self.value_size)

    def seen(self, tokens: int) -> int:
        """How many of so many tokens it reads and keeps."""
        return tokens if self.window is None else min(tokens, self.window)


class Mlp(Frozen):
    """Two matrices with an activation between, and a gate beside the first where there is one."""

    gate: Matrix | None = None
    up: Matrix
    down: Matrix

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """All of them."""
        return (self.up, self.down) if self.gate is None else (self.gate, self.up, self.down)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.up.outputs != self.down.inputs or (
            self.gate is not None and self.gate.outputs != self.up.outputs
        ):
            raise ValueError("mlp: its matrices do not meet")
        return self


class Experts(Frozen):
    """Equal networks of which every token takes some, and those that every token takes."""

    count: Positive
    active: Positive = Field(description="that a token takes")
    shared: Count = Field(default=0, description="equal ones beside them that every token takes")
    router: Matrix
    each: Mlp
    beside: Mlp | None = Field(default=None, description="of another size, for every token")
    beside_gate: Matrix | None = Field(default=None, description="weighs what that makes")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.active > self.count:
            raise ValueError(f"experts: {self.active} of {self.count} are active")
        if self.router.outputs != self.count:
            raise ValueError(f"experts: its router chooses of {self.router.outputs}")
        return self

    def distinct(self, tokens: int) -> Fraction:
        """Expected number of different experts that so many tokens take (docs/model.md, eq. 45).

        Assumed: every token takes any ``active`` of the ``count``, whatever the others take.
        """
        left = Fraction(self.count - self.active, self.count) ** min(tokens, _MANY_TOKENS)
        return self.count * (1 - left)


_MANY_TOKENS = 4096
"""Beyond which all experts of any model are taken, as far as a float can tell."""


class Block(Frozen):
    """One layer: attention and a network, each behind a norm and added to what came."""

    attention: Attention
    mlp: Mlp | Experts
    norm: NormKind = "rms_norm"
    before_attention: Count = Field(
        default=0, description="parameters of the norm; 0: there is none"
    )
    after_attention: Count = 0
    before_mlp: Count = 0
    after_mlp: Count = 0
    parallel: bool = Field(default=False, description="both read what came, and are added at once")


def kinds_of(blocks: Iterable[Block]) -> tuple[tuple[Block, ...], tuple[int, ...]]:
    """Every kind of some blocks once, as they come, and for every block its kind's place there."""
    places: dict[Block, int] = {}
    order = tuple(places.setdefault(block, len(places)) for block in blocks)
    return tuple(places), order


class Table(Frozen):
    """The embedding: one row per token of the vocabulary."""

    rows: Positive
    columns: Positive
    bytes: Positive

    @property
    def params(self) -> int:
        """Numbers of the table."""
        return self.rows * self.columns


class LanguageModel(Frozen):
    """A causal language model.

    Equal blocks are written down once (``kinds``), and ``order`` says which comes where.
    """

    schema_version: Literal[1] = 1
    name: Name
    hidden: Positive
    element_bytes: Positive = Field(default=2, description="of an activation")
    embedding: Table
    positions: Count = Field(default=0, description="parameters of positions that are added")
    kinds: tuple[Block, ...] = Field(min_length=1, max_length=512)
    order: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1, max_length=512)
    norm: NormKind = "rms_norm"
    last_norm: Count = Field(default=0, description="parameters of the norm behind all blocks")
    head: Matrix | None = Field(default=None, description="null: the embedding, read once more")
    head_biases: Count = 0
    context: Positive | None = Field(default=None, description="tokens that it was trained for")
    weight_bits: float | None = Field(
        default=None, gt=0, le=64, description="mean of a weight with its scales; null: elements"
    )
    provenance: Provenance

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if max(self.order) >= len(self.kinds):
            raise ValueError("order: names a kind of block that is not there")
        if self.embedding.columns != self.hidden:
            raise ValueError("embedding: its columns are not the hidden numbers")
        if self.head is not None and (self.head.inputs, self.head.outputs) != (
            self.hidden,
            self.embedding.rows,
        ):
            raise ValueError("head: does not join the hidden numbers to the vocabulary")
        for kind in self.kinds:
            reads = {m.inputs for m in (*_attending(kind.attention), *_readers(kind.mlp))}
            makes = {m.outputs for m in (kind.attention.output, *_makers(kind.mlp))}
            if reads | makes != {self.hidden}:
                raise ValueError("kinds: a block does not read and make the hidden numbers")
        return self

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block, in order."""
        return tuple(self.kinds[kind] for kind in self.order)

    @property
    def has_experts(self) -> bool:
        """Whether any block has experts."""
        return any(isinstance(kind.mlp, Experts) for kind in self.kinds)

    @property
    def distinct(self) -> LanguageModel:
        """The same with every kind of block once, in the order of ``kinds``."""
        return self.model_copy(update={"order": tuple(range(len(self.kinds)))})

    def with_block_bytes(self, more: int) -> LanguageModel:
        """The same where the blocks' matrices take so many bytes more, or fewer, all together.

        Raises
        ------
        BadInputError
            Their weights would have no width, or one that no weight has.
        """
        matrices = [m for block in self.blocks for m in _matrices(block)]
        weights = sum(count * matrix.weights for count, matrix in matrices)
        stored = sum(count * matrix.bytes for count, matrix in matrices)
        bits = Fraction(8 * (stored + more), weights)
        if not 0 < bits <= 64:
            raise BadInputError(
                f"weights: their bytes make {float(bits):.3g} bits for each weight of a block"
            )
        kinds = tuple(_with_bits(kind, bits) for kind in self.kinds)
        return self.model_copy(update={"kinds": kinds, "weight_bits": float(bits)})

    def with_bits(self, bits: Fraction) -> LanguageModel:
        """The same with all weights of another width; norms, biases and sinks keep theirs."""
        table = self.embedding
        return self.model_copy(
            update={
                "embedding": table.model_copy(update={"bytes": bytes_of(table.params, bits)}),
                "kinds": tuple(_with_bits(kind, bits) for kind in self.kinds),
                "head": None if self.head is None else self.head.with_bits(bits),
                "weight_bits": float(bits),
            }
        )


def _attending(attention: Attention) -> tuple[Matrix, ...]:
    """Matrices of attention that read the hidden numbers."""
    down = None if attention.latent is None else attention.latent.down
    others = (attention.key, attention.value, down)
    return (attention.query[0], *(matrix for matrix in others if matrix is not None))


def _makers(mlp: Mlp | Experts) -> tuple[Matrix, ...]:
    """Matrices that make the hidden numbers."""
    if isinstance(mlp, Mlp):
        return (mlp.down,)
    return (mlp.each.down,) if mlp.beside is None else (mlp.each.down, mlp.beside.down)


def _readers(mlp: Mlp | Experts) -> tuple[Matrix, ...]:
    """Matrices that read the hidden numbers."""
    if isinstance(mlp, Mlp):
        return mlp.matrices[:-1]
    beside = () if mlp.beside is None else mlp.beside.matrices[:-1]
    return (mlp.router, *mlp.each.matrices[:-1], *beside)


def _matrices(block: Block) -> list[tuple[int, Matrix]]:
    """Those of a block whose weights are quantised, with how often each is there."""
    attention, mlp = block.attention, block.mlp
    found = [(1, m) for m in (*attention.query, attention.output)]
    found += [(1, m) for m in (attention.key, attention.value) if m is not None]
    if attention.latent is not None:
        found += [(1, attention.latent.down), (1, attention.latent.up)]
    if isinstance(mlp, Mlp):
        return [*found, *((1, m) for m in mlp.matrices)]
    beside = () if mlp.beside is None else mlp.beside.matrices
    found += [(mlp.count + mlp.shared, m) for m in mlp.each.matrices]
    return [*found, *((1, m) for m in beside)]


_Part = TypeVar("_Part", bound=Frozen)


def _with_bits(part: _Part, bits: Fraction) -> _Part:
    """A part of a model with its matrices of another width; routers and gates keep their own."""
    changed: dict[str, object] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if name in ("router", "beside_gate"):
            continue
        if isinstance(value, Matrix):
            changed[name] = value.with_bits(bits)
        elif isinstance(value, tuple) and value and isinstance(value[0], Matrix):
            changed[name] = tuple(matrix.with_bits(bits) for matrix in value)
        elif isinstance(value, (Attention, Latent, Mlp, Experts)):
            changed[name] = _with_bits(value, bits)
    return part.model_copy(update=changed)
