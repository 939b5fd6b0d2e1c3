"""The writer of the services' files: a reader finds the old content or the new one, and a full disk stops nothing."""

import json
import os

import pytest

from services.common.files import replace_json
from services.controller import state_file
from services.controller.worker import SERVING, Worker


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    replace_json(str(path), {"a": 1})
    with pytest.raises(TypeError):
        replace_json(str(path), {"b": object()})
    assert json.loads(path.read_text()) == {"a": 1}

    def killed(*_names):
        raise OSError("killed")

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(OSError, match="killed"):
        replace_json(str(path), {"c": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_the_controller_remembers_its_workers(tmp_path):
    path = str(tmp_path / "controller.json")
    state_file.write(path, {"http://gpu01:21002": Worker(state=SERVING, models=["m"], queue_length=3)})
    (worker,) = state_file.read(path).values()
    assert (worker.state, worker.models, worker.queue_length) == (SERVING, ["m"], 0)


@pytest.mark.parametrize("text", [None, "", "{", '{"http://gpu01:21002": {"state": "serving", "colour": "red"}}'])
def test_a_controller_starts_without_its_file_when_it_is_missing_or_damaged(tmp_path, capsys, text):
    path = tmp_path / "controller.json"
    if text is not None:
        path.write_text(text)
    assert state_file.read(str(path)) == {}
    assert ("can not be read, workers have to register again" in capsys.readouterr().out) == (text is not None)


def test_a_state_that_can_not_be_written_is_logged_and_nothing_more(tmp_path, capsys):
    state_file.write(str(tmp_path / "missing" / "controller.json"), {})
    assert "can not be written" in capsys.readouterr().out
