"""The geometry of the timeline: phases across, hosts down, as plain numbers and SVG paths."""

WIDE = 1000.0
ROW = 10.0
# Work that is nearer than this share of the run is drawn as one piece. Nothing is drawn thinner than the other two.
NEAR, THINNEST, THINNEST_FAILED = 0.003, 1.6, 6.0
# With more results than this, those of a host and phase that ended alike are one piece.
MOST_ALONE = 800
# How a row is drawn: with up to so many hosts it is so many pixels high, and every so many hosts have a label.
DENSITY = [(12, 22, 1), (30, 16, 1), (60, 11, 2), (150, 6, 10), (400, 3, 25), (10**9, 2, 100)]
# The height of a label in pixels, in which no other label may be.
LABEL = 13
STATES = ("ok", "changed", "failed", "unreachable")  # from good to bad
MINUTE, MOST_TICKS = 60, 7
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def spoken(seconds: float) -> str:
    """Return a duration as people write it: 0.4 s, 12.3 s, 1 min 05 s, 2 h 03 min."""
    if round(seconds, 1) < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    if minutes < MINUTE:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // MINUTE} h {minutes % MINUTE:02d} min"


def ticks(seconds: float) -> list[dict]:
    """Return up to 8 round moments of a run as [{left: percent, text}]."""
    step = next((step for step in STEPS if seconds / step < MOST_TICKS), STEPS[-1])
    count = int(seconds / step) + 1
    texts = [f"{number * step:g} s" if step * (count - 1) < MINUTE else clock(number * step) for number in range(count)]
    return [{"left": 100 * number * step / seconds, "text": text} for number, text in enumerate(texts)]


def clock(seconds: float) -> str:
    """Return a moment of a long run: 2:30, 1:02:30."""
    minutes, rest = divmod(round(seconds), MINUTE)
    hours, left = divmod(minutes, MINUTE)
    return f"{hours}:{left:02d}:{rest:02d}" if hours else f"{left}:{rest:02d}"


def bands(plays: list[dict], seconds: float) -> list[dict]:
    """Return the phases in time as [{phase, left, width: percent, seconds, shade}]; plays of one are joined."""
    joined: list[dict] = []
    for play in plays:
        if joined and joined[-1]["phase"] == play["phase"]:
            joined[-1]["to"] = play["to"]
        else:
            joined.append({"phase": play["phase"], "from": play["from"], "to": play["to"]})
    return [
        {
            "phase": band["phase"],
            "left": 100 * band["from"] / seconds,
            "width": 100 * (band["to"] - band["from"]) / seconds,
            "seconds": band["to"] - band["from"],
            "shade": number % 2,
        }
        for number, band in enumerate(joined)
    ]


def state_of(result: dict) -> str:
    """Return how a result is drawn: one of ``STATES``."""
    if result["status"] != "ok" and not result["ignored"]:
        return result["status"]
    return "changed" if result["changed"] else "ok"


def worst_of(run: dict) -> dict[str, str]:
    """Return {host: the worst that happened to it}, one of ``STATES``."""
    worst: dict[str, str] = {}
    for result in run["results"]:
        worst[result["host"]] = max(worst.get(result["host"], "ok"), state_of(result), key=STATES.index)
    return worst


def merged(spans: list[tuple[float, float]], gap: float) -> list[list[float]]:
    """Return spans in order, those nearer than a gap as one."""
    joined: list[list[float]] = []
    for began, ended in sorted(spans):
        if joined and began - joined[-1][1] <= gap:
            joined[-1][1] = max(joined[-1][1], ended)
        else:
            joined.append([began, ended])
    return joined


def path(spans: list[list[float]], row: int, seconds: float, thinnest: float = THINNEST) -> str:
    """Return spans of a row as one SVG path."""
    drawn = []
    for began, ended in spans:
        left = WIDE * began / seconds
        width = max(WIDE * (ended - began) / seconds, thinnest)
        left = min(left, WIDE - width)
        drawn.append(f"M{left:.1f} {row * ROW + 1:g}h{width:.1f}v{ROW - 2:g}h-{width:.1f}z")
    return "".join(drawn)


def parts(run: dict) -> list[dict]:
    """Return [{host, phase, state, results}] of a run: each result alone, in a big run those of a phase."""
    alone = len(run["results"]) <= MOST_ALONE
    grouped: dict[tuple, dict] = {}
    for number, result in enumerate(run["results"]):
        phase, state = run["tasks"][result["task"]]["phase"], state_of(result)
        part = {"host": result["host"], "phase": phase, "state": state, "results": []}
        key = (number if alone else phase, result["host"], state)
        grouped.setdefault(key, part)["results"].append(result)
    return list(grouped.values())


def title(run: dict, part: dict) -> str:
    """Return what a piece of the timeline says when it is pointed at."""
    names = list(dict.fromkeys(run["tasks"][result["task"]]["name"] for result in part["results"]))
    told = "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004
    busy = sum(result["to"] - result["from"] for result in part["results"])
    state = "not reached" if part["state"] == "unreachable" else part["state"]
    return f"{part['host']} · {part['phase']} · {state} · {spoken(busy)} · {told}"


def timeline(run: dict) -> dict:
    """Return {height, row, ticks, bands, labels, pieces} of a run (see ``runs.read``).

    ``pieces`` are [{state, d, title}], see ``parts``; ``labels`` [{host, top: percent, state}].
    """
    seconds = max(run["seconds"], 0.001)
    hosts = [host["name"] for host in run["hosts"]]
    _most, pixels, every = next(density for density in DENSITY if len(hosts) <= density[0])
    rows = {host: number for number, host in enumerate(hosts)}
    pieces = []
    for part in parts(run):
        spans = merged([(result["from"], result["to"]) for result in part["results"]], NEAR * seconds)
        row, state = rows[part["host"]], part["state"]
        thinnest = THINNEST if state in ("ok", "changed") else THINNEST_FAILED
        pieces.append({"state": state, "d": path(spans, row, seconds, thinnest), "title": title(run, part)})
    # What is drawn last lies on top.
    pieces.sort(key=lambda piece: STATES.index(piece["state"]))
    return {
        "height": len(hosts) * ROW,
        "row": pixels,
        "ticks": ticks(seconds),
        "bands": bands(run["plays"], seconds),
        "pieces": pieces,
        "labels": labels(hosts, worst_of(run), every, pixels),
    }


def labels(hosts: list[str], worst: dict[str, str], every: int, pixels: int) -> list[dict]:
    """Return the labels of rows: all of them, or so many as fit, of which those of hosts that failed come first."""
    failed = [number for number, host in enumerate(hosts) if worst.get(host) in ("failed", "unreachable")]
    apart = max(-(-LABEL // pixels), 1)
    shown: list[int] = []
    for number in [*failed, *range(0, len(hosts), every)]:
        if all(abs(number - other) >= apart for other in shown):
            shown.append(number)
    return [
        {
            "host": hosts[number],
            "top": 100 * (number + 0.5) / len(hosts),
            "state": worst.get(hosts[number], "ok"),
        }
        for number in sorted(shown)
    ]
