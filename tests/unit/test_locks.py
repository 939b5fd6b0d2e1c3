"""Each lock still matches its inputs. No network is needed."""

import re

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from testbed import locks
from testbed.paths import CLONE, LOCKS
from tests.support.sentences import no_faults

WANTED = {one.lock: one for one in locks.wanted()}
EACH = pytest.mark.parametrize("name", sorted(WANTED))


def pinned(name):
    path = LOCKS / name
    if not path.exists():
        no_faults([f"files/locks/{name} is not there: python -m testbed.locks {path.stem}"])
    return {canonicalize_name(pin.requirement.split("==")[0]): pin for pin in locks.pins(path.read_text())}


def unmet(lines, pins, python):
    """Return the requirements that no pin satisfies."""
    found = []
    for line in lines:
        requirement = Requirement(line)
        environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None or not requirement.specifier.contains(pin.requirement.split("==")[1], prereleases=True):
            found.append(line)
    return found


def test_every_lock_has_inputs_and_every_input_a_lock():
    assert {path.stem for path in LOCKS.glob("*.txt")} == set(WANTED)
    assert {path.stem for path in LOCKS.glob("*.in")} == set(WANTED) - {"control"}


@EACH
def test_a_lock_was_made_from_its_inputs(name):
    recorded = yaml.safe_load(locks.RECORD.read_text())
    assert recorded.get(name) == WANTED[name].digest(), f"run: make locks, or python -m testbed.locks {name}"


@EACH
def test_every_requirement_is_met_by_a_pin(name):
    lines = [line for line in WANTED[name].lines() if not line.startswith("-")]
    assert lines
    assert unmet(lines, pinned(f"{name}.txt"), WANTED[name].python) == []


@EACH
def test_every_pin_is_exact_hashed_and_asked_for(name):
    pins = pinned(f"{name}.txt")
    for own, pin in pins.items():
        assert re.fullmatch(r"[\w.-]+==[\w.+!]+", pin.requirement), pin
        assert Version(pin.requirement.split("==")[1])
        assert pin.hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in pin.hashes), pin
        assert pin.via, pin
        for origin in pin.via:
            known = re.match(r"-[rc] files/locks/|fastchat-fleet ", origin)
            assert known or (canonicalize_name(origin) in pins and canonicalize_name(origin) != own), (pin, origin)


def test_two_locks_of_one_stack_agree_where_one_is_bound_to_the_other():
    engine, cpu = pinned("engine.txt"), pinned("cpu.txt")
    assert {own: pin.requirement for own, pin in engine.items() if own in cpu} == {
        own: cpu[own].requirement for own in engine if own in cpu
    }


def test_an_edit_is_noticed(monkeypatch, tmp_path):
    one = WANTED["cpu"]
    before, lines = one.digest(), (CLONE / one.source).read_text()
    (tmp_path / "cpu.in").write_text("# another comment\n" + lines)
    monkeypatch.setattr(locks, "CLONE", tmp_path)
    one = locks.Wanted(one.lock, "cpu.in", one.python, one.platform, one.extra_index)
    assert one.digest() == before, "a comment is no input"
    (tmp_path / "cpu.in").write_text(lines.replace("fschat[model_worker]==0.2.36", "fschat[model_worker]==0.2.35"))
    assert one.digest() != before
    assert unmet(one.lines(), pinned("cpu.txt"), "3.11") == ["fschat[model_worker]==0.2.35"]
    (tmp_path / "cpu.in").write_text(lines + "a-package-that-nobody-pinned\n")
    assert unmet(one.lines(), pinned("cpu.txt"), "3.11") == ["a-package-that-nobody-pinned"]
    monkeypatch.undo()
    assert locks.Wanted("cpu", WANTED["cpu"].source, "3.12", one.platform, one.extra_index).digest() != before
