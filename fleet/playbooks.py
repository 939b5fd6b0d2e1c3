"""One run of a playbook, from the options to the exit status: locks, record, estimate, what to say at the end."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from fleet import inventory, locking, records, running
from fleet.commands import Command, Option
from fleet.outcome import BUSY, FAILED, OK, UNREACHABLE, WRONG, closing, failed, status_of, unreachable
from fleet.paths import CLONE
from fleet.paths import locks as lock_folder
from fleet.paths import records as record_folder
from fleet.saying import duration, hosts, say, several

STARTED: list[str] = []  # the commands that this process has started


def value_of(option: Option, given: Any) -> Any:
    """Return an option's value as the playbook wants it. Raises ValueError with a sentence."""
    if option.kind == "path":
        return str(Path(given).expanduser().absolute())
    if option.kind == "batches":
        sizes = [part.strip() for part in given.split(",")]
        if not all(size.removesuffix("%").isdigit() and int(size.removesuffix("%")) for size in sizes):
            raise ValueError(f"{option.flag} is {given}, wanted numbers of hosts or percentages such as 1,4,25%.")
        return [size if size.endswith("%") else int(size) for size in sizes]
    return given


def variables(command: Command, values: dict[str, Any]) -> dict[str, Any]:
    """Return {variable: value} of the options that were given. Raises ValueError."""
    given = {option: values[option.variable] for option in command.options}
    return {option.variable: value_of(option, each) for option, each in given.items() if each not in (None, False)}


def arguments(command: Command, values: dict[str, Any], sources: list[str], limit: str) -> list[str]:
    """Return the arguments of ansible-playbook. Raises ValueError."""
    words = [str(CLONE / command.playbook), *(word for source in sources for word in ("--inventory", source))]
    words += command.always
    words += ["--limit", limit] if limit else []
    for key in ("tags", "skip_tags", "forks", "user", "private_key", "vault_password_file"):
        if values[key]:
            words += [f"--{key.replace('_', '-')}", str(values[key])]
    for key in ("check", "diff", "ask_pass", "ask_become_pass", "ask_vault_pass"):
        if values[key] and f"--{key}" not in command.always:
            words.append(f"--{key.replace('_', '-')}")
    words += [f"-{'v' * values['verbose']}"] if values["verbose"] else []
    if own := variables(command, values):
        words += ["--extra-vars", json.dumps(own)]
    return words + [word for each in values["extra_vars"] for word in ("--extra-vars", each)]


def retried(record: dict[str, Any], earlier: list[dict[str, Any]]) -> list[str]:
    """Return the hosts that ``--retry`` takes, of which there may be none. Raises ValueError with a sentence."""
    name = record["command"]
    before = records.last(record, earlier)
    if before is None:
        raise ValueError(
            f"There is no record of an earlier 'fleet {name}' with this inventory; run it without --retry."
        )
    if before.get("exit") not in (OK, FAILED, UNREACHABLE):
        raise ValueError(f"The last 'fleet {name}' did not come to its end; run it without --retry.")
    left = sorted({*before["failed"], *before["unreachable"]})
    if before.get("stopped"):
        raise ValueError(
            f"The fault on {several(left)} stopped the last 'fleet {name}' on all its hosts; run it without --retry."
        )
    return left


def begun(name: str, command: Command, values: dict[str, Any], sources: list[str]) -> dict[str, Any]:
    """Return the record of a run that begins now. It has no value of a variable, since that can be a secret."""
    return {
        "command": name,
        "playbook": command.playbook,
        "inventories": sources,
        "limit": values["limit"],
        "tags": values["tags"],
        "check": values["check"] or "--check" in command.always,
        "changes": command.changes and not values["check"],
        "variables": sorted(variables(command, values)),
        "user": locking.user(),
        "started": time.time(),
    }


def perform(name: str, command: Command, values: dict[str, Any]) -> int:
    """Run a command's playbook; return the exit status. What goes wrong before it begins is one sentence."""
    try:
        sources = inventory.chosen(values["inventory"])
        record = begun(name, command, values, sources)
        if command.hosts_wanted and not values["limit"]:
            raise ValueError(f"'fleet {name}' works on one host; name it with --limit HOST.")
        chosen = inventory.hosts_of(sources, values["limit"], values["vault_password_file"])
        earlier = records.known(record_folder())
        limit = values["limit"]
        if values.get("retry"):
            left = retried(record, earlier)
            chosen = [host for host in chosen if host.name in left]
            limit = ",".join(host.name for host in chosen)
        if not chosen:
            say(f"No host failed or was out of reach in the last 'fleet {name}': there is nothing to retry.")
            return OK
        words = arguments(command, values, sources, limit)
    except (inventory.Unusable, ValueError) as error:
        say(str(error))
        return WRONG
    record["hosts"] = [host.name for host in chosen]
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locking.held(lock_folder(), chosen if record["changes"] else [], name))
        except locking.Taken as error:
            say(str(error))
            return BUSY
        except OSError as error:
            say(f"Nothing keeps a second run off these hosts: {lock_folder()} can not be written ({error.strerror}).")
        return recorded(command, record, words, earlier)


def recorded(command: Command, record: dict[str, Any], words: list[str], earlier: list[dict[str, Any]]) -> int:
    """Run the playbook and keep its record where the disk takes it; return the exit status."""
    name, usual = record["command"], records.usual(record, earlier)
    say(f"{name}: {hosts(len(record['hosts']))}" + (f", usually {duration(usual)}." if usual else "."))
    path: Path | None = None
    trouble: OSError | None = None
    try:
        path = records.begin(record_folder(), record)
    except OSError as error:
        trouble = error
    STARTED.append(name)
    ended = running.run(words, path / "events.jsonl" if path else None, usual)
    record |= {
        "seconds": round(time.time() - record["started"], 1),
        "exit": status_of(ended.code, ended.recap, ended.signals),
        "failed": failed(ended.recap),
        "stopped": ended.stopped,
        "unreachable": unreachable(ended.recap),
        "changed": sum(counts["changed"] for counts in ended.recap.values()),
    }
    try:
        if path:
            records.save(path, record)
    except OSError as error:
        trouble = error
    say(closing(command, record))
    if trouble:
        say(f"There is no record of this run: {record_folder()} can not be written ({trouble.strerror}).")
    return int(record["exit"])
