"""The command line: one typer command for each row of ``commands.COMMANDS``, and those that are no playbook."""

import inspect
import os
import runpy
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Optional

import typer

from fleet.commands import COMMANDS, Command, Option
from fleet.options import INVENTORY, LIMIT, RETRY, SHARED, USER, hosts_like
from fleet.saying import say

USAGE = 2  # typer's exit status for a wrong option
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
TYPES = {"flag": bool, "number": int, "text": str, "path": str, "host": str, "batches": str}

app = typer.Typer(
    name="fleet",
    help="Runs the project's playbooks, keeps a record of each run, and never lets two of them onto one host at once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit status: 0 all went well, 1 wrong options or inventory, 2 a host failed, 4 a host was not reached, "
    "5 a host is in use by another run, 130 Ctrl-C.",
)


def annotated(option: Option) -> Any:
    """Return the type of a playbook's option, with what typer shows of it."""
    kind: Any = Literal[option.choices] if option.choices else TYPES[option.kind]
    complete = hosts_like if option.kind == "host" else None
    told = typer.Option(option.flag, help=option.help, autocompletion=complete, show_default=False)
    return Annotated[kind if kind is bool else Optional[kind], told]  # noqa: UP045  (a type that is made here)


def function_of(name: str, command: Command) -> Callable[..., None]:
    """Return the function of a command, with the signature that its options make."""

    def function(**values: Any) -> None:
        from fleet.playbooks import perform  # noqa: PLC0415  (help and completion must not wait for Ansible)

        raise typer.Exit(perform(name, command, values))

    wanted = {
        option.variable: (annotated(option), False if option.kind == "flag" else None) for option in command.options
    }
    wanted |= {"retry": (RETRY, False)} if command.retry else {}
    wanted |= SHARED
    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for key, (kind, default) in wanted.items()
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {key: kind for key, (kind, _default) in wanted.items()}
    function.__doc__ = (
        f"{command.help}\n\nWithout this command: ansible-playbook {command.playbook} {' '.join(command.always)}"
    )
    return function


for _name, _command in COMMANDS.items():
    app.command(_name)(function_of(_name, _command))


def commands_like(incomplete: str) -> list[str]:
    """Return the commands that continue what is typed."""
    return [name for name in COMMANDS if name.startswith(incomplete)]


@app.command(context_settings=PASSED_ON)
def chat(ctx: typer.Context, inventory: INVENTORY = [], limit: LIMIT = "", user: USER = "") -> None:  # noqa: B006
    """Chat with the model on a worker; options that are not known here go to fastchat-chat.

    Without this command: ssh -t WORKER fastchat-chat
    """
    from fleet import chat as chats  # noqa: PLC0415
    from fleet.inventory import Unusable, chosen  # noqa: PLC0415

    try:
        chats.begin(chosen(inventory), limit, user, ctx.args)
    except Unusable as error:
        say(str(error))
        raise typer.Exit(1) from error


@app.command()
def runs(
    most: Annotated[int, typer.Option("-n", "--most", min=1, help="How many of them.")] = 20,
    command: Annotated[str, typer.Option("--command", help="Of this command.", autocompletion=commands_like)] = "",
    as_json: Annotated[bool, typer.Option("--json", help="All that is kept of them, as JSON.")] = False,
) -> None:
    """Show earlier runs: when, by whom, on how many hosts, how long, and how they ended.

    Without this command: the files .fleet/runs/*/run.json
    """
    from fleet import history, paths, records  # noqa: PLC0415

    found = [record for record in records.known(paths.records()) if command in ("", record["command"])][:most]
    if not found and not as_json:
        say(f"There is no record of a run in {paths.records()} yet.")
        return
    history.show(found, as_json)


@app.command(context_settings=PASSED_ON, add_help_option=False)
def report(ctx: typer.Context) -> None:
    """Write a run as one page, from the ledger. --help shows the options of the report itself.

    Without this command: python -m report
    """
    if find_spec("report") is None or find_spec("report.__main__") is None:
        say("This project has no report yet (python -m report); 'fleet runs' shows what is known of earlier runs.")
        raise typer.Exit(1)
    sys.argv = ["fleet report", *ctx.args]
    runpy.run_module("report", run_name="__main__")


def open_streams() -> None:
    """Lead streams that the caller has closed to /dev/null, since Ansible writes to them without asking."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the one that is closed.
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115, PTH123


def main() -> None:
    """Run the command; a wrong option ends with status 1, because 2 says that a host failed."""
    open_streams()
    try:
        app()
    except SystemExit as end:
        playbooks = sys.modules.get("fleet.playbooks")
        begun = playbooks is not None and playbooks.STARTED
        sys.exit(1 if end.code == USAGE and not begun else end.code)
