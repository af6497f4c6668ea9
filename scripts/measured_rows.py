"""Published times of several devices, and what is known of those devices from elsewhere.

Data alone: `scripts/build_measured.py` predicts the times. To add a row, add a `Row`; to add a
system, a `System`. No figure here may come from a cell that is predicted: nodes are calibrated by
one-device cells, and every other constant has a source that is none of these rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Constant:
    """A figure with where it comes from.

    Attributes
    ----------
    key : str
        The field of a node, or of the link, or of the cost settings.
    value : float
        In SI units.
    shown : str
        As the page shows it.
    source : str
    """

    key: str
    value: float
    shown: str
    source: str


@dataclass(frozen=True, eq=False)
class Row:
    """One line of a published table.

    Attributes
    ----------
    name : str
    config : mapping
        Values of a ``config.json`` of the architecture.
    past_tokens : int
        In the key-value cache, in the mean of the tokens that were timed.
    measured_ms : mapping of int to float
        By number of devices. That of one device calibrates; the others are predicted.
    batch : int
    weight_bits : float, optional
        With scales; none: as the configuration's type.
    stages : mapping of int to tuple of int
        Blocks of every stage of a pipeline, by number of devices.
    """

    name: str
    config: Mapping[str, Any]
    past_tokens: int
    measured_ms: Mapping[int, float]
    batch: int = 1
    weight_bits: float | None = None
    stages: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Other:
    """Constants that another source would give.

    Attributes
    ----------
    words : str
    values : mapping of str to float
        By the constants' keys.
    """

    words: str
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class System:
    """Rows that were measured with one runtime on devices of one kind.

    Attributes
    ----------
    name, source : str
    about : str
        How the runtime divides the work, and where that is known from.
    plan : {"star", "tensor-parallel", "pipeline"}
    constants : tuple of Constant
        Of the devices, links and messages.
    rows : tuple of Row
    checks : tuple of Row
        That calibrate nothing and were costed when all constants stood.
    others : tuple of Other
    """

    name: str
    source: str
    about: str
    plan: Literal["star", "tensor-parallel", "pipeline"]
    constants: tuple[Constant, ...]
    rows: tuple[Row, ...]
    checks: tuple[Row, ...] = ()
    others: tuple[Other, ...] = ()


READ_SHARE = 0.88
"""Of the data sheet's memory bandwidth, what a kernel that only reads gets from a GPU: 1.80 of
2.04 TB/s on an A100 80 GB."""

_READ_SOURCE = (
    "1.80 of 2.04 TB/s were read from an A100 80 GB by a kernel that only reads, 88 % "
    "(forums.developer.nvidia.com, topic 339083)"
)


def _phi3(layers: int, hidden: int, inner: int, heads: int, kv_heads: int) -> dict[str, Any]:
    """Llama 2 as distributed-llama's tasks have it: q, k and v in one, gate and up in one.

    Phi-3 is that architecture. Half of each head is rotated, since an empty rest cannot be traced;
    no multiplication with weights depends on it.
    """
    return {
        "model_type": "phi3",
        "architectures": ["Phi3ForCausalLM"],
        "vocab_size": 32000,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 4096,
        "partial_rotary_factor": 0.5,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "dtype": "float32",
    }


def _llama2(name: str, sizes: tuple[int, int, int, int, int], *measured_ms: float) -> Row:
    return Row(
        name=name,
        config=_phi3(*sizes),
        past_tokens=8,  # 16 tokens from an empty cache
        measured_ms=dict(zip((1, 2, 4), measured_ms, strict=True)),
        weight_bits=4.5,
    )


DISTRIBUTED_LLAMA = System(
    name="distributed-llama on cloud machines",
    source="github.com/b4rtaz/distributed-llama, README of v0.2.0 (measured January 2024): 1, 2 "
    "and 4 c3d-highcpu-30 of Google Cloud, Q40 weights, Q80 buffers, ms per token",
    about="A star, as `src/transformer-tasks.cpp` of January 2024 has it. Every matrix of a block "
    "is divided by its outputs. The root alone keeps norms, residuals, the cache, attention and "
    "the last layer; a block is four broadcasts and four gathers of one hidden state each (the "
    "inner activations are gathered and sent out). Weights take 4.5 bits, what is sent 8.5 bits.",
    plan="star",
    constants=(
        Constant(
            "macs_per_s",
            792e9,
            "792 GMAC/s",
            "15 cores of Zen 4 at 3.3 GHz, 16 float32 multiply-adds a cycle with AVX2 (peak; it "
            "binds nowhere)",
        ),
        Constant(
            "bandwidth_bytes_per_s",
            2.354e9,
            "2.35 GB/s",
            "20 Gbit/s with TCP in frames of 1 500 bytes, as [devices](devices.md)",
        ),
        Constant(
            "latency_s",
            36e-6,
            "36 µs",
            "half of a mean round trip of 72 µs between two machines of one zone of Google Cloud, "
            "100 000 pings without a pause (tech.zarmory.com, December 2017)",
        ),
        Constant(
            "message_send_s",
            4.5e-6,
            "4.5 µs",
            "`send` of 1 to 9 kB on a socket that does not block, Linux on an AMD EPYC, loopback; "
            "measured by us",
        ),
        Constant(
            "message_receive_s",
            0.7e-6,
            "0.7 µs",
            "half of the round trip of 10 to 12 µs in the same measurement, less `send`",
        ),
        Constant("message_bits", 8.5, "8.5 bits", "Q80: 32 numbers of 8 bits and a 16-bit scale"),
    ),
    rows=(
        _llama2("Llama 2 7B", (32, 4096, 11008, 32, 32), 101.81, 69.69, 53.69),
        _llama2("Llama 2 13B", (40, 5120, 13824, 40, 40), 184.19, 115.38, 86.81),
        _llama2("Llama 2 70B", (80, 8192, 28672, 64, 8), 909.69, 501.38, 293.06),
    ),
    others=(Other("no software of messages", {"message_send_s": 0.0, "message_receive_s": 0.0}),),
)


def _gpt20b(batch: int, *measured_ms: float) -> Row:
    return Row(
        name=f"GPT-20B, batch {batch}",
        config={
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "vocab_size": 51200,
            "n_embd": 6144,
            "n_layer": 44,
            "n_head": 48,
            "n_inner": 24576,
            "n_positions": 1024,
            "activation_function": "gelu",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "dtype": "float16",
        },
        # the mean over T(80, 200) less T(60, 20): (200 · 180 - 20 · 70) / 180
        past_tokens=192,
        measured_ms=dict(zip((1, 2, 4, 8), measured_ms, strict=True)),
        batch=batch,
    )


FASTER_TRANSFORMER = System(
    name="FasterTransformer on A100",
    source="github.com/NVIDIA/FasterTransformer, docs/gpt_guide.md: GPT-20B, FP16, 1 to 8 A100 "
    "80 GB behind NVSwitch; ms per token = (T(80 in, 200 out) − T(60 in, 20 out)) / 180",
    about="Megatron's tensor parallelism: two all-reduces of a hidden state in each of 44 blocks, "
    "by NCCL (`enable_custom_all_reduce=0`). The plan is `planner compare`'s tensor-parallel row.",
    plan="tensor-parallel",
    constants=(
        Constant(
            "macs_per_s",
            156e12,
            "156 TMAC/s",
            "NVIDIA A100 data sheet: 312 TFLOP/s in FP16 (it binds nowhere)",
        ),
        Constant("memory_bytes_per_s", 1.80e12, "1.80 TB/s", _READ_SOURCE),
        Constant(
            "bandwidth_bytes_per_s",
            58.75e9,
            "58.75 GB/s",
            "NCCL 2.12, src/graph/tuning.cc: 235 GB/s on A100, a quarter of it in the LL protocol, "
            "which it takes for small messages",
        ),
        Constant(
            "latency_s",
            4.53e-6,
            "4.53 µs",
            "an all-reduce is two exchanges, and took 10.5 µs on 2 A100 (NCCL, 4 kB less its "
            "bytes: github.com/Venkat2811/yali, artifacts of 2026-01-15) and 19.2 µs on 8 H100 "
            "(NCCL, 128 bytes: ByteDance-Seed/Triton-distributed, issue 57): 9.05 µs and 0.725 µs "
            "for each of 2(n − 1) steps; half of the former",
        ),
        Constant(
            "message_send_s",
            0.3625e-6,
            "0.36 µs",
            "half of the 0.725 µs",
        ),
        Constant("message_receive_s", 0.3625e-6, "0.36 µs", "the other half"),
    ),
    rows=(
        _gpt20b(1, 28.05, 17.63, 12.17, 10.23),
        _gpt20b(8, 28.91, 19.75, 13.57, 11.23),
    ),
    checks=(
        _gpt20b(2, 27.92, 18.36, 12.68, 10.41),
        _gpt20b(4, 28.22, 18.91, 13.18, 10.94),
        _gpt20b(16, 30.11, 21.37, 14.55, 11.31),
        _gpt20b(32, 32.95, 23.32, 15.64, 12.45),
    ),
    others=(
        Other(
            "all-reduces as NCCL 2.12's own tuning has them, 3.6 µs and 0.47 µs a step, without "
            "the launch",
            {"latency_s": 1.8e-6, "message_send_s": 0.235e-6, "message_receive_s": 0.235e-6},
        ),
        Other("79 % of the data sheet's memory bandwidth", {"memory_bytes_per_s": 1.61e12}),
    ),
)


def _mdi(
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    measured_ms: Mapping[int, float],
    stages: Mapping[int, tuple[int, ...]],
) -> Row:
    return Row(
        name=name,
        config={
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "vocab_size": 32000,
            "hidden_size": hidden,
            "intermediate_size": 5632,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 4,
            "max_position_embeddings": 2048,
            "dtype": "float16",
        },
        past_tokens=400,  # samples of 800 tokens
        measured_ms=measured_ms,
        stages=stages,
    )


MDI_LLM = System(
    name="MDI-LLM on Jetson TX2",
    source="github.com/davmacario/MDI-LLM, README (arXiv 2505.18164): 1 to 3 Jetson TX2, gigabit "
    "Ethernet, as many samples as boards, ms per token over all samples",
    about="A ring of stages of whole blocks, cut as `src/sub/config.py` says. The first board also "
    "has the embedding and, when a token comes round, the last norm and the last layer; in the "
    "plan these are a stage of their own on a node of their own, which is far from busy. Time per "
    "token is that of the busiest stage. NanoLlama has 304 M parameters, which fits TinyLlama's "
    "inner width of 5632 and 4 heads of keys and values. TinyLlama does not fit on one board: its "
    "boards are those that NanoLlama calibrated.",
    plan="pipeline",
    constants=(
        Constant(
            "macs_per_s",
            665e9,
            "665 GMAC/s",
            "NVIDIA Jetson TX2 data sheet: 1.33 TFLOP/s in FP16 (it binds nowhere)",
        ),
        Constant(
            "memory_bytes_per_s",
            READ_SHARE * 59.7e9,
            "52.5 GB/s",
            "88 % of the data sheet's 59.7 GB/s, as on the A100",
        ),
        Constant(
            "bandwidth_bytes_per_s",
            117.7e6,
            "117.7 MB/s",
            "1 Gbit/s with TCP in frames of 1 500 bytes, as [devices](devices.md)",
        ),
        Constant("latency_s", 25e-6, "25 µs", "gigabit Ethernet, as [devices](devices.md)"),
        Constant(
            "message_send_s",
            5e-3,
            "5 ms",
            "messages are pickled and sent by a thread of their own, which waits for the "
            "interpreter's lock: CPython hands it over after 5 ms (`sys.setswitchinterval`)",
        ),
        Constant("message_receive_s", 5e-3, "5 ms", "the same for the thread that receives"),
    ),
    rows=(
        _mdi(
            "NanoLlama 304M",
            12,
            1024,
            16,
            {1: 54.67, 2: 37.15, 3: 31.12},
            {2: (5, 7), 3: (2, 5, 5)},
        ),
        _mdi("TinyLlama 1.1B", 22, 2048, 32, {2: 73.04, 3: 53.31}, {2: (10, 12), 3: (6, 8, 8)}),
    ),
    others=(
        Other("6 ms a hop, 3 ms on each side", {"message_send_s": 3e-3, "message_receive_s": 3e-3}),
        Other("no software of messages", {"message_send_s": 0.0, "message_receive_s": 0.0}),
        Other("all of the data sheet's memory bandwidth", {"memory_bytes_per_s": 59.7e9}),
    ),
)

SYSTEMS = (DISTRIBUTED_LLAMA, FASTER_TRANSFORMER, MDI_LLM)
