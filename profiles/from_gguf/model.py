"""A language model out of a GGUF header: ggml's names of tensors, and the values beside them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from planner.domain.language_model import (
    Attention,
    Block,
    Experts,
    LanguageModel,
    Latent,
    Matrix,
    Mlp,
    NormKind,
    Table,
    kinds_of,
)
from planner.domain.model_profile import Provenance
from planner.errors import BadInputError
from profiles.files import one_line
from profiles.from_gguf.header import GgufTensor, Header

_BLOCK = re.compile(r"^blk\.(\d{1,4})\.(.+)$")
_PERIODS = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2, "cohere2": 4}
"""After how many layers one sees everything, where the file does not list them."""
_NO_NORMS = frozenset("attn_q_norm attn_k_norm attn_sinks attn_q_a_norm attn_kv_a_norm".split())
_MOST_BLOCKS = 512
_UNREAD = re.compile(
    r"^(rope_freqs|rope_factors_\w+)\.|^blk\.\d+\.(rope|attn_rot_embd|layer_output_scale)"
    r"|^(v|a|mm)\."
)
"""Tensors that cost nothing, and those of images and sounds: of such models the texts are read."""


def language_model_of(header: Header, *, name: str) -> LanguageModel:
    """A model by its tensors.

    Parameters
    ----------
    header : Header
    name : str
        Of the model, where the file has none.

    Raises
    ------
    BadInputError
        One line: a tensor or a value is missing, or the blocks are of a kind that is not known.
    """
    return _Model(header).model(name)


class _Block(dict[str, GgufTensor]):
    """The tensors of a block, and which of them its parts have taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: set[str] = set()

    def take(self, name: str) -> GgufTensor | None:
        """A tensor for a part of the block; None: there is none."""
        self.taken.add(name)
        return self.get(name)


class _Model:
    def __init__(self, header: Header) -> None:
        self._values = header.values
        self._tensors: dict[str, GgufTensor] = {}
        self.kind = str(self._values.get("general.architecture", ""))[:60]
        stored = self.number("block_count")
        if not 1 <= stored <= _MOST_BLOCKS:
            raise BadInputError(f"GGUF: block_count: found {stored:,}; 1 to 512 are read")
        # The last ones guess the tokens behind the next: llama.cpp neither loads nor runs them.
        self.guessing = self.number("nextn_predict_layers", 0)
        self.blocks = stored - self.guessing
        if self.blocks < 1:
            raise BadInputError(
                f"GGUF: nextn_predict_layers: found {self.guessing:,} of {stored} blocks"
            )
        self.hidden = self.number("embedding_length")
        self.norm: NormKind = (
            "layer_norm" if self._has("attention.layer_norm_epsilon") else "rms_norm"
        )
        self._taken: set[str] = set()
        self.of_block = [_Block() for _ in range(self.blocks)]
        for label, tensor in header.tensors.items():
            found = _BLOCK.match(label)
            if _UNREAD.match(label) or (found and self.blocks <= int(found[1]) < stored):
                continue
            self._tensors[label] = tensor
            if found and int(found[1]) < self.blocks:
                self.of_block[int(found[1])][found[2]] = tensor

    # Values.

    def _has(self, key: str) -> bool:
        return f"{self.kind}.{key}" in self._values

    def number(self, key: str, default: int | None = None, block: int = 0) -> int:
        """A whole number of the architecture's, of a block where there is one for each."""
        found = self._values.get(f"{self.kind}.{key}", default)
        if isinstance(found, list):
            found = found[block] if block < len(found) else None
        if isinstance(found, bool) or not isinstance(found, int) or found < 0:
            raise BadInputError(
                f"GGUF: {self.kind}.{key}: found {one_line(str(found))[:40]}; a number is needed"
            )
        return found

    def tensor(self, name: str) -> GgufTensor:
        """A tensor that must be there."""
        found = self._take(name)
        if found is None:
            raise BadInputError(f"GGUF: the tensor {name} is missing")
        return found

    def _take(self, name: str) -> GgufTensor | None:
        """A tensor of no block; None: there is none."""
        self._taken.add(name)
        return self._tensors.get(name)

    def _left(self) -> list[str]:
        """Words on what no part of the model has taken: what is small, beside the blocks.

        Vectors of a block are counted with its attention (`block`).

        Raises
        ------
        BadInputError
            There are matrices among it: whatever they do takes time and memory.
        """
        for number, block in enumerate(self.of_block):
            self._taken |= {f"blk.{number}.{name}" for name in block.taken}
        left = {name: t for name, t in self._tensors.items() if name not in self._taken}
        matrices = {name: tensor for name, tensor in left.items() if len(tensor.shape) > 1}
        if matrices:
            count = sum(tensor.count for tensor in matrices.values())
            raise BadInputError(
                f"GGUF: {one_line(self.kind)}: {len(matrices):,} matrices of {count:,} numbers are "
                f"not known, the first {one_line(next(iter(matrices)))[:80]}"
            )
        count = sum(tensor.count for tensor in left.values())
        return [f"{count:,} numbers of vectors beside the blocks are left out"] if left else []

    # The model.

    def model(self, name: str) -> LanguageModel:
        """All of it."""
        table = self.tensor("token_embd.weight")
        head = self._take("output.weight")
        if len(table.shape) != 2:
            raise BadInputError("GGUF: token_embd.weight is no table")
        kinds, order = kinds_of(self.block(number) for number in range(self.blocks))
        positions = self._take("position_embd.weight")
        weighed = [t for t in self._tensors.values() if len(t.shape) > 1]
        bits = Fraction(8 * sum(t.bytes for t in weighed), sum(t.count for t in weighed))
        types: dict[str, int] = {}
        for tensor in weighed:
            types[tensor.type] = types.get(tensor.type, 0) + 1
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(types.items()))
        label = self._values.get("general.name")
        biases = self._take("output.bias")
        last_norm = self._params("output_norm")
        words = [f"shapes alone; matrices: {said}", *self._left()]
        if self.guessing:
            words.append(f"{self.guessing} blocks that guess further tokens do not run")
        context = self.number("context_length", 0)
        return LanguageModel(
            name=one_line(str(label))[:200] if isinstance(label, str) and label else name,
            hidden=self.hidden,
            element_bytes=2,
            embedding=Table(rows=table.shape[1], columns=table.shape[0], bytes=table.bytes),
            positions=positions.count if positions else 0,
            kinds=kinds,
            order=order,
            norm=self.norm,
            last_norm=last_norm,
            head=None if head is None else _matrix(head, biases),
            head_biases=biases.count if biases and head is None else 0,
            context=context or None,
            weight_bits=float(bits) if 0 < bits <= 64 else None,
            provenance=Provenance(
                front_end="GGUF header", source="file.gguf", note="; ".join(words)
            ),
        )

    def _params(self, name: str) -> int:
        """Numbers of a norm: its weights and biases."""
        found = (self._take(f"{name}.{part}") for part in ("weight", "bias"))
        return sum(tensor.count for tensor in found if tensor)

    def block(self, number: int) -> Block:
        """One layer."""
        mine = self.of_block[number]

        def norm(*names: str) -> int:
            found = [mine.take(f"{name}.{part}") for name in names for part in ("weight", "bias")]
            return sum(tensor.count for tensor in found if tensor)

        before, before_mlp = norm("attn_norm"), norm("ffn_norm")
        after = norm("post_attention_norm", "attn_post_norm", "attn_output_norm")
        after_mlp = norm("post_ffw_norm", "ffn_post_norm", "layer_output_norm")
        parallel = False
        if not before_mlp and after:  # what some call the norm in front of the network
            before_mlp, after = after, 0
        elif not before_mlp and before:
            parallel = not after_mlp
        attention, mlp = self.attention(number, mine), self.network(mine)
        small = {n for n, t in mine.items() if n not in mine.taken and len(t.shape) == 1}
        mine.taken |= small  # norms inside of a part, scales, biases of a choice
        others = attention.others + sum(mine[name].count for name in small)
        return Block(
            attention=attention.model_copy(update={"others": others}),
            mlp=mlp,
            norm=self.norm,
            before_attention=before,
            after_attention=after,
            before_mlp=before_mlp,
            after_mlp=after_mlp,
            parallel=parallel,
        )

    def attention(self, number: int, mine: _Block) -> Attention:
        """Its heads, and what they keep."""
        heads = self.number("attention.head_count", block=number)
        kv_heads = self.number("attention.head_count_kv", heads, number)
        if not heads or not kv_heads:
            raise BadInputError(f"GGUF: blk.{number} has no attention; such blocks are not known")
        named = {n for n in mine if n.rpartition(".")[0] in _NO_NORMS or n in _NO_NORMS}
        mine.taken |= named
        others = sum(mine[name].count for name in named)
        output = self._of(mine, "attn_output", number)
        if "attn_kv_a_mqa.weight" in mine:
            return self._latent(number, mine, heads, others, output)
        size = self.number("attention.key_length", self.hidden // heads)
        value = self.number("attention.value_length", size)
        if "attn_qkv.weight" in mine:
            made = self._of(mine, "attn_qkv", number)
            query, key, values = _split(made, heads * size, kv_heads * size, kv_heads * value)
        else:
            query, key, values = (self._of(mine, f"attn_{part}", number) for part in "qkv")
        return Attention(
            heads=heads,
            kv_heads=kv_heads,
            key_size=size,
            value_size=value,
            window=self._window(number),
            query=(query,),
            key=key,
            value=values,
            output=output,
            others=others,
        )

    def _latent(
        self, number: int, mine: _Block, heads: int, others: int, output: Matrix
    ) -> Attention:
        """Keys and values out of one vector; its upper matrix may be in two parts."""
        rank = self.number("attention.kv_lora_rank")
        if not rank:
            raise BadInputError(
                f"GGUF: {self.kind}.attention.kv_lora_rank: found 0; 1 is the least"
            )
        down = self._of(mine, "attn_kv_a_mqa", number)
        rotary = down.outputs - rank
        parts = [mine.take(f"attn_{part}_b.weight") for part in "kv"]
        if "attn_kv_b.weight" in mine:  # some files have the same numbers in parts as well
            up = self._of(mine, "attn_kv_b", number)
        else:
            if None in parts:
                raise BadInputError(f"GGUF: the tensor blk.{number}.attn_kv_b.weight is missing")
            count = sum(part.count for part in parts if part)
            size = sum(part.bytes for part in parts if part)
            up = Matrix(inputs=rank, outputs=count // rank, bytes=size)
        if "attn_q_a.weight" in mine:
            query = tuple(self._of(mine, f"attn_q_{part}", number) for part in "ab")
        else:
            query = (self._of(mine, "attn_q", number),)
        return Attention(
            heads=heads,
            kv_heads=heads,
            key_size=query[-1].outputs // heads,
            value_size=output.inputs // heads,
            query=query,
            latent=Latent(down=down, up=up, rank=rank, rotary=rotary),
            output=output,
            others=others,
        )

    def _window(self, number: int) -> int | None:
        size = self.number("attention.sliding_window", 0)
        if not size:
            return None
        listed = self._values.get(f"{self.kind}.attention.sliding_window_pattern")
        if isinstance(listed, list) and number < len(listed):
            return size if listed[number] else None
        period = listed if isinstance(listed, int) and listed > 1 else _PERIODS.get(self.kind, 0)
        return None if period and (number + 1) % period == 0 else size

    def network(self, mine: _Block) -> Mlp | Experts:
        """What stands behind attention."""
        chooser = mine.take("ffn_gate_inp.weight")
        if chooser is None:
            return self._mlp(mine, "ffn_{}")
        if "ffn_up_exps.weight" not in mine:
            raise BadInputError(
                "GGUF: experts in a tensor each are of an old form; convert it anew"
            )
        router = _matrix(chooser, mine.take("ffn_gate_inp.bias"))
        count = router.outputs
        each = self._mlp(mine, "ffn_{}_exps", count)
        beside, shared = None, 0
        if "ffn_up_shexp.weight" in mine:
            beside = self._mlp(mine, "ffn_{}_shexp")
            if beside.up.outputs % each.up.outputs == 0 and beside.up.bytes == each.up.bytes * (
                beside.up.outputs // each.up.outputs
            ):
                shared, beside = beside.up.outputs // each.up.outputs, None
        gate = mine.take("ffn_gate_inp_shexp.weight") if beside is not None else None
        weighs = None
        if gate is not None:
            weighs = Matrix(inputs=self.hidden, outputs=1, bytes=gate.bytes)
        return Experts(
            count=count,
            active=self.number("expert_used_count"),
            shared=shared,
            router=router,
            each=each,
            beside=beside,
            beside_gate=weighs,
        )

    def _mlp(self, mine: _Block, pattern: str, copies: int = 1) -> Mlp:
        def of(part: str) -> Matrix | None:
            tensor = mine.take(f"{pattern.format(part)}.weight")
            if tensor is None:
                return None
            return _matrix(tensor, mine.take(f"{pattern.format(part)}.bias"), copies)

        gate, up, down = of("gate"), of("up"), of("down")
        if up is None or down is None:
            raise BadInputError(f"GGUF: a block has no {pattern.format('up')} and down")
        if gate is None and up.outputs == 2 * down.inputs:  # both in one
            gate, up, _ = _split(up, down.inputs, down.inputs, 0)
        return Mlp(gate=gate, up=up, down=down)

    def _of(self, mine: _Block, name: str, number: int) -> Matrix:
        tensor = mine.take(f"{name}.weight")
        if tensor is None:
            raise BadInputError(f"GGUF: the tensor blk.{number}.{name}.weight is missing")
        return _matrix(tensor, mine.take(f"{name}.bias"))


def _matrix(tensor: GgufTensor, bias: GgufTensor | None = None, copies: int = 1) -> Matrix:
    """One of ``copies`` equal matrices of a tensor."""
    shape = tensor.shape
    if len(shape) != (2 if copies == 1 else 3) or (copies > 1 and shape[2] != copies):
        raise BadInputError(f"GGUF: a tensor of shape {shape} where {copies} matrices must be")
    return Matrix(
        inputs=shape[0],
        outputs=shape[1],
        bytes=tensor.bytes // copies,
        biases=bias.count // copies if bias else 0,
    )


def _split(made: Matrix, *outputs: int) -> Any:
    """Parts of a matrix by their outputs, which have equal rows."""
    if sum(outputs) != made.outputs or made.bytes % made.outputs:
        raise BadInputError("GGUF: a fused matrix does not divide into its parts")
    row, biased = made.bytes // made.outputs, bool(made.biases)
    return [
        Matrix(inputs=made.inputs, outputs=n, bytes=n * row, biases=n if biased else 0)
        if n
        else None
        for n in outputs
    ]
