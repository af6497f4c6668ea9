"""The commands' shared options, made from the table of settings, as a case and a request."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_args

import typer
from pydantic import ValidationError

from app import options
from app.inputs import parse_input_shapes, parse_input_types
from app.kinds import OneOf, SomeOf
from app.progress import working
from app.question import Question, ask
from app.render import Format, Outcome, show
from app.settings import Setting, taken_by
from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.domain.workload import Goal, Workload
from planner.errors import BadInputError
from planner.strategies.phases.costs import LanguageCase
from planner.units import parse_quantity
from profiles.accuracy import find_accuracy
from profiles.catalog import resolve_cluster
from profiles.files import first_problem
from profiles.from_torch.witness import WitnessWarning
from profiles.language import load_language_model
from profiles.sources import load_source


def asks_for_case(before: str = "") -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """Give a command the options that describe a case and a request, around its own, and show.

    The command takes a `Case` and a `Request` first and its own options as keywords. A parameter
    that is called like a setting has what was typed for it.

    Parameters
    ----------
    before : str
        The command's own option that follows those that not all commands have; by default those
        about its output.
    """
    return _asks(_load, _case, before)


def asks_for_answer(before: str = "") -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """The same for a language model and a workload: the command takes a `LanguageCase`."""
    return _asks(_load_language, _language_case, before)


def _asks(
    load: Callable[..., Any], make: Callable[..., Any], before: str
) -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """Give a command what ``load`` takes and the settings, around its own options."""

    def decorate(command: Callable[..., Outcome]) -> Callable[..., None]:
        settings = taken_by(command.__name__)
        few = [option_of(x) for x in settings if x.commands]
        shared = [option_of(x) for x in settings if not x.commands]
        model, shown = _parameters(load), _parameters(_show)[1:]
        named = _parameters(command)[2:]
        typed = {x.name for x in settings}.intersection(p.name for p in named)
        own = [p for p in named if p.name not in typed]
        place = next((at for at, p in enumerate(own) if p.name == before), len(own))

        @wraps(command)
        def run(**given: Any) -> None:
            loaded, cluster = load(**{p.name: given.pop(p.name) for p in model})
            kept = {p.name: given[p.name] for p in named}
            values = {x: given[x.name] for x in settings if given[x.name] is not None}
            fields = {x.field: x.kind.parse(value, x.flag) for x, value in values.items()}
            question = ask(cluster, **fields | _node_counts(fields, cluster))
            found = command(make(question, loaded, given), question.request, **kept)
            _show(found, **{p.name: given[p.name] for p in shown})

        # typer reads the options from here
        parameters = [*model[:2], *own[:place], *few, *own[place:], *shown, *shared, *model[2:]]
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        )
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def option_of(setting: Setting) -> inspect.Parameter:
    """A setting as typer wants an option declared."""
    declared = typer.Option(
        setting.flag,
        help=setting.option,
        rich_help_panel=setting.panel,
        min=setting.bounds[0],
        max=setting.bounds[1],
        metavar=setting.metavar,
        show_default=not isinstance(setting.kind, SomeOf),
    )
    typed = setting.kind.typed if setting.default is not None else setting.kind.typed | None
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=setting.default,
        annotation=Annotated[typed, declared],
    )


def _load(
    source: options.Source,
    cluster: options.ClusterName = "small-nodes",
    input_shape: options.InputShapes = None,
    batch: options.Batch = None,
    weight_bits: options.WeightBits = None,
    no_witness: options.NoWitness = False,
    input_type: options.InputTypes = None,
) -> tuple[ModelProfile, Cluster]:
    profile = load_profile(source, input_shape, batch, not no_witness, weight_bits, input_type)
    return profile, resolve_cluster(cluster)


def _show(
    found: Outcome, output: options.Output = Format.table, output_file: options.OutputFile = None
) -> None:
    show(found, output, output_file)


def _case(question: Question, profile: ModelProfile, given: dict[str, Any]) -> Case:
    return question.case(profile, find_accuracy(given["accuracy_model"], profile))


def _load_language(
    source: options.LanguageSource,
    cluster: options.ClusterName = "small-nodes",
    prompt: options.Prompt = 512,
    answer: options.Answer = 128,
    context: options.Context = None,
    requests: options.Requests = 1,
    goal: options.GoalOption = "answer",
    max_first_token: options.MaxFirstToken = None,
    max_token: options.MaxToken = None,
    fill: options.Fill = None,
    cache_bits: options.CacheBits = None,
    weight_bits: options.WeightBits = None,
) -> tuple[tuple[LanguageModel, Workload], Cluster]:
    goals: tuple[Goal, ...] = get_args(Goal)
    given = dict(
        prompt=prompt,
        answer=answer,
        context=context,
        requests=requests,
        goal=one_of("--goal", goal, goals),
        fill=fill,
        cache_bits=cache_bits,
        max_first_token_s=_seconds(max_first_token, "--max-first-token"),
        max_token_s=_seconds(max_token, "--max-token"),
    )
    try:
        workload = Workload.model_validate(given)
    except ValidationError as error:
        raise BadInputError(f"workload: {first_problem(error, Workload)}") from error
    return (load_language_model(source, weight_bits), workload), resolve_cluster(cluster)


def _seconds(text: str | None, option: str) -> float | None:
    return None if text is None else parse_quantity(text, "time", where=option)


def _language_case(
    question: Question, loaded: tuple[LanguageModel, Workload], given: dict[str, Any]
) -> LanguageCase:
    model, workload = loaded
    return LanguageCase(model, question.tuned_cluster, workload, question.costs)


def load_profile(
    source: str,
    input_shape: list[str] | None,
    batch: int | None,
    witness: bool,
    weight_bits: float | None = None,
    input_type: list[str] | None = None,
) -> ModelProfile:
    """The model that a user names, with a line of progress where that takes long."""
    shapes = parse_input_shapes(input_shape or [])
    with working(f"profiling {source}"), warnings.catch_warnings():
        warnings.simplefilter("ignore", WitnessWarning)  # the profile says it too
        return load_source(
            source,
            input_shapes=shapes or None,
            batch=batch,
            witness=witness,
            weight_bits=weight_bits,
            input_types=parse_input_types(input_type or []) or None,
        )


def one_of(option: str, value: str, allowed: tuple[Any, ...]) -> Any:
    """The value of a command's own option, if it is allowed."""
    return OneOf(allowed).parse(value, option)


def node_count(nodes: int, cluster: Cluster, option: str = "--nodes") -> int:
    """A number of nodes that the cluster has."""
    if nodes > len(cluster.nodes):
        raise BadInputError(
            f"{option} {nodes}: cluster {cluster.name} has 1 to {len(cluster.nodes)} nodes"
        )
    return nodes


def _node_counts(fields: dict[str, Any], cluster: Cluster) -> dict[str, Any]:
    """How many nodes may work, or exactly must; all of the cluster by default."""
    exactly, most = fields.get("exactly"), fields.get("max_nodes")
    if exactly is not None and most is not None:
        raise BadInputError("--nodes and --max-nodes: give one of them")
    option = "--nodes" if exactly else "--max-nodes"
    count = node_count(exactly or most or len(cluster.nodes), cluster, option)
    return {"max_nodes": count, "exactly": exactly is not None}
