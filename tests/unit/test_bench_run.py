"""The tables and the plot of bench/run.py, over made-up measurements; its fleets of N hosts."""

from xml.etree import ElementTree

import pytest
import yaml

from bench import run, run_hosts, run_plot
from testbed.paths import CLONE


def one(size, contender, seconds, **more):
    phases = {"Preflight": seconds * 0.25, "Services": seconds * 0.7, "Start and end": seconds * 0.05}
    found = {"generation": 9.0, "phases": phases, "round_trips": {"ctl01": 30, "gpu01": 41, "(control node)": 99}}
    return {"size": size, "contender": contender, "seconds": seconds, "load": 1.0, **found, **more}


RECORD = {
    "commits": ["7a009b2", "."],
    "sizes": [3, 10],
    "runs": [
        one(3, "7a009b2", 80.0, round_trips={"gpu01": 95}),
        one(3, ".", 10.0),
        {"size": 3, "contender": "pyinfra", "seconds": 12.0, "load": 1.0, "checked": {"file": 90}},
        one(3, ".", 14.0),
        one(3, ".", 12.0),
    ],
    "left_out": ["10 hosts: 900 MiB of memory are available, wanted 6400 for 7 more hosts."],
}


def test_the_table_says_seconds_ratio_generation_and_round_trips():
    lines = run.tables(RECORD)
    assert "| 3 | 7a009b2 | 80 | 9 | 6.67 | 95 | 1 |" in lines
    assert "| 3 | this commit | 12 (10 - 14) | 9 (9 - 9) | 1.00 | 41 | 1 (1 - 1) |" in lines
    assert "| 3 | pyinfra | 12 | - | 1.00 | - | 1 |" in lines
    assert "| 3 hosts, this commit | 3.0 | 8.4 | 0.6 |" in lines
    assert lines[-1].startswith("Not measured: 10 hosts: 900 MiB")


def test_only_verify_generates():
    steps = [{"phase": phase, "task": "Ask | Ask through the API", "seconds": 1} for phase in ("Preflight", "Verify")]
    assert run.generating(steps) == steps[1:]
    assert run.generating([{"phase": "Verify", "task": "Verdict | Say it", "seconds": 1}]) == []


def test_the_plot_has_a_bar_for_each_contender_and_a_piece_for_each_phase(tmp_path):
    run_plot.draw(RECORD["runs"], tmp_path / "plot.svg")
    drawn = ElementTree.parse(tmp_path / "plot.svg").getroot()  # noqa: S314  (we wrote it)
    titles = [title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert "3 hosts, 7a009b2: Services, 56.0 s" in titles
    assert "3 hosts, pyinfra: whole run, 12.0 s" in titles
    assert len(titles) == 3 + 3 + 1
    right = [float(bar.get("x", 0)) + float(bar.get("width")) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert max(right) <= run_plot.WIDTH


@pytest.mark.parametrize(("size", "workers"), [(1, ["all01"]), (3, ["gpu01", "gpu02"])])
def test_a_fleet_has_as_many_hosts_as_were_asked_for(size, workers):
    assert len(run_hosts.names_of(size)) == size
    assert run_hosts.hosts_of(size)["workers"] == workers


def test_copies_have_addresses_of_their_own():
    copies = [host for host in run_hosts.names_of(20) if host not in ("ctl01", "gpu01", "gpu02")]
    addresses = {run_hosts.last_byte(host) for host in copies} | {run_hosts.last_byte("all01")}
    demo = {10 + sum(host.encode()) % 200 for host in ("ctl01", "gpu01", "gpu02", "hub")}
    assert len(addresses) == len(copies) + 1 and not addresses & demo
    assert max(addresses) < 255


def test_the_inventory_of_a_size_has_the_demos_variables(tmp_path):
    (tmp_path / "inventory").symlink_to(CLONE / "inventory")
    folder = run_hosts.inventory(tmp_path, "bench", 3)
    groups = yaml.safe_load((folder / "hosts.yml").read_text())["all"]["children"]
    assert list(groups["workers"]["hosts"]) == ["gpu01", "gpu02"]
    assert list(groups["gateways"]["hosts"]) == list(groups["controllers"]["hosts"]) == ["ctl01"]
    assert (folder / "group_vars" / "all.yml").read_text() == (CLONE / "inventory/demo/group_vars/all.yml").read_text()
