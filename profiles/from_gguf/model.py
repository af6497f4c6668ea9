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
_UNREAD = re.compile(r"^(rope_freqs|rope_factors_\w+)\.|^blk\.\d+\.(rope|nextn|layer_output_scale)")


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


class _Model:
    def __init__(self, header: Header) -> None:
        self._values, self._tensors = header.values, header.tensors
        self.kind = str(self._values.get("general.architecture", ""))[:60]
        self.blocks = self.number("block_count")
        if not 1 <= self.blocks <= _MOST_BLOCKS:
            raise BadInputError(f"GGUF: block_count: found {self.blocks:,}; 1 to 512 are read")
        self.hidden = self.number("embedding_length")
        self.norm: NormKind = (
            "layer_norm" if self._has("attention.layer_norm_epsilon") else "rms_norm"
        )
        self.of_block: list[dict[str, GgufTensor]] = [{} for _ in range(self.blocks)]
        for label, tensor in self._tensors.items():
            if _UNREAD.match(label):
                continue
            found = _BLOCK.match(label)
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
        if name not in self._tensors:
            raise BadInputError(f"GGUF: the tensor {name} is missing")
        return self._tensors[name]

    # The model.

    def model(self, name: str) -> LanguageModel:
        """All of it."""
        table = self.tensor("token_embd.weight")
        head = self._tensors.get("output.weight")
        if len(table.shape) != 2:
            raise BadInputError("GGUF: token_embd.weight is no table")
        kinds, order = kinds_of(self.block(number) for number in range(self.blocks))
        positions = self._tensors.get("position_embd.weight")
        weighed = [t for t in self._tensors.values() if len(t.shape) > 1]
        bits = Fraction(8 * sum(t.bytes for t in weighed), sum(t.count for t in weighed))
        types: dict[str, int] = {}
        for tensor in weighed:
            types[tensor.type] = types.get(tensor.type, 0) + 1
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(types.items()))
        label = self._values.get("general.name")
        biases = self._tensors.get("output.bias")
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
            last_norm=self._params("output_norm"),
            head=None if head is None else _matrix(head, biases),
            head_biases=biases.count if biases and head is None else 0,
            context=context or None,
            weight_bits=float(bits) if 0 < bits <= 64 else None,
            provenance=Provenance(
                front_end="GGUF header", source="file.gguf", note=f"shapes alone; matrices: {said}"
            ),
        )

    def _params(self, name: str) -> int:
        """Numbers of a norm: its weights and biases."""
        found = (self._tensors.get(f"{name}.{part}") for part in ("weight", "bias"))
        return sum(tensor.count for tensor in found if tensor)

    def block(self, number: int) -> Block:
        """One layer."""
        mine = self.of_block[number]

        def norm(*names: str) -> int:
            return sum(
                mine[f"{name}.{part}"].count
                for name in names
                for part in ("weight", "bias")
                if f"{name}.{part}" in mine
            )

        known = {"post_attention_norm", "attn_post_norm"}
        after = norm(*known)
        before_mlp = norm("ffn_norm")
        parallel = False
        if not before_mlp and after:  # what some call the norm in front of the network
            before_mlp, after = after, 0
        elif not before_mlp and norm("attn_norm"):
            parallel = not norm("post_ffw_norm")
        return Block(
            attention=self.attention(number, mine),
            mlp=self.network(mine),
            norm=self.norm,
            before_attention=norm("attn_norm"),
            after_attention=after,
            before_mlp=before_mlp,
            after_mlp=norm("post_ffw_norm", "ffn_post_norm"),
            parallel=parallel,
        )

    def attention(self, number: int, mine: dict[str, GgufTensor]) -> Attention:
        """Its heads, and what they keep."""
        heads = self.number("attention.head_count", block=number)
        kv_heads = self.number("attention.head_count_kv", heads, number)
        if not heads or not kv_heads:
            raise BadInputError(f"GGUF: blk.{number} has no attention; such blocks are not known")
        others = sum(
            tensor.count
            for name, tensor in mine.items()
            if name.rpartition(".")[0] in _NO_NORMS or name in _NO_NORMS
        )
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
        self, number: int, mine: dict[str, GgufTensor], heads: int, others: int, output: Matrix
    ) -> Attention:
        """Keys and values out of one vector; its upper matrix may be in two parts."""
        rank = self.number("attention.kv_lora_rank")
        if not rank:
            raise BadInputError(
                f"GGUF: {self.kind}.attention.kv_lora_rank: found 0; 1 is the least"
            )
        down = self._of(mine, "attn_kv_a_mqa", number)
        rotary = down.outputs - rank
        if "attn_kv_b.weight" in mine:
            up = self._of(mine, "attn_kv_b", number)
        else:
            parts = [mine.get(f"attn_{part}_b.weight") for part in "kv"]
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

    def network(self, mine: dict[str, GgufTensor]) -> Mlp | Experts:
        """What stands behind attention."""
        if "ffn_gate_inp.weight" not in mine:
            return self._mlp(mine, "ffn_{}")
        if "ffn_up_exps.weight" not in mine:
            raise BadInputError(
                "GGUF: experts in a tensor each are of an old form; convert it anew"
            )
        router = _matrix(mine["ffn_gate_inp.weight"], mine.get("ffn_gate_inp.bias"))
        count = router.outputs
        each = self._mlp(mine, "ffn_{}_exps", count)
        beside, shared = None, 0
        if "ffn_up_shexp.weight" in mine:
            beside = self._mlp(mine, "ffn_{}_shexp")
            if beside.up.outputs % each.up.outputs == 0 and beside.up.bytes == each.up.bytes * (
                beside.up.outputs // each.up.outputs
            ):
                shared, beside = beside.up.outputs // each.up.outputs, None
        gate = mine.get("ffn_gate_inp_shexp.weight")
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
            beside_gate=weighs if beside is not None else None,
        )

    def _mlp(self, mine: dict[str, GgufTensor], pattern: str, copies: int = 1) -> Mlp:
        def of(part: str) -> Matrix | None:
            tensor = mine.get(f"{pattern.format(part)}.weight")
            if tensor is None:
                return None
            return _matrix(tensor, mine.get(f"{pattern.format(part)}.bias"), copies)

        gate, up, down = of("gate"), of("up"), of("down")
        if up is None or down is None:
            raise BadInputError(f"GGUF: a block has no {pattern.format('up')} and down")
        if gate is None and up.outputs == 2 * down.inputs:  # both in one
            gate, up, _ = _split(up, down.inputs, down.inputs, 0)
        return Mlp(gate=gate, up=up, down=down)

    def _of(self, mine: dict[str, GgufTensor], name: str, number: int) -> Matrix:
        tensor = mine.get(f"{name}.weight")
        if tensor is None:
            raise BadInputError(f"GGUF: the tensor blk.{number}.{name}.weight is missing")
        return _matrix(tensor, mine.get(f"{name}.bias"))


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
