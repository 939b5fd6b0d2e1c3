"""After the fleet's life in test_site.py: what a run with nothing to change sends to each host."""

import json

from driver import FLEET, HOSTS

from testbed import round_trips
from testbed.containers import runs

KINDS = {"ctl01": "controllers", "gpu01": "workers", "gpu02": "workers"}


def test_a_run_with_nothing_to_change_stays_within_its_round_trips(site, tmp_path):
    output = tmp_path / "round_trips.json"
    runner = runs.run(FLEET, environment=round_trips.environment(output), quiet=True)
    assert runner.rc == 0, runs.words(runner)
    assert runs.changed(runner) == []
    counts = json.loads(output.read_text())["hosts"]
    assert sorted(KINDS) == HOSTS
    assert round_trips.over_budget(counts, KINDS, round_trips.budget()) == []
