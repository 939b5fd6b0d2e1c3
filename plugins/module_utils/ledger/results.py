"""What the ledger keeps of a task's result on a host: an answer to "what changed" and "what failed", and no more."""

from collections.abc import Mapping

MOST_CHARACTERS = 20_000
LAST_LINES = 30
MOST_ITEMS = 100
# How modules call what they work on; the first that a result has says what changed.
SUBJECTS = ("dest", "path", "name", "repo", "url")


def cut(value: object) -> object:
    """Return a text within its limit, with the number of characters that are missing; other values as they are."""
    if isinstance(value, str) and len(value) > MOST_CHARACTERS:
        return f"{value[:MOST_CHARACTERS]}\n… {len(value) - MOST_CHARACTERS} more characters"
    return value


def last_lines(text: object) -> str:
    """Return the end of a program's output."""
    return "\n".join(str(text or "").strip().splitlines()[-LAST_LINES:])


def diffs_of(result: Mapping) -> list[dict]:
    """Return the diffs of a result as [{before, after, before_header, after_header} or {prepared}]; cut to a limit."""
    found = result.get("diff") or []
    wanted = ("before", "after", "before_header", "after_header", "prepared")
    diffs = [
        {key: cut(part[key]) for key in wanted if part.get(key) not in (None, "")}
        for part in (found if isinstance(found, list) else [found])
        if isinstance(part, Mapping)
    ]
    return [part for part in diffs if part.get("prepared") or part.get("before") != part.get("after")]


def said(result: Mapping, failed: bool) -> dict:
    """Return {msg, subject, diff, rc, stdout, stderr} of a result; what it does not have is left out."""
    message = result.get("censored") or result.get("msg") or ""
    subject = next((str(result[key]) for key in SUBJECTS if isinstance(result.get(key), str) and result[key]), "")
    kept = {
        "msg": cut("\n".join(map(str, message)) if isinstance(message, list) else str(message)),
        "subject": subject,
        "diff": diffs_of(result),
    }
    if failed:
        kept |= {"rc": result.get("rc")} | {key: last_lines(result.get(key)) for key in ("stdout", "stderr")}
        if not kept["stderr"]:
            kept["stderr"] = last_lines(result.get("module_stderr"))
    return {key: value for key, value in kept.items() if value not in ("", None, [])}


def kept_of(result: Mapping, status: str, action: str) -> dict:
    """Return what is kept of a result: {} of a task that changed nothing and did not fail.

    ``status`` is ok, failed or unreachable. Assertions keep their sentence, since the verdict of ``verify`` is one. The
    facts of ``playbooks/status.yml`` become ``fleet``: {rows, faults}.
    """
    failed = status != "ok"
    kept: dict = {}
    if warnings := result.get("warnings"):
        kept["warnings"] = [cut(str(warning)) for warning in warnings]
    facts = result.get("ansible_facts")
    if isinstance(facts, Mapping) and isinstance(facts.get("__status"), Mapping):
        kept["fleet"] = {key: facts["__status"].get(key, []) for key in ("rows", "faults")}
    items = result.get("results")
    if isinstance(items, list) and (failed or result.get("changed")):
        told = [item for item in items if isinstance(item, Mapping) and (item.get("changed") or item.get("failed"))]
        kept["items"] = [
            {"label": label_of(item), **said(item, bool(item.get("failed")))} for item in told[:MOST_ITEMS]
        ]
        if failed:
            kept |= said({"msg": result.get("msg", "")}, True)
    elif failed or result.get("changed") or action.endswith("assert"):
        kept |= said(result, failed)
    return kept


def label_of(item: Mapping) -> str:
    """Return what a loop calls an item: its label, or the item when that is short."""
    label = item.get("_ansible_item_label", item.get("item", ""))
    return str(label)[:200]
