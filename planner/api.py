"""The planner from Python, in three lines from a file to a plan.

>>> import planner
>>> model = planner.profile("resnet50")
>>> print(planner.plan(model, "small-nodes", max_nodes=2))
resnet50 on small-nodes: 565.9 ms per input, 1.77 inputs/s, optimal-lossless on 2 nodes, optimal

Models and clusters may be named as on the command line, or be the objects themselves. Everything
else is a keyword with the command line's default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from planner.accuracy.interface import default_limits
from planner.case import Case
from planner.domain.answer import AnswerPlan
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.domain.layouts import WAYS, Way
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.domain.request import Request
from planner.domain.settings import (
    DEFAULT_SETTINGS,
    NO_LIMITS,
    CostSettings,
    Limits,
    Objective,
    Parallelism,
)
from planner.domain.workload import Workload
from planner.quantise import with_weight_bits
from planner.strategies.compare import DEFAULT_SPARSITIES, Comparison
from planner.strategies.compare import compare as compare_strategies
from planner.strategies.optimise import optimise
from planner.strategies.phases.costs import LanguageCase
from planner.strategies.phases.optimise import optimise_answer

if TYPE_CHECKING:
    import torch


def load(document: str | Path) -> Cluster | Plan | ModelProfile:
    """Load a cluster, a plan or a profile.

    Parameters
    ----------
    document : str or Path
        A catalogue cluster's name, or a JSON file that the planner wrote.

    Raises
    ------
    BadInputError
        Nothing of that name, or a file that is none of the three.
    """
    from profiles.catalog import cluster_names, load_cluster
    from profiles.files import read_one_of

    if str(document) in cluster_names():
        return load_cluster(str(document))
    kinds: dict[str, type[BaseModel]] = {"stages": Plan, "nodes": Cluster, "layers": ModelProfile}
    found = read_one_of(Path(document), kinds)
    assert isinstance(found, Plan | Cluster | ModelProfile)
    return found


def profile(
    model: str | Path | torch.nn.Module,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
    witness: bool = True,
    weight_bits: Fraction | float | str | None = None,
) -> ModelProfile:
    """Count every layer of a model: MACs, parameters, bytes, and who needs which features.

    Parameters
    ----------
    model : str, Path or torch.nn.Module
        A catalogue model, an ``.onnx`` or ``.pt2`` file, a saved profile, a Hugging Face
        ``config.json``, ``module:callable``, or the module itself.
    input_shapes : mapping of str to sequence of int, optional
        Shape of each input by name; needed for a module.
    batch : int, optional
        Dimension 0 of every input.
    witness : bool
        Let fvcore count a module as well.
    weight_bits : Fraction, float or str, optional
        Of every weight with its scales, such as 4.5.

    Raises
    ------
    BadInputError
        Nothing of that name, a file that is not what it says, a shape that it cannot have, or a
        width that no weight has.
    """
    from profiles.sources import load_module, load_source

    shapes = {name: tuple(shape) for name, shape in (input_shapes or {}).items()} or None
    if isinstance(model, str | Path):
        found = load_source(str(model), input_shapes=shapes, batch=batch, witness=witness)
    else:
        found = load_module(model, input_shapes=shapes, batch=batch, witness=witness)
    return with_weight_bits(found, weight_bits)


def make_case(
    model: str | Path | ModelProfile | torch.nn.Module,
    cluster: str | Path | Cluster = "small-nodes",
    *,
    accuracy_model: str | None = None,
    settings: CostSettings = DEFAULT_SETTINGS,
    split_points: Sequence[str] = (),
) -> Case:
    """Put a model and a cluster together; what is asked of it is a `Request`.

    Parameters
    ----------
    model : str, Path, ModelProfile or torch.nn.Module
        As `profile` takes it.
    cluster : str, Path or Cluster
    accuracy_model : str, optional
        ``curve:NAME``, ``csv:FILE``, ``energy:FILE`` or ``none``; by default the curve that was
        published for a catalogue model.
    settings : CostSettings
        Conventions of the cost model.
    split_points : sequence of str
        First layers of block groups, in place of the model's own.

    Raises
    ------
    BadInputError
    """
    from profiles.accuracy import find_accuracy
    from profiles.catalog import resolve_cluster

    profiled = model if isinstance(model, ModelProfile) else profile(model)
    accuracy = find_accuracy(accuracy_model, profiled)
    return Case(
        profile=profiled,
        cluster=cluster if isinstance(cluster, Cluster) else resolve_cluster(str(cluster)),
        settings=settings,
        loss_model=accuracy.model,
        curve=accuracy.curve,
        split_points=tuple(split_points),
    )


def plan(
    model: str | Path | ModelProfile | torch.nn.Module | Case,
    cluster: str | Path | Cluster = "small-nodes",
    *,
    max_nodes: int | None = None,
    nodes: int | None = None,
    parallelism: Parallelism = "hybrid",
    objective: Objective = "latency",
    max_accuracy_drop: float | None = None,
    max_energy_loss: float | None = None,
    max_latency_s: float | None = None,
    min_throughput_per_s: float | None = None,
    ways: tuple[Way, ...] = WAYS,
    max_sparsity: float | None = None,
    solver: str = "auto",
    time_limit_s: float | None = 60.0,
    **case: Any,
) -> Plan:
    """Find the best plan, with its certificate.

    Parameters
    ----------
    model : str, Path, ModelProfile, torch.nn.Module or Case
        As `make_case` takes it, or what it returned.
    cluster : str, Path or Cluster
    max_nodes, nodes : int, optional
        At most so many nodes may work, or exactly so many must; by default at most all.
    parallelism : {"hybrid", "within-layer", "pipeline"}
    objective : {"latency", "throughput"}
    max_accuracy_drop : float, optional
        Points of the metric. Without this limit or the next nothing is dropped: the plan runs
        with the weights as they are.
    max_energy_loss : float, optional
        Share of the weights' L1 mass, with ``energy:FILE``.
    max_latency_s, min_throughput_per_s : float, optional
    ways : tuple of str
        In which a layer may run on several nodes; all by default, ``("features",)`` is DISCO.
    max_sparsity : float, optional
        S_comm that layers may have without any limit on what is lost.
    solver : {"auto", "ilp", "exhaustive"}
    time_limit_s : float, optional
        For the whole call.
    **case
        Further keywords of `make_case`.

    Raises
    ------
    BadInputError, InfeasibleError, SolverStoppedError
    """
    from profiles.files import made

    costed = model if isinstance(model, Case) else make_case(model, cluster, **case)
    asked = {
        "max_accuracy_drop": max_accuracy_drop,
        "max_energy_loss": max_energy_loss,
        "max_latency_s": max_latency_s,
        "min_throughput_per_s": min_throughput_per_s,
    }
    request = Request(
        max_nodes=_most_nodes(costed.cluster, max_nodes, nodes),
        parallelism=parallelism,
        objective=objective,
        limits=made(Limits, asked, "limits"),
        ways=ways,
        max_sparsity=max_sparsity,
        exactly=nodes is not None,
        solver=solver,
        time_limit_s=time_limit_s,
    )
    return optimise(costed, request)


def _most_nodes(cluster: Cluster, max_nodes: int | None, nodes: int | None) -> int:
    given = max_nodes if nodes is None else nodes
    return len(cluster.nodes) if given is None else given


def language_model(
    source: str | Path, *, weight_bits: Fraction | float | str | None = None
) -> LanguageModel:
    """Read a causal language model by its shapes; no weight is read.

    Parameters
    ----------
    source : str or Path
        A name of the catalogue, a Hugging Face ``config.json``, a ``.gguf`` file or the beginning
        of one, or a saved document.
    weight_bits : Fraction, float or str, optional
        Of every weight with its scales, such as 4.5, in place of what the file says.

    Raises
    ------
    BadInputError
    """
    from profiles.language import load_language_model

    return load_language_model(str(source), weight_bits)


def answer(
    model: str | Path | LanguageModel,
    cluster: str | Path | Cluster = "small-nodes",
    *,
    max_nodes: int | None = None,
    nodes: int | None = None,
    parallelism: Parallelism = "hybrid",
    settings: CostSettings = DEFAULT_SETTINGS,
    time_limit_s: float | None = 60.0,
    **workload: Any,
) -> AnswerPlan:
    """Find the best placement of a language model for a prompt and its answer.

    Parameters
    ----------
    model : str, Path or LanguageModel
        As `language_model` takes it, or what it returned.
    cluster : str, Path or Cluster
    max_nodes, nodes : int, optional
        At most so many nodes may work, or exactly so many must; by default at most all.
    parallelism : {"hybrid", "within-layer", "pipeline"}
    settings : CostSettings
    time_limit_s : float, optional
    **workload
        Fields of `planner.domain.workload.Workload`: ``prompt``, ``answer``, ``context``,
        ``requests``, ``goal`` and so on.

    Raises
    ------
    BadInputError, InfeasibleError, SolverStoppedError
    """
    from profiles.catalog import resolve_cluster
    from profiles.files import made

    case = LanguageCase(
        model=model if isinstance(model, LanguageModel) else language_model(model),
        cluster=cluster if isinstance(cluster, Cluster) else resolve_cluster(str(cluster)),
        workload=made(Workload, workload, "workload"),
        settings=settings,
    )
    request = Request(
        max_nodes=_most_nodes(case.cluster, max_nodes, nodes),
        parallelism=parallelism,
        exactly=nodes is not None,
        time_limit_s=time_limit_s,
    )
    return optimise_answer(case, request)


def compare(
    model: str | Path | ModelProfile | torch.nn.Module | Case,
    cluster: str | Path | Cluster = "small-nodes",
    *,
    nodes: Sequence[int] = (2,),
    sparsities: Sequence[float] = DEFAULT_SPARSITIES,
    objective: Objective = "latency",
    limits: Limits = NO_LIMITS,
    time_limit_s: float | None = 60.0,
    **case: Any,
) -> Comparison:
    """Set every strategy of the papers and the optimum side by side.

    Parameters
    ----------
    model : str, Path, ModelProfile, torch.nn.Module or Case
    cluster : str, Path or Cluster
    nodes : sequence of int
        Node counts.
    sparsities : sequence of float
        S_comm of the uniform rows.
    objective : {"latency", "throughput"}
    limits : Limits
        By default 0.5 points where an accuracy model is known.
    time_limit_s : float, optional
        For the whole call.
    **case
        Further keywords of `make_case`.

    Raises
    ------
    BadInputError
    """
    costed = model if isinstance(model, Case) else make_case(model, cluster, **case)
    request = Request(
        max_nodes=max(nodes),
        objective=objective,
        limits=default_limits(limits, costed.loss_model),
        time_limit_s=time_limit_s,
    )
    return compare_strategies(costed, request, tuple(nodes), tuple(sparsities))
