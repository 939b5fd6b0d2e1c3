"""The command line: one typer command for each row of ``commands.COMMANDS``, and those that are no playbook."""

import inspect
import os
import runpy
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Annotated, Any, Literal, Optional

import typer

from fleet.commands import COMMANDS, Command, Option
from fleet.options import RETRY, SHARED, hosts_like
from fleet.saying import say

USAGE = 2  # typer's exit status for a wrong option
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
CHAT = ("inventory", "limit", "user", "ask_vault_pass", "vault_password_file")  # what a chat has of SHARED
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


def signed(function: Callable[..., None], wanted: dict[str, tuple[Any, Any]]) -> None:
    """Give a function the signature that typer reads its options from: {name: (type, default)}."""
    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for key, (kind, default) in wanted.items()
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {key: kind for key, (kind, _default) in wanted.items()}


def function_of(name: str, command: Command) -> Callable[..., None]:
    """Return the function of a command, with its options."""

    def function(**values: Any) -> None:
        from fleet.playbooks import perform  # noqa: PLC0415  (help and completion must not wait for Ansible)

        raise typer.Exit(perform(name, command, values))

    by_hand = " ".join(["ansible-playbook", command.playbook, *command.always])
    function.__doc__ = f"{command.help}\n\nWithout this command: {by_hand}"
    wanted = {each.variable: (annotated(each), False if each.kind == "flag" else None) for each in command.options}
    signed(function, {**wanted, **({"retry": (RETRY, False)} if command.retry else {}), **SHARED})
    return function


for _name, _command in COMMANDS.items():
    app.command(_name)(function_of(_name, _command))


def commands_like(incomplete: str) -> list[str]:
    """Return the commands that continue what is typed."""
    return [name for name in COMMANDS if name.startswith(incomplete)]


def chat(ctx: typer.Context, **values: Any) -> None:
    """Chat with the model on a worker; options that are not known here go to fastchat-chat.

    Without this command: ssh -t WORKER fastchat-chat
    """
    from fleet import chat as chats  # noqa: PLC0415
    from fleet.inventory import Unusable, chosen  # noqa: PLC0415

    try:
        chats.begin(chosen(values.pop("inventory")), values, ctx.args)
    except Unusable as error:
        say(str(error))
        raise typer.Exit(1) from error


signed(chat, {"ctx": (typer.Context, inspect.Parameter.empty), **{key: SHARED[key] for key in CHAT}})
app.command(context_settings=PASSED_ON)(chat)


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
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # before and after a run Ctrl-C just ends this process
    try:
        app()
    except SystemExit as end:
        playbooks = sys.modules.get("fleet.playbooks")
        begun = playbooks is not None and playbooks.STARTED
        sys.exit(1 if end.code == USAGE and not begun else end.code)
