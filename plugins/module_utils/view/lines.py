"""The lines that stay: headings, changes, failures, messages, the result. Python >= 3.10.

A line is a list of (text, style); a style is one of ``STYLES``, or '' for none. Where a width is 0, as in a pipe, no
line is broken, so that a sentence can be searched for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .state import News
from .words import duration, folded, group_of

Line = list[tuple[str, str]]
STYLES = {"head": "1", "quiet": "2", "change": "33", "bad": "31", "good": "32", "warn": "35"}
INDENT, GAP = 2, 3
WIDEST = 24  # of the column of hosts
NAMES_SHOWN = 6
DIFF_SHOWN = 40


def plain(line: Line) -> str:
    """Return a line without colours."""
    return "".join(text for text, _style in line).rstrip()


def painted(line: Line) -> str:
    """Return a line with the terminal's codes for its colours."""
    return "".join(f"\x1b[{STYLES[style]}m{text}\x1b[0m" if STYLES.get(style) else text for text, style in line)


def column(hosts: Iterable[str]) -> int:
    """Return the width of the column of hosts, the same for all lines of a play."""
    return min(WIDEST, max([len("all 10 hosts"), *map(len, hosts)]))


def row(who: str, cells: Line, wide: int, width: int, style: str = "") -> list[Line]:
    """Return a line with who in its first column, broken below the second column where the width asks for it.

    ``wide`` is the width of the first column. Only the last cell is broken.
    """
    head = f"{'':{INDENT}}{who:<{wide}}{'':{GAP}}"
    lead, (text, last) = cells[:-1], cells[-1]
    used = len(head) + sum(len(said) for said, _ in lead)
    if len(who) > wide:  # a name longer than its column has a line of its own
        return [[(f"{'':{INDENT}}{who}", style)], *row("", cells, wide, width)]
    first, *rest = broken(text, width - used if width else 0, width - len(head) if width else 0)
    return [[(head, style), *lead, (first, last)], *([(" " * len(head), ""), (said, last)] for said in rest)]


def broken(text: str, first: int, others: int) -> list[str]:
    """Return a text in lines; its own line ends stay. Widths of 0 break nothing."""
    lines: list[str] = []
    for part in text.splitlines() or [""]:
        room = first if not lines else others
        if not others or len(part) <= room:
            lines.append(part)
            continue
        indent = " " * (max(others, 20) - max(room, 20)) if room < others else ""
        wrapped = textwrap.wrap(
            part, max(others, 20), initial_indent=indent, break_on_hyphens=False, break_long_words=False
        )
        lines += [wrapped[0].lstrip() if indent else wrapped[0], *wrapped[1:]]
    return lines


def heading(phase: str) -> list[Line]:
    """Return the heading of a phase."""
    return [[], [(phase, "head")]]


def change_lines(
    hosts: Sequence[str], task: str, names: Sequence[str], everybody: Sequence[str], width: int
) -> list[Line]:
    """Return what one task changed on these hosts."""
    wide = column(everybody)
    who = group_of(hosts, everybody, wide)
    shown = [*names[:NAMES_SHOWN], *([f"and {len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else [])]
    lead = f"{task}: " if shown else task
    inline = ", ".join(shown)
    room = width - INDENT - wide - GAP - len(lead)
    if not shown:
        return row(who, [(task, "")], wide, width)
    if not width or len(inline) <= room:
        return row(who, [(lead, ""), (inline, "change")], wide, 0)
    below = [line for name in shown for line in row("", [("  ", ""), (name, "change")], wide, width)]
    return [*row(who, [(lead.rstrip(), "")], wide, width), *below]


def message_lines(hosts: Sequence[str], task: str, text: str, everybody: Sequence[str], width: int) -> list[Line]:
    """Return what a task says to the operator: one line beside the host, more of them below the task's name."""
    wide = column(everybody)
    who, said = group_of(hosts, everybody, wide), text.strip("\n").splitlines()
    if len(said) <= 1:
        return row(who, [(said[0] if said else "", "")], wide, width)
    parts = [part for line in said for part in hanging(line, width - 2 * INDENT if width else 0)]
    return [*row(who, [(task, "quiet")], wide, width), *([(f"{'':{2 * INDENT}}{part}", "")] for part in parts)]


def hanging(text: str, width: int) -> list[str]:
    """Return one line of text in lines of a width, all but the first indented further; a width of 0 breaks nothing."""
    if not width or len(text) <= width:
        return [text]
    deeper = " " * (len(text) - len(text.lstrip()) + INDENT)
    return textwrap.wrap(text, max(width, 20), subsequent_indent=deeper, break_on_hyphens=False, break_long_words=False)


def news_lines(hosts: Sequence[str], news: News, everybody: Sequence[str], width: int) -> list[Line]:
    """Return the lines of one piece of news of these hosts."""
    wide = column(everybody)
    if news.kind == "change":
        names, diff = news.what
        return [*change_lines(hosts, news.task, names, everybody, width), *diff_lines(diff)]
    if news.kind == "message":
        return message_lines(hosts, news.task, news.what, everybody, width)
    if news.kind == "handled":
        return row(group_of(hosts, everybody, wide), [(f"{news.task}: {news.what}", "quiet")], wide, width)
    return failure_lines(hosts, news, everybody, width)


def failure_lines(hosts: Sequence[str], news: News, everybody: Sequence[str], width: int) -> list[Line]:
    """Return a failure: what failed, the message, and what the program and the journal said last."""
    wide = column(everybody)
    head = "Unreachable" if news.kind == "unreachable" else f"Failed: {news.task}"
    message, others = news.what
    lines = row(group_of(hosts, everybody, wide), [(head, "bad")], wide, width, "bad")
    lines += row("", [(message, "")], wide, width)
    for label, text in others:
        lines += row("", [(label, "quiet")], wide, width)
        lines += [line for said in text for line in row("", [("  ", ""), (said, "quiet")], wide, width)]
    return lines


def said_by(result: Mapping[str, Any]) -> tuple[str, list[tuple[str, list[str]]]]:
    """Return (message, [(label, lines)]) of a failed result."""
    message = str(result.get("msg") or result.get("reason") or result.get("censored") or "").strip()
    if message == "non-zero return code":
        command = result.get("cmd", "")
        words = " ".join(map(str, command)) if isinstance(command, list) else str(command)
        message = f"Its command ended with status {result.get('rc')}: {textwrap.shorten(words, 300)}"
    return message or "The task gives no reason.", spoken(result, message)


def shortly(results: Sequence[Mapping[str, Any]]) -> str:
    """Return why results failed, in one line: the message of each, and the last line that its program wrote."""
    told = []
    for result in results:
        message, others = said_by(result)
        told.append(" ".join([message, *(said[-1].strip() for _label, said in others[:1])]))
    return textwrap.shorten(" ".join(dict.fromkeys(told)), 400)


def spoken(result: Mapping[str, Any], message: str, last: int = 12) -> list[tuple[str, list[str]]]:
    """Return [(label, last lines)] of what a failed result brings along and its message does not say already."""
    found = []
    sources = (("journal", "The journal ends with:"), ("stderr", "It wrote to stderr:"), ("stdout", "It wrote:"))
    for key, label in (*sources, ("module_stderr", "Its module wrote:"), ("exception", "Python says:")):
        value = result.get(key)
        text = "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")
        said = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
        if said and not all(line.strip() in message for line in said):
            found.append((label, said[-last:]))
    return found


def warning_lines(warnings: Mapping[str, Sequence[str]], everybody: Sequence[str], width: int) -> list[Line]:
    """Return the gathered warnings, each once, with the hosts that gave it."""
    if not warnings:
        return []
    lines: list[Line] = [[], [("Warnings", "head")]]
    for text, hosts in warnings.items():
        who = f" ({group_of(hosts, everybody, 3 * WIDEST)})" if hosts else ""
        first, *rest = broken(text + who, width - INDENT if width else 0, width - INDENT if width else 0)
        lines += [[(" " * INDENT, ""), (said, "warn")] for said in [first, *rest]]
    return lines


def result_lines(stats: Mapping[str, Mapping[str, int]], seconds: Mapping[str, float], width: int) -> list[Line]:
    """Return the result: what each host counts (equal hosts in one line), and the time of each phase.

    ``stats`` is {host: {changed, failed, unreachable: number}}. ``changed=0`` is always there: scripts look for it.
    """
    groups: dict[tuple[int, int, int], list[str]] = {}
    for host, counts in stats.items():
        groups.setdefault((counts["changed"], counts["failed"], counts["unreachable"]), []).append(host)
    wide = column(stats)
    lines: list[Line] = [[], [("Result", "head")]]
    for (changed, failed, unreachable), hosts in sorted(groups.items(), key=lambda one: one[0][1:]):
        bad: Line = [
            (f"   {name}={number}", "bad")
            for name, number in (("failed", failed), ("unreachable", unreachable))
            if number
        ]
        who = group_of(hosts, stats, wide)
        cells: Line = [(f"changed={changed}", "change" if changed else ""), *bad]
        lines += row(who, cells, wide, 0)
    if seconds:
        total = duration(sum(seconds.values()))
        spans = [f"{phase} {duration(span)}" for phase, span in seconds.items() if round(span) or len(seconds) == 1]
        lines += row("time", [(f"{total}: {', '.join(spans)}" if len(spans) > 1 else total, "")], wide, width)
    return lines


def next_lines(failed: Sequence[str], width: int) -> list[Line]:
    """Return what to do after a failure."""
    if not failed:
        return []
    said = "Correct what failed above and run the same command again; it goes on from there."
    who = "host" if len(failed) == 1 else "hosts"
    few = len(failed) <= NAMES_SHOWN
    said += f" For the failed {who} alone, add --limit {','.join(failed)}" if few else f" Failed: {folded(failed)}."
    return [[], *([(line, "")] for line in broken("Next: " + said, width, width))]


def diff_lines(text: str, everything: bool = False) -> list[Line]:
    """Return a unified diff: its lines in colour, and only the first of a long one."""
    lines = [line.rstrip("\r") for line in text.strip("\n").splitlines() if line.strip()]
    shown = lines if everything else lines[:DIFF_SHOWN]
    told: list[Line] = [[(" " * 2 * INDENT, ""), (line, diff_style(line))] for line in shown]
    if len(shown) < len(lines):
        told.append([(f"{'':{2 * INDENT}}{len(lines) - len(shown)} more lines; -v shows them.", "quiet")])
    return told


def diff_style(line: str) -> str:
    """Return the style of one line of a unified diff."""
    return "quiet" if line.startswith(("---", "+++", "@")) else {"+": "good", "-": "bad"}.get(line[:1], "")
