"""The commands' shared options, made from the table of settings, as a case and a request."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from app import options
from app.kinds import OneOf, SomeOf
from app.loading import load_profile
from app.question import Question, ask
from app.render import Format, Outcome, show
from app.setting import Setting
from app.settings import taken_by
from planner.case import Case
from planner.domain.cluster import Cluster
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.accuracy import find_accuracy
from profiles.catalog import resolve_cluster


def asks_for_case(before: str = "") -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """Give a command the options that describe a case and a request, around its own, and show.

    The command takes a `Case` and a `Request` first and its own options as keywords. A parameter
    that is called like a setting, or like one of the options about the model or the output, has
    what was typed for it.

    Parameters
    ----------
    before : str
        The command's own option that follows those that not all commands have; by default those
        about its output.
    """
    return asks(_load, _case, before)


def asks(
    load: Callable[..., Any], make: Callable[..., Any], before: str = ""
) -> Callable[[Callable[..., Outcome]], Callable[..., None]]:
    """Give a command what a function takes and the settings, around its own options.

    Parameters
    ----------
    load : callable
        From options to what the command is about, and a cluster.
    make : callable
        From the question, that, and all options to the command's first argument.
    before : str
        As in `asks_for_case`.
    """

    def decorate(command: Callable[..., Outcome]) -> Callable[..., None]:
        settings = taken_by(command.__name__)
        few = [option_of(x) for x in settings if x.commands]
        shared = [option_of(x) for x in settings if not x.commands]
        model, shown = _parameters(load), _parameters(_show)[1:]
        named = _parameters(command)[2:]
        others = {x.name for x in settings} | {p.name for p in (*model, *shown)}
        typed = others.intersection(p.name for p in named)
        own = [p for p in named if p.name not in typed]
        place = next((at for at, p in enumerate(own) if p.name == before), len(own))

        @wraps(command)
        def run(**given: Any) -> None:
            kept = {p.name: given[p.name] for p in named}
            loaded, cluster = load(**{p.name: given.pop(p.name) for p in model})
            values = {x: given[x.name] for x in settings if given[x.name] is not None}
            fields = {x.field: x.kind.parse(value, x.flag) for x, value in values.items()}
            sized = ask(cluster, **fields | {"max_nodes": 1, "exactly": False}).tuned_cluster
            question = ask(cluster, **fields | _node_counts(fields, sized))
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
