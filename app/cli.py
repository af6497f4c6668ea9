"""The ``planner`` command. A command's own module is imported when that command is called."""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from planner.errors import BadInputError, PlannerError

INTERRUPTED = 130
_COMPLETES = "_PLANNER_COMPLETE"
"""Set where a shell asks for completions."""

COMMANDS = {
    "profile": "app.commands.profile_model:profile",
    "plan": "app.commands.planning:plan",
    "compare": "app.commands.planning:compare",
    "pareto": "app.commands.planning:pareto",
    "sweep": "app.commands.planning:sweep",
    "needs": "app.commands.planning:needs",
    "report": "app.commands.report:report",
    "answer": "app.commands.answering:answer",
    "fits": "app.commands.answering:fits",
    "simulate": "app.commands.simulate:simulate",
    "export": "app.commands.export:export",
    "sensitivity": "app.commands.sensitivity:sensitivity",
    "catalog": "app.commands.catalog:catalog",
    "slice": "app.commands.run:slice_plan",
    "run": "app.commands.run:run",
    "cluster": "app.commands.cluster:cluster",
    "measure": "app.commands.measure:measure",
    "app": "app.commands.serve:serve",
}
"""Where each command is, in the order of the help: a function, or a group of commands."""

EXIT_CODES = (
    "Exit codes: 0 done; 2 bad input; 3 no plan fits; 4 the solver stopped without a plan, "
    "or a node of a run stopped; 130 interrupted."
)
FIRST_STEPS = f"""\
Plan how several devices run one neural network together. Try first:

  planner plan resnet50                   the best plan on eight small nodes
  planner plan resnet50 --max-nodes 4 -o plan.json
  planner report plan.json -o plan.html   the same for a colleague
  planner answer llama-3.1-8b -c mine.json    tokens per second of a language model
  planner catalog                         models, clusters, devices and links
  planner cluster new --help              a cluster of the devices that you have
  planner plan model.onnx -c mine.json    your model on your cluster
  planner app                             all of it on a page

All commands: planner --help. Completion: planner --install-completion.
{EXIT_CODES}
"""


class _Lazy(MutableMapping[str, Any]):
    """The commands by name, each imported when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _built(name, *COMMANDS[name].split(":"))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*COMMANDS, *self._made)))

    def __len__(self) -> int:
        return len({*COMMANDS, *self._made})

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS or name in self._made

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]


class Commands(TyperGroup):
    """The group of all commands, in the order of `COMMANDS`."""

    def __init__(self, **attributes: Any) -> None:
        """Take what typer gives, but for the commands, of which it knows none."""
        super().__init__(**attributes)
        self.commands = _Lazy()

    def list_commands(self, ctx: Any) -> list[str]:
        """All, without importing them."""
        return [*self.commands]


def _built(name: str, module: str, attribute: str) -> Any:
    from app.options import CheckedCommand

    found = getattr(import_module(module), attribute)
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name=name, cls=CheckedCommand)(found)
    return typer.main.get_command(alone)


cli = typer.Typer(
    name="planner",
    cls=Commands,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Plan how several devices run one neural network together: what each layer costs, "
    "which features to send, on how many nodes, and what to train.",
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        from app.version import VERSION

        sys.stdout.write(f"planner {VERSION}\n")
        raise typer.Exit


@cli.callback()
def _planner(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Say which version this is."
        ),
    ] = False,
) -> None:
    pass


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the terminal what libraries tell their developers."""
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.showwarning = lambda *_, **__: None
            yield
    finally:
        logging.disable(disabled)


def _tell(message: str) -> None:
    from profiles.files import one_line

    sys.stderr.write(f"planner: {one_line(message)}\n")


def main() -> None:
    """Run the command; what goes wrong becomes one line on stderr and its exit code."""
    # What is imported stays for good: to look for garbage in it takes a fifth of a short command's
    # time. `_built` goes on once the command is there.
    gc.disable()
    if len(sys.argv) == 1 and _COMPLETES not in os.environ:
        sys.stdout.write(FIRST_STEPS)
        sys.exit(BadInputError.exit_code)
    try:
        with _quiet():
            code = cli(standalone_mode=False)
    except PlannerError as error:
        _tell(str(error))
        sys.exit(error.exit_code)
    except TyperException as error:  # of the words themselves: an unknown option, a missing SOURCE
        if message := error.format_message():  # without any words the help was shown
            _tell(message)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    if code == INTERRUPTED:  # typer's word for Ctrl-C
        sys.stderr.write("planner: interrupted\n")
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # a solver's thread may still run
    sys.exit(code)
