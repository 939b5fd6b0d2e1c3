"""The alerts with the limits of the role: ``promtool test rules`` over stories in which they fire and are gone."""

from pathlib import Path

from ansible.template import Templar

from testbed.paths import CLONE
from tests.support.rendering import Fleet, tasks_of

STORIES = Path(__file__).with_name("rules.yml")


def alerts():
    """Return the rules as a monitor of the example inventory has them."""
    fleet = Fleet(CLONE / "inventory" / "example").join("monitors", "ctl01.example.com")
    (play,) = [play for play in fleet.plays("monitoring.yml") if "monitors" in play.hosts]
    task = next(
        task for task in tasks_of(play.compile()) if task._role and task._role.get_name() == "fastchat_monitoring"
    )
    variables = fleet.variables.get_vars(play=play, host=fleet.inventory.get_host("ctl01.example.com"), task=task)
    variables["ansible_search_path"] = task.get_search_path()
    return Templar(loader=fleet.loader, variables=variables).template("{{ __fastchat_monitoring_rules }}")


def test_each_alert_fires_in_its_story_and_not_for_what_looks_like_it(site):
    site.on("ctl01", "sh", "-c", "cat > /root/alerts.yml", stdin=alerts())
    assert "12 rules found" in site.on("ctl01", "sh", "-c", "promtool check rules /root/alerts.yml 2>&1")
    stories = STORIES.read_text().replace("[ALERTS]", "[/root/alerts.yml]")
    site.on("ctl01", "sh", "-c", "cat > /root/stories.yml", stdin=stories)
    assert "SUCCESS" in site.on("ctl01", "sh", "-c", "promtool test rules /root/stories.yml 2>&1")
