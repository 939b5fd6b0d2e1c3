"""The page ``/status`` of the gateway: the fleet at a glance, one file of HTML that loads nothing and has no script."""

import html
import math

from .glance import LITTLE
from .style import STYLE

AGAIN = 15  # seconds after which a browser loads the page again
INSIDE = "default-src 'none'; style-src 'unsafe-inline'"  # what a page may say of itself
POLICY = INSIDE + "; frame-ancestors 'none'"


def text(value):
    """Return a value as it may stand in HTML."""
    return html.escape(str(value))


def seconds_of(value):
    """Return seconds as a person reads them; a dash without any."""
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def size_of(value):
    """Return bytes as a person reads them."""
    power = min(4, int(math.log(value, 1024)) if value >= 1 else 0)
    return f"{value / 1024**power:.{power // 4}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def bar(share, tone):
    """Return a bar that is filled to a share of 0 to 1."""
    return f'<span class="bar {tone}"><i style="width:{min(100, max(0, share * 100)):.0f}%"></i></span>'


def tile(value, label, tone=""):
    """Return one large number."""
    return f'<li class="tile {tone}"><strong>{text(value)}</strong>{text(label)}</li>'


def worker_card(worker):
    """Return a worker's card."""
    tone = "good" if worker["state"] == "serving" and not worker["faults"] else "bad"
    limit, took = worker["limit"] or 1, seconds_of(worker["seconds"])
    return (
        f'<li class="card {tone}"><div class="head"><b>{text(worker["unit"])}</b>'
        f'<span class="state">{text(worker["word"])}</span></div>'
        f'<p class="quiet">{text(worker["model"])}</p>'
        f'<div class="line"><span>Requests</span><span>{worker["queue"]:.0f} of {worker["limit"]:.0f}</span></div>'
        f"{bar(worker['queue'] / limit, 'full' if worker['queue'] >= limit else 'now')}"
        f'<div class="line"><span>Probe</span><span>{took}</span></div></li>'
    )


def host_section(host):
    """Return a host with its workers, GPUs and disks."""
    parts = [f"<section><h2>{text(host['host'])}</h2>"]
    named = [*host["stacks"], *host["releases"]]
    parts.append(f'<p class="quiet names">{" · ".join(f"<code>{text(name)}</code>" for name in named)}</p>')
    if host["workers"]:
        parts.append(f'<ul class="cards workers">{"".join(map(worker_card, host["workers"]))}</ul>')
    if host["gpus"]:
        parts.append('<ul class="gpus">')
        for gpu in host["gpus"]:
            heat = "–" if gpu["heat"] is None else f"{gpu['heat']:.0f} °C"
            inside = bar(gpu["used"] or 0, "now") if gpu["up"] else '<span class="state">no answer</span>'
            said = f"{gpu['used'] * 100:.0f} % full" if gpu["used"] is not None else ""
            parts.append(
                f'<li class="gpu {"" if gpu["up"] else "bad"}"><div class="line"><b>GPU {text(gpu["gpu"])}</b>'
                f"<span>{heat}</span></div>"
                f'{inside}<p class="quiet">{said}</p></li>'
            )
        parts.append("</ul>")
    if host["disks"]:
        parts.append('<ul class="disks">')
        for disk in host["disks"]:
            tone = "full" if disk["share"] < LITTLE else "then"
            parts.append(
                f'<li><div class="line"><span>Disk of {text(disk["area"])}</span>'
                f"<span>{size_of(disk['free'])} free</span></div>"
                f"{bar(1 - disk['share'], tone)}</li>"
            )
        parts.append("</ul>")
    if not host["workers"] and not host["disks"]:
        parts.append('<p class="missing">This host gives no metrics.</p>')
    return "".join([*parts, "</section>"])


def gateway_line(gateway):
    """Return a gateway's line."""
    days = "–" if gateway["days"] is None else f"{gateway['days']:.0f} days"
    tone = "bad" if gateway["faults"] else "good"
    return (
        f'<li class="card {tone}"><div class="head"><b>{text(gateway["name"])}</b>'
        f'<span class="state">{"answers" if gateway["up"] else "silent"}</span></div>'
        f'<div class="line"><span>One question</span><span>{seconds_of(gateway["seconds"])}</span></div>'
        f'<div class="line"><span>Certificate ends in</span><span>{days}</span></div></li>'
    )


def page(shown, at):
    """Return the page of what ``glance`` returned; ``at`` is a time as a person reads it."""
    whole, planned = shown["serving"], len(shown["workers"])
    tone = "bad" if shown["faults"] else "good"
    pill = "All is well" if not shown["faults"] else f"{len(shown['faults'])} to look at"
    rate = "–" if shown["rate"] is None else f"{shown['rate']:.0f}"
    tiles = [
        tile(f"{whole} / {planned}", "workers serve", "" if whole == planned else "bad"),
        tile(f"{shown['queue']:.0f} / {shown['limit']:.0f}", "requests in workers"),
        tile(f"{shown['requests']:.0f}", "requests answered"),
        tile(f"{shown['failed']:.0f}", "of them failed", "bad" if shown["failed"] else ""),
        tile(f"≤ {seconds_of(shown['first'])}", "to half of the first words"),
        tile(f"≤ {rate}" if shown["rate"] else "–", "tokens per second, half of the answers"),
    ]
    faults = "".join(f"<li>{text(fault)}</li>" for fault in shown["faults"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Fleet</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{INSIDE}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{AGAIN}">'
        f"<style>{STYLE}</style></head><body><header class='top {tone}'>"
        f"<p class='over'><span class='pill'>{pill}</span>"
        f"<span class='quiet'>{text(at)}</span></p>"
        f"<h1>{whole} of {planned} workers serve</h1></header>"
        f"{f'<ul class=faults>{faults}</ul>' if faults else ''}"
        f'<ul class="tiles">{"".join(tiles)}</ul>'
        f'<section><h2>Gateways</h2><ul class="cards">{"".join(map(gateway_line, shown["gateways"]))}</ul></section>'
        f"{''.join(map(host_section, shown['hosts']))}"
        "<footer>Probe: the time in which a worker made two tokens. Numbers of requests"
        " count from the last start of each API server. The page loads itself again every"
        f" {AGAIN} seconds.</footer></body></html>"
    )
