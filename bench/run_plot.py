"""Draws the runs of bench/run.py as stacked bars: seconds by phase, for each number of hosts and each contender."""

import statistics
from pathlib import Path
from xml.sax.saxutils import escape

# In the order of a run; neighbours differ in lightness too, for those who do not tell hues apart.
COLOURS = ["#1b4965", "#62b6cb", "#2a9d8f", "#a7d49b", "#e9a03b", "#f6d58e", "#c8553d", "#e8a598", "#6d597a", "#b8b8b8"]
WHOLE = "whole run"
BAR, GAP, LEFT, RIGHT, TOP = 18, 6, 150, 70, 58
WIDTH = 760


def phases_of(runs: list[dict]) -> list[str]:
    """Return all phases in the order in which they run; what starts and ends a run comes last."""
    names = list(dict.fromkeys(phase for run in runs for phase in run.get("phases", {})))
    return sorted(names, key=lambda name: name == "Start and end")


def called(contender: str) -> str:
    """Return how a contender is called in tables and in the plot."""
    return "this commit" if contender == "." else contender


def bars(runs: list[dict]) -> list[tuple[str, dict[str, float]]]:
    """Return [(label, {phase: median seconds})]; pyinfra knows no phases and has the whole run as one."""
    found = []
    for size, contender in dict.fromkeys((run["size"], run["contender"]) for run in runs):
        own = [
            run.get("phases", {WHOLE: run["seconds"]})
            for run in runs
            if (run["size"], run["contender"]) == (size, contender)
        ]
        names = dict.fromkeys(phase for phases in own for phase in phases)
        middle = {name: statistics.median(phases.get(name, 0) for phases in own) for name in names}
        found.append((f"{size} host{'s' if size > 1 else ''}, {called(contender)}", middle))
    return found


def draw(runs: list[dict], path: Path) -> None:
    """Write the plot as SVG."""
    rows, names = bars(runs), phases_of(runs)
    colours = dict(zip(names, COLOURS * 2, strict=False)) | {WHOLE: "#444"}
    longest = max(sum(phases.values()) for _label, phases in rows)
    scale = (WIDTH - LEFT - RIGHT) / longest
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if longest / step <= 8)  # noqa: PLR2004
    bottom = TOP + len(rows) * (BAR + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{bottom + 40}" fill="#fff"/>',
    ]
    for number, name in enumerate([*names, WHOLE]):
        x, y = 10 + number % 6 * 122, 8 + number // 6 * 20
        out.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colours[name]}"/>')
        out.append(f'<text x="{x + 17}" y="{y + 10}" fill="#333">{escape(name)}</text>')
    for tick in range(0, int(longest) + 1, step):
        x = LEFT + tick * scale
        out.append(f'<path d="M{x:.1f} {TOP - 4}V{bottom}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle" fill="#666">{tick}</text>')
    for number, (label, phases) in enumerate(rows):
        y, x = TOP + number * (BAR + GAP), float(LEFT)
        out.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end" fill="#333">{escape(label)}</text>')
        for name, seconds in phases.items():
            title = f"<title>{escape(label)}: {escape(name)}, {seconds:.1f} s</title>"
            width = max(0.0, seconds * scale)
            out.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colours[name]}">{title}</rect>'
            )
            x += width
        out.append(f'<text x="{x + 6:.1f}" y="{y + 13}" fill="#333">{sum(phases.values()):.1f} s</text>')
    legend = "seconds of a run with nothing to change, generation apart"
    out.append(f'<text x="{LEFT}" y="{bottom + 32}" fill="#666">{legend}</text>')
    path.write_text("\n".join([*out, "</svg>"]) + "\n")
