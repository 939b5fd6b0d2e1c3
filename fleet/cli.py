"""The command line: one typer command for each row of ``commands.COMMANDS``, and those that are no playbook."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import typer

from fleet.commands import COMMANDS, Command, Option

app = typer.Typer(
    name="fleet",
    help="Runs the project's playbooks, keeps a record of each run, and never two of them on one host at once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit status: 0 all went well, 1 the command or the inventory can not be used, 2 a host failed, "
    "4 a host was not reached, 5 a host is busy, 130 Ctrl-C.",
)
TAGS = ("preflight", "runtime", "weights", "services", "verify")


def complete_hosts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the hosts and groups that continue what is typed, also behind a comma."""
    from fleet.inventory import names_for_completion  # noqa: PLC0415

    start, comma, word = incomplete.rpartition(",")
    names = names_for_completion(ctx.params.get("inventory") or [])
    return [f"{start}{comma}{name}" for name in names if name.startswith(word)]


def complete_inventories(incomplete: str) -> list[str]:
    """Return paths of files and directories that continue what is typed."""
    parent = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    paths = (path for path in (parent.iterdir() if parent.is_dir() else ()) if not path.name.startswith("."))
    return sorted(str(path) for path in paths if str(path).startswith(incomplete))


def complete_tags(incomplete: str) -> list[str]:
    """Return the phases that continue what is typed."""
    return [tag for tag in TAGS if tag.startswith(incomplete)]


INVENTORY = Annotated[
    list[str],
    typer.Option(
        "-i",
        "--inventory",
        help="Inventory; else FLEET_INVENTORY, else ansible.cfg's.",
        autocompletion=complete_inventories,
    ),
]
LIMIT = Annotated[str, typer.Option("-l", "--limit", help="Only these hosts or groups.", autocompletion=complete_hosts)]
# Every playbook takes these, as ansible-playbook itself does: name -> (type with its option, default).
SHARED: dict[str, tuple[Any, Any]] = {
    "inventory": (INVENTORY, []),
    "limit": (LIMIT, ""),
    "tags": (Annotated[str, typer.Option("-t", "--tags", help="Only these phases.", autocompletion=complete_tags)], ""),
    "skip_tags": (Annotated[str, typer.Option(help="Not these.", autocompletion=complete_tags)], ""),
    "check": (Annotated[bool, typer.Option("-C", "--check", help="Change nothing, show what would change.")], False),
    "diff": (Annotated[bool, typer.Option("-D", "--diff", help="Show the differences of files.")], False),
    "extra_vars": (
        Annotated[list[str], typer.Option("-e", "--extra-vars", help="A variable, or @FILE. Secrets belong in files.")],
        [],
    ),
    "retry": (Annotated[bool, typer.Option("--retry", help="Only the hosts that the last run did not finish.")], False),
    "verbose": (Annotated[int, typer.Option("-v", "--verbose", count=True, help="More output, up to -vvvv.")], 0),
    "forks": (Annotated[int, typer.Option("-f", "--forks", min=1, help="Hosts at the same time.")], None),
    "user": (Annotated[str, typer.Option("-u", "--user", help="The user to log in as.")], ""),
    "private_key": (Annotated[str, typer.Option(help="The file of an ssh key.")], ""),
    "ask_pass": (Annotated[bool, typer.Option("-k", "--ask-pass", help="Ask for the password of ssh.")], False),
    "ask_become_pass": (
        Annotated[bool, typer.Option("-K", "--ask-become-pass", help="Ask for sudo's.")],
        False,
    ),
    "ask_vault_pass": (Annotated[bool, typer.Option("-J", "--ask-vault-pass", help="Ask for the vault's.")], False),
    "vault_password_file": (Annotated[str, typer.Option(help="The file with the vault's password.")], ""),
}
TYPES = {"flag": bool, "number": int, "text": str, "path": str, "host": str, "batches": str}


def parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """Return a keyword parameter for typer to read."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def annotated(option: Option) -> Any:
    """Return the type of a playbook's option, with what typer shows of it."""
    kind: Any = Literal[option.choices] if option.choices else TYPES[option.kind]
    told = typer.Option(
        option.flag, help=option.help, autocompletion=complete_hosts if option.kind == "host" else None,
        show_default=False, rich_help_panel="This playbook",
    )  # fmt: skip
    return Annotated[bool if kind is bool else Optional[kind], told]  # noqa: UP045  (a type that is made at run time)


def function_of(name: str, command: Command) -> Callable[..., None]:
    """Return the function of a command, with the signature that its options make."""

    def function(**values: Any) -> None:
        from fleet.playbooks import perform  # noqa: PLC0415  (help and completion must not wait for Ansible)

        raise typer.Exit(perform(name, command, values))

    shared = [parameter(key, kind, default) for key, (kind, default) in SHARED.items()]
    own = [
        parameter(option.variable, annotated(option), False if option.kind == "flag" else None)
        for option in command.options
    ]
    function.__signature__ = inspect.Signature(own + shared)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in own + shared}
    function.__doc__ = f"{command.help}\n\nPlaybook: {command.playbook}"
    return function


for _name, _command in COMMANDS.items():
    app.command(_name)(function_of(_name, _command))


def main() -> None:
    """Run the command; a wrong option ends with status 1, because 2 says that a host failed."""
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        wrong = end.code == 2 and not ran()  # noqa: PLR2004
        sys.exit(1 if wrong else end.code)


def ran() -> bool:
    """Return whether a playbook was started, so that a status of 2 is the playbook's."""
    playbooks = sys.modules.get("fleet.playbooks")
    return bool(playbooks and playbooks.STARTED)
