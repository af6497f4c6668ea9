"""Forty thousand damaged command lines and documents: each is answered or refused in one line.

The slow test goes on where it was ended (`tests.resuming`); `MUTATION_SEED` begins elsewhere. Of
what fails the seed is told, which makes the same input again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli import cli
from tests.app.command import planner
from tests.app.mutations import Ended, damaged_document, damaged_words, run
from tests.planner.builders import chain, cluster
from tests.planner.language_cases import language_model
from tests.resuming import Outcomes, resumed

ALL = 20_000
FEW = 40
BATCH = 250
SEED_VARIABLE = "MUTATION_SEED"

COMMANDS = [
    "profile net.json",
    "profile resnet50 --input-shape image=1,3,64,64 --view flat",
    "profile net.json --attach times.json",
    "plan net.json -c two.json --time-limit 1",
    "plan net.json -c two.json --time-limit 1 --what-binds --format json",
    "plan net.json -c small-nodes --max-nodes 3 --bandwidth 1MB/s --compute 1GMAC/s --memory 1GB",
    "plan net.json -c two.json --time-limit 1 --nodes 2 --solver ilp --sparsity 0.5",
    "plan net.json -c two.json --time-limit 1 --objective throughput --max-latency 1s",
    "plan net.json -c two.json --time-limit 1 --change bandwidth=2x --change a:compute=0.5x "
    "--change node=+a --next-steps --layers",
    "report plan.json -o out.html --model net.json",
    "compare net.json -c two.json --nodes 2 --sparsity 0.8 --time-limit 1",
    "pareto net.json -c two.json --points 3 --time-limit 1 --trade throughput",
    "sweep net.json -c two.json --over bandwidth --points 3 --from 1MB/s --to 9MB/s --time-limit 1",
    "sweep net.json -c two.json --over nodes --points 3 --time-limit 1",
    "needs net.json -c two.json --latency 100ms --of bandwidth --tolerance 0.1 --time-limit 1",
    "simulate scenario.json --policy ddi --replications 2",
    "export plan.json --to out",
    "answer lm.json -c two.json --prompt 64 --answer 16 --context 128 --requests 2 --compare "
    "--cache-bits 8.5 --time-limit 1",
    "answer config.json -c two.json --goal token --max-first-token 100s --fill 70 "
    "--weight-bits 4.5",
    "fits lm.json -c two.json --prompt 64 --answer 16 --max-token 10s --time-limit 1",
    "cluster new --node raspberry-pi-5:2 --link gigabit-ethernet --name mine",
    "catalog links --format csv",
    "measure fit times.csv --name mine --threads 1",
    "measure join part.json part.json --link 300Mbit/s --name mine",
]
DOCUMENTS = {
    "two.json": "plan net.json -c two.json --time-limit 1",
    "net.json": "plan net.json -c two.json --time-limit 1",
    "scenario.json": "simulate scenario.json --policy ddi --policy ms-mdi",
    "plan.json": "export plan.json --to out",
    "times.json": "profile net.json --attach times.json",
    "lm.json": "answer lm.json -c two.json --time-limit 1",
    "config.json": "answer config.json -c two.json --time-limit 1",
    "part.json": "measure join part.json --name mine",
}
"""What reads each kind of document."""
CONFIG = {
    "model_type": "qwen3_moe",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 1000,
    "intermediate_size": 128,
    "moe_intermediate_size": 32,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "max_position_embeddings": 4096,
    "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a document of every kind."""
    folder = tmp_path_factory.mktemp("documents")
    net, two = chain(8, 8, 4), cluster(2)
    language = language_model(random.Random(0), 3)
    texts = {"net.json": net, "two.json": two, "lm.json": language}
    for name, document in texts.items():
        (folder / name).write_text(document.model_dump_json())
    scenario = {
        "name": "few",
        "model": "net.json",
        "cluster": "two.json",
        "sources": [
            {
                "node": two.nodes[0].name,
                "arrivals": {"kind": "poisson", "rate_per_s": 5, "total": 20},
            },
            {"node": two.nodes[1].name, "arrivals": {"kind": "trace", "times_s": [0.5, 1.0]}},
        ],
        "churn": [],
        "drift": [{"at_s": 1.0, "compute_factor": 0.5, "bandwidth_factor": 2.0}],
        "ms_mdi": {"form": "literal"},
        "horizon_s": 50.0,
    }
    (folder / "scenario.json").write_text(json.dumps(scenario))
    seconds = {layer.name: {"generic": 0.01} for layer in net.layers}
    (folder / "times.json").write_text(json.dumps(seconds))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "times.csv").write_text("model,seconds\nresnet50,0.1\nmobilenetv2-224,0.02\n")
    made = [
        ["plan", "net.json", "-c", "two.json", "-o", "plan.json"],
        ["measure", "fit", "times.csv", "-o", "part.json"],
    ]
    before = Path.cwd()
    os.chdir(folder)
    try:
        for words in made:
            assert planner(*words).code == 0
    finally:
        os.chdir(before)
    os.mkfifo(folder / "pipe.json")
    return folder


def options_of(words: list[str]) -> list[str]:
    """The options of the command that the words call."""
    command: Any = typer.main.get_command(cli)
    for word in words:
        if not hasattr(command, "commands"):
            break
        command = command.commands[word]
    return [name for parameter in command.params for name in parameter.opts if name[0] == "-"]


def of_words(seed: int, folder: Path) -> list[str]:
    """A damaged command line."""
    words = random.Random(seed).choice(COMMANDS).split()
    start = 1 + (words[0] in ("measure", "cluster"))
    known = [
        pair
        for line in COMMANDS
        if line.split()[:start] == words[:start]
        for pair in map(list, pairwise(line.split()))
        if pair[0].startswith("--")
    ]
    damaged = damaged_words(words[start - 1 :], options_of(words), known, seed)
    return [*words[: start - 1], *damaged]


def of_documents(seed: int, folder: Path) -> list[str]:
    """A command that reads a damaged document of the folder."""
    name, words = random.Random(seed).choice(sorted(DOCUMENTS.items()))
    text = damaged_document(json.loads((folder / name).read_text()), seed)
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return words.split()


def tried(make: Callable[[int, Path], list[str]], seed: int, files: Path, tmp_path: Path) -> Ended:
    """Run what a seed makes, in a folder of its own."""
    folder = tmp_path / "now"
    folder.mkdir()
    for path in files.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    os.mkfifo(folder / "pipe.json")
    ended = run(make(seed, folder), folder)
    if ended.fault:
        print(f"seed {seed}: {ended.fault}: {ended.words}\n{ended.err[-2000:]}")
        shutil.copytree(folder, tmp_path / str(seed), ignore=shutil.ignore_patterns("pipe.json"))
    shutil.rmtree(folder)
    return ended


@pytest.mark.parametrize("make", [of_words, of_documents])
def test_a_few(make: Callable[[int, Path], list[str]], files: Path, tmp_path: Path) -> None:
    begin = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(10**9))
    ended = [tried(make, begin + number, files, tmp_path) for number in range(FEW)]
    assert not [(x.words, x.fault) for x in ended if x.fault]
    assert {x.code for x in ended} >= {0, 2}  # they are not all nonsense, nor all harmless


@pytest.fixture(scope="module")
def warm(files: Path) -> None:
    """Every command ran once, so that no fork needs to import what it runs."""
    before = Path.cwd()
    os.chdir(files)
    try:
        for words in COMMANDS:
            planner(*words.split())
    finally:
        os.chdir(before)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("make", [of_words, of_documents])
def test_all(
    make: Callable[[int, Path], list[str]],
    files: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    begin = int(os.environ.get(SEED_VARIABLE) or 0)

    def do(numbers: range) -> Outcomes:
        ended = [(begin + n, tried(make, begin + n, files, tmp_path)) for n in numbers]
        codes = Counter(f"exit {x.code}" for _, x in ended)
        return codes, [[seed, x.fault] for seed, x in ended if x.fault]

    resumed(request, f"{make.__name__}/{begin}", ALL, BATCH, do)
