"""The options that every playbook takes, as ansible-playbook itself has them, and what completes them."""

from pathlib import Path
from typing import Annotated, Any

import typer

TAGS = ("preflight", "runtime", "weights", "services", "verify")
PANEL = "Ansible's own options"


def hosts_like(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the hosts and groups that continue what is typed, also behind a comma."""
    from fleet.inventory import names_for_completion  # noqa: PLC0415  (help must not wait for Ansible)

    start, comma, word = incomplete.rpartition(",")
    names = names_for_completion(list(ctx.params.get("inventory") or []))
    return [f"{start}{comma}{name}" for name in names if name.startswith(word)]


def paths_like(incomplete: str) -> list[str]:
    """Return the paths of files and directories that continue what is typed."""
    folder, slash, word = incomplete.rpartition("/")
    parent = Path(folder or slash or ".").expanduser()
    names = sorted(path.name for path in parent.iterdir()) if parent.is_dir() else []
    return [f"{folder}{slash}{name}" for name in names if name.startswith(word or ("" if slash else word))]


def tags_like(incomplete: str) -> list[str]:
    """Return the phases that continue what is typed."""
    return [tag for tag in TAGS if tag.startswith(incomplete)]


def _option(kind: Any, *flags: str, **told: Any) -> Any:
    """Return the type of a parameter, with what typer shows of it."""
    return Annotated[kind, typer.Option(*flags, rich_help_panel=PANEL, show_default=False, **told)]


INVENTORY = _option(
    list[str],
    "-i",
    "--inventory",
    help="The inventory; else FLEET_INVENTORY, else that of ansible.cfg.",
    autocompletion=paths_like,
)
RETRY = Annotated[
    bool, typer.Option("--retry", help="Only the hosts that failed or were not reached last time.", show_default=False)
]

# name: (type, default). A name is that of ansible-playbook's option, with _ for -.
SHARED: dict[str, tuple[Any, Any]] = {
    "inventory": (INVENTORY, []),
    "limit": (_option(str, "-l", "--limit", help="Only these hosts or groups.", autocompletion=hosts_like), ""),
    "tags": (_option(str, "-t", "--tags", help="Only these phases.", autocompletion=tags_like), ""),
    "skip_tags": (_option(str, "--skip-tags", help="Not these phases.", autocompletion=tags_like), ""),
    "check": (_option(bool, "-C", "--check", help="Change nothing; show what would change."), False),
    "diff": (_option(bool, "-D", "--diff", help="Show how files change."), False),
    "extra_vars": (_option(list[str], "-e", "--extra-vars", help="A variable, or @FILE for secrets."), []),
    "verbose": (_option(int, "-v", "--verbose", count=True, help="Show more, up to -vvvv."), 0),
    "forks": (_option(int, "-f", "--forks", min=1, help="How many hosts at the same time."), None),
    "user": (_option(str, "-u", "--user", help="The user to log in as."), ""),
    "private_key": (_option(str, "--private-key", help="The file of an ssh key."), ""),
    "ask_pass": (_option(bool, "-k", "--ask-pass", help="Ask for the password of ssh."), False),
    "ask_become_pass": (_option(bool, "-K", "--ask-become-pass", help="Ask for the password of sudo."), False),
    "ask_vault_pass": (_option(bool, "-J", "--ask-vault-pass", help="Ask for the password of the vault."), False),
    "vault_password_file": (_option(str, "--vault-password-file", help="The file with the vault's password."), ""),
}
