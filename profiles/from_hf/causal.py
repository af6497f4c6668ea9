"""A causal model's ``config.json`` as shapes alone; neither torch nor transformers is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from planner.domain.language_model import (
    Attention,
    Block,
    Experts,
    LanguageModel,
    Latent,
    Matrix,
    Mlp,
    Table,
    bytes_of,
    kinds_of,
)
from planner.domain.model_profile import Provenance
from planner.errors import BadInputError
from profiles.files import first_problem
from profiles.from_hf.families import DEFAULTS, FAMILIES, Family
from profiles.from_hf.quantised import Widths, widths_of

_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "float64": 64}
_NAMES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "n_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads", "n_kv_heads"),
    "intermediate_size": ("intermediate_size", "n_inner", "ffn_dim"),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "max_seq_len"),
    "num_experts": ("num_experts", "num_local_experts", "n_routed_experts"),
    "num_experts_per_tok": ("num_experts_per_tok", "num_experts_per_token", "top_k"),
}
"""What files call the same number."""
_MOST = 2**24


def _is_other(values: dict[str, Any]) -> bool:
    """A head of another kind than one over the vocabulary: a classifier, an embedding."""
    names = values.get("architectures") or ()
    if not isinstance(names, (list, tuple)):
        return True
    return bool(names) and not any(
        str(name).endswith(("ForCausalLM", "ForConditionalGeneration", "LMHeadModel"))
        for name in names
    )


def is_causal(values: dict[str, Any]) -> bool:
    """Whether a configuration is that of a causal model whose shapes are known here."""
    kind = text_values(values).get("model_type")
    return isinstance(kind, str) and kind in FAMILIES and not _is_other(values)


def text_values(values: dict[str, Any]) -> dict[str, Any]:
    """The part of a configuration that describes the model of texts."""
    text = values.get("text_config")
    if not isinstance(text, dict) or "model_type" not in text:
        return values
    outer = {
        key: values[key] for key in ("quantization_config", "dtype", "torch_dtype") if key in values
    }
    return {**outer, **text}


def language_model_of(values: dict[str, Any], *, name: str) -> LanguageModel:
    """Read a causal model's shapes.

    Parameters
    ----------
    values : dict
        Of a ``config.json``, checked (`profiles.from_hf.config.read_config`).
    name : str
        Of the model.

    Raises
    ------
    BadInputError
        One line: a family that is not known, a number that is missing or cannot be.
    """
    text = text_values(values)
    kind = str(text.get("model_type", ""))
    family = FAMILIES.get(kind)
    if family is None or not is_causal(values):
        raise BadInputError(
            f"model_type: {kind[:40]!r} is no causal model that is known by its shapes; "
            f"known are {', '.join(sorted(FAMILIES))}"
        )
    try:
        return _Reader(_as_read(text, kind, family), family).model(name)
    except ValidationError as error:
        raise BadInputError(f"config: {first_problem(error, LanguageModel)}") from error


def _as_read(values: dict[str, Any], kind: str, family: Family) -> dict[str, Any]:
    """What the family reads of a file, and what it takes for keys that are not there."""
    found = {key: value for key, value in values.items() if key not in family.unread}
    for key in family.refused:
        if found.get(key):
            raise BadInputError(f"config: {key} is not known of {kind}")
    same = {name: names for names in _NAMES.values() for name in names}
    for key, value in DEFAULTS.get(kind, {}).items():
        if not any(name in values for name in same.get(key, (key,))):
            found[key] = value
    return found


@dataclass
class _Reader:
    """One configuration."""

    values: dict[str, Any]
    family: Family
    widths: Widths = field(init=False)
    element: int = field(init=False)

    def __post_init__(self) -> None:
        found = self.values.get("dtype") or self.values.get("torch_dtype") or "bfloat16"
        bits = _BITS.get(str(found).removeprefix("torch."), 16)
        self.element = bits // 8
        config = self.values.get("quantization_config")
        self.widths = widths_of(config if isinstance(config, dict) else None, bits)
        self.hidden = self.number("hidden_size")
        self.layers = self.number("num_hidden_layers")
        self.heads = self.number("num_attention_heads")

    # Values.

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number of one or more."""
        for name in _NAMES.get(key, (key,)):
            found = self.values.get(name)
            if found is None:
                continue
            if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _MOST:
                raise BadInputError(f"config: {name}: found {str(found)[:40]!r}; give a number")
            return found
        if default is None:
            raise BadInputError(f"config: {key} is missing")
        return default

    def flag(self, key: bool | str) -> bool:
        """A property of the family, or what the file says of it."""
        return key if isinstance(key, bool) else bool(self.values.get(key))

    def listed(self, key: str) -> list[Any]:
        """A list; empty where there is none."""
        found = self.values.get(key) or []
        if not isinstance(found, list):
            raise BadInputError(f"config: {key}: found {str(found)[:40]!r}; give a list")
        return found

    def matrix(self, part: str, inputs: int, outputs: int, bias: bool = False) -> Matrix:
        """Weights of a part of the model, as wide as these are."""
        return Matrix.of(inputs, outputs, self.widths.of(part), outputs if bias else 0)

    # The model.

    def model(self, name: str) -> LanguageModel:
        """All of it."""
        hidden, rows = self.hidden, self.number("vocab_size")
        tied = self.flag("tie_word_embeddings")
        context = self.number("max_position_embeddings", 0)
        kinds, order = kinds_of(self.block(number) for number in range(self.layers))
        positions = 0
        if self.family.positions >= 0:
            positions = (context + self.family.positions) * hidden
        words = ["shapes of a config.json, no weights"]
        if self.widths.said:
            words.append(self.widths.said)
        size = bytes_of(rows * hidden, self.widths.of("embedding"))
        return LanguageModel(
            name=name,
            hidden=hidden,
            element_bytes=self.element,
            embedding=Table(rows=rows, columns=hidden, bytes=size),
            positions=positions,
            kinds=kinds,
            order=order,
            norm=self.family.norm,
            last_norm=self.norm_params,
            head=None if tied else self.matrix("head", hidden, rows, bias=self.family.head_bias),
            head_biases=rows if tied and self.family.head_bias else 0,
            context=context or None,
            provenance=Provenance(
                front_end="Hugging Face config", source="config.json", note="; ".join(words)
            ),
        )

    @property
    def norm_params(self) -> int:
        """Parameters of a norm of the hidden numbers."""
        return self.hidden * (2 if self.family.norm_biases else 1)

    def block(self, number: int) -> Block:
        """One layer."""
        parallel = self.flag(self.family.parallel)
        places = "a" if parallel and self.family.one_norm else self.family.norms
        norms = {
            name: self.norm_params if mark in places else 0
            for mark, name in (
                ("a", "before_attention"),
                ("A", "after_attention"),
                ("m", "before_mlp"),
                ("M", "after_mlp"),
            )
        }
        return Block(
            attention=self.attention(number),
            mlp=self.experts() if self.has_experts(number) else self.mlp(),
            norm=self.family.norm,
            parallel=parallel,
            **norms,
        )

    def attention(self, number: int) -> Attention:
        """Its heads, and what they keep."""
        if self.family.latent:
            return self.latent_attention()
        heads, kv_heads = self.heads, self.number("num_key_value_heads", self.heads)
        size = self.number("head_dim", self.hidden // max(heads, 1))
        bias = self.flag(self.family.query_bias)
        normed = self.flag("use_qk_norm") or self.flag("qk_layernorm")
        others = heads if self.family.sinks else 0
        rule = self.family.query_key_norm
        if rule == "head" or (rule == "said" and normed):
            others += 2 * size
        elif rule == "all":
            others += (heads + kv_heads) * size
        elif normed and rule != "bare":
            raise BadInputError("config: norms of queries and keys are not known of this family")
        return Attention(
            heads=heads,
            kv_heads=kv_heads,
            key_size=size,
            value_size=size,
            window=self.window(number),
            query=(self.matrix("attention", self.hidden, heads * size, bias),),
            key=self.matrix("attention", self.hidden, kv_heads * size, bias),
            value=self.matrix("attention", self.hidden, kv_heads * size, bias),
            output=self.matrix(
                "attention", heads * size, self.hidden, self.flag(self.family.output_bias)
            ),
            others=others,
        )

    def latent_attention(self) -> Attention:
        """Keys and values out of one vector (DeepSeek)."""
        heads, rank, rotary = (
            self.heads,
            self.number("kv_lora_rank"),
            self.number("qk_rope_head_dim"),
        )
        plain, value = self.number("qk_nope_head_dim"), self.number("v_head_dim")
        narrow = self.number("q_lora_rank", 0)
        size = plain + rotary
        bias = self.flag("attention_bias")
        query = (
            (
                self.matrix("attention", self.hidden, narrow, bias),
                self.matrix("attention", narrow, heads * size),
            )
            if narrow
            else (self.matrix("attention", self.hidden, heads * size),)
        )
        return Attention(
            heads=heads,
            kv_heads=heads,
            key_size=size,
            value_size=value,
            query=query,
            latent=Latent(
                down=self.matrix("attention", self.hidden, rank + rotary, bias),
                up=self.matrix("attention", rank, heads * (plain + value)),
                rank=rank,
                rotary=rotary,
            ),
            output=self.matrix("attention", heads * value, self.hidden, bias),
            others=narrow + rank,
        )

    def window(self, number: int) -> int | None:
        """Tokens that a layer sees at most; None: all."""
        listed = self.values.get("layer_types")
        if isinstance(listed, list) and len(listed) == self.layers:
            name = str(listed[number])
            sizes = {
                "sliding_attention": "sliding_window",
                "chunked_attention": "attention_chunk_size",
            }
            if name == "full_attention":
                return None
            if name not in sizes:
                raise BadInputError(f"config: layer_types: {name[:40]!r} is no attention")
            return self.number(sizes[name])
        rule = self.family.window
        size = self.number("attention_chunk_size" if rule == "rotated" else "sliding_window", 0)
        asked = self.flag("use_sliding_window") or not self.family.window_asked
        return size if size and rule and asked and self.has_window(number) else None

    def has_window(self, number: int) -> bool:
        """Whether a layer is one of those that have the window, where there is one."""
        rule = self.family.window
        if rule == "first":
            return number % 2 == 0 and number < self.number("max_window_layers", 0)
        if rule == "last":
            return number >= self.number("max_window_layers", 0)
        if rule == "pattern":
            period = self.number("sliding_window_pattern", 0) or self.family.period
            return (number + 1) % period != 0
        if rule in ("rotated", "unrotated"):
            return self.is_rotated(number) == (rule == "rotated")
        return True

    def is_rotated(self, number: int) -> bool:
        """Whether a layer has rotary positions; in the list those that have them are a 1."""
        listed = self.listed("no_rope_layers")
        if not listed:
            return (number + 1) % (self.number("no_rope_layer_interval", 0) or 4) != 0
        if len(listed) < self.layers:
            raise BadInputError("config: no_rope_layers: give a number for each layer")
        return bool(listed[number])

    # Networks behind attention.

    def mlp(self, inner: int | None = None, part: str = "mlp") -> Mlp:
        """A dense one."""
        if inner is None:
            inner = self.number(
                "intermediate_size", 4 * self.hidden if not self.family.gated else None
            )
            if self.family.experts == "llama4":
                inner = self.number("intermediate_size_mlp", inner)
        bias = self.flag(self.family.mlp_bias)
        if part == "experts":
            bias = self.family.expert_biases
        return Mlp(
            gate=self.matrix(part, self.hidden, inner, bias) if self.family.gated else None,
            up=self.matrix(part, self.hidden, inner, bias),
            down=self.matrix(part, inner, self.hidden, bias),
        )

    def has_experts(self, number: int) -> bool:
        """Whether a layer has any."""
        rule = self.family.experts
        if not rule or not self.number("num_experts", 0):
            return False
        if rule == "deepseek":
            every = self.number("moe_layer_freq", 1) or 1
            return number >= self.number("first_k_dense_replace", 0) and number % every == 0
        if rule == "qwen":
            only = self.listed("mlp_only_layers")
            every = self.number("decoder_sparse_step", 1) or 1
            return number not in only and (number + 1) % every == 0
        if rule == "llama4":
            listed = self.values.get("moe_layers")
            if isinstance(listed, list):
                return number in listed
            every = self.number("interleave_moe_layer_step", 1) or 1
            return (number + 1) % every == 0
        return True

    def experts(self) -> Experts:
        """Those of a layer."""
        count = self.number("num_experts")
        inner = self.number("moe_intermediate_size", self.number("intermediate_size"))
        each = self.mlp(inner, "experts")
        shared, beside, gate = 0, None, None
        if self.family.experts == "deepseek":
            shared = self.number("n_shared_experts", 0)
            if shared and self.flag(self.family.mlp_bias):  # no experts like those that are chosen
                beside, shared = self.mlp(shared * inner), 0
        elif self.family.experts == "llama4":
            shared = 1
        elif self.family.shared_gate:
            wide = self.number("shared_expert_intermediate_size", 0)
            beside = self.mlp(wide) if wide else None
            gate = Matrix.of(self.hidden, 1, Fraction(8 * self.element)) if wide else None
        return Experts(
            count=count,
            active=self.number("num_experts_per_tok"),
            shared=shared,
            router=self.matrix("router", self.hidden, count, self.family.router_bias),
            each=each,
            beside=beside,
            beside_gate=gate,
        )
