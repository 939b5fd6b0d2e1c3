"""What ``fleet`` can do, as data: each command is a playbook, and its options are the playbook's variables."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """An option that sets one variable of the playbook.

    ``kind`` is ``text``, ``flag`` (sets true), ``number``, ``path`` (made absolute), ``host`` (completed from the
    inventory) or ``batches`` (numbers and percentages, separated by commas). ``choices`` are the only values, if any.
    """

    flag: str
    variable: str
    help: str
    kind: str = "text"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    """A command: its playbook (relative to the project), its options, and the arguments that it always adds.

    ``hosts_wanted``: ``--limit`` must be given. ``changes``: false where no host is ever changed, so that a run may go
    beside others. ``retry``: false where a run of some hosts alone says nothing.
    """

    playbook: str
    help: str
    options: tuple[Option, ...] = ()
    always: tuple[str, ...] = ()
    hosts_wanted: bool = False
    retry: bool = True
    changes: bool = True


VERIFY = Option(
    "--verify-weights",
    "vicuna_weights_verify",
    "How published weights are checked: quick by size and time, full by reading every byte.",
    choices=("quick", "full"),
)

COMMANDS: dict[str, Command] = {
    "up": Command("site.yml", "Bring the fleet to what the inventory says, and ask it a question.", (VERIFY,)),
    "check": Command(
        "site.yml",
        "Show what 'up' would change, with differences; nothing is changed. --tags preflight only asks the hosts.",
        (VERIFY,),
        always=("--check", "--diff"),
        changes=False,
    ),
    "status": Command(
        "playbooks/status.yml",
        "Show the fleet as a table; the exit status is not 0 when something does not serve.",
        (
            Option("--json", "status_json", "Also write the report to this file on the control node.", "path"),
            Option("--seconds", "status_seconds", "How long one host may take to answer (60).", "number"),
        ),
        changes=False,
        retry=False,
    ),
    "update": Command(
        "playbooks/rolling_update.yml",
        "Bring a release, stack or setting to host after host while the fleet serves.",
        (Option("--serial", "rolling_serial", "Sizes of the batches (1,25%).", "batches"),),
    ),
    "rollback": Command(
        "playbooks/rollback.yml",
        "Go back by one release or environment, without a download.",
        (
            Option(
                "--what",
                "rollback_what",
                "What goes back (weights).",
                choices=("weights", "runtime", "both", "web"),
            ),
            Option("--model", "rollback_model", "Only this model, where there are several."),
            Option("--serial", "rollback_serial", "How many hosts at a time (1), or 25%.", "batches"),
        ),
    ),
    "rebuild": Command(
        "playbooks/rebuild.yml",
        "Bring one reimaged or replaced host back into service.",
        (
            Option("--host-key", "rebuild_host_key", "The host's ssh key as its own console shows it (SHA256:...)."),
            Option("--from", "rebuild_from", "The worker that gives the weights.", "host"),
        ),
        hosts_wanted=True,
    ),
    "bundle": Command(
        "playbooks/bundle.yml",
        "Gather all that a site without internet access needs into one directory.",
        (
            Option("--dir", "bundle_dir", "The directory of the bundle.", "path"),
            Option("--models", "bundle_models", "Also gather the models' sources.", "flag"),
        ),
        changes=False,
        retry=False,
    ),
    "prune": Command(
        "playbooks/prune.yml",
        "Free disk space: remove old releases, environments and what killed runs left.",
        (Option("--keep", "prune_keep", "How many releases and environments stay (2).", "number"),),
    ),
}
