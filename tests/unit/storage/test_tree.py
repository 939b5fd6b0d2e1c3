"""A list of files, links and directories is compared with a host, and only what differs is written."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.storage import tree

from testbed.paths import CLONE, IMPORTS


def entries(folder):
    return [
        {"path": f"{folder}/etc", "state": "directory", "mode": "0750"},
        {"path": f"{folder}/etc/a.conf", "content": "a=1\n", "mode": "0640"},
        {"path": f"{folder}/etc/key", "content": "hunter2\n", "mode": "0600", "secret": True},
        {"path": f"{folder}/current", "state": "link", "target": "etc"},
        {"path": f"{folder}/gone", "state": "absent"},
    ]


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_what_differs_is_written_once_and_named(tmp_path):
    old = os.umask(0o077)
    try:
        found = tree.in_place(entries(tmp_path))
    finally:
        os.umask(old)
    assert [(one["what"], Path(one["path"]).name) for one in found] == [
        ("created", "etc"),
        ("written", "a.conf"),
        ("written", "key"),
        ("linked", "current"),
    ]
    assert [mode(tmp_path / name) for name in ("etc", "etc/a.conf", "etc/key")] == [0o750, 0o640, 0o600]
    assert (tmp_path / "current/a.conf").read_text() == "a=1\n"
    assert tree.in_place(entries(tmp_path)) == []
    assert sorted(path.name for path in (tmp_path / "etc").iterdir()) == ["a.conf", "key"], "a piece was left behind"


def test_a_rehearsal_says_the_same_and_changes_nothing(tmp_path):
    (tmp_path / "gone").mkdir()
    said = tree.in_place(entries(tmp_path), rehearse=True)
    assert [path.name for path in tmp_path.iterdir()] == ["gone"]
    assert said == tree.in_place(entries(tmp_path))
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda top: (top / "etc/a.conf").write_text("a=2\n"), "written"),
        (lambda top: (top / "etc/a.conf").chmod(0o644), "restricted"),
        (lambda top: (top / "etc/a.conf").unlink(), "written"),
        (lambda top: ((top / "current").unlink(), (top / "current").symlink_to("other")), "linked"),
        (lambda top: (top / "gone").write_text("x"), "removed"),
        (lambda top: ((top / "etc/a.conf").rename(top / "b"), (top / "etc/a.conf").symlink_to("../b")), "written"),
    ],
)
def test_one_damage_is_one_change(tmp_path, damage, what):
    tree.in_place(entries(tmp_path))
    damage(tmp_path)
    (one,) = tree.in_place(entries(tmp_path))
    assert one["what"] == what
    assert tree.in_place(entries(tmp_path)) == []
    assert not (tmp_path / "etc/a.conf").is_symlink(), "it was written through a link"


@pytest.mark.parametrize(
    ("path", "mine"),
    [("current", "directory"), ("current", "file"), ("etc/a.conf", "directory"), ("etc", "file"), ("etc", "link")],
)
def test_what_is_somebody_s_own_is_not_replaced_and_nothing_is_written(tmp_path, path, mine):
    place = tmp_path / path
    place.parent.mkdir(exist_ok=True)
    if mine == "directory":
        place.mkdir()
        (place / "work").write_text("of a day")
    elif mine == "file":
        place.write_text("of a day")
    else:
        place.symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    for rehearse in (True, False):
        with pytest.raises(OSError, match=rf"{place} is no \w+ \(it is: {mine}\), and is not replaced: move it away\."):
            tree.in_place(entries(tmp_path), rehearse)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_directory_that_is_a_link_to_another_disk_stays_where_it_is(tmp_path):
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "disk/kept").write_text("x")
    (tmp_path / "etc").symlink_to("disk")
    found = tree.in_place(entries(tmp_path))
    assert [one["what"] for one in found] == ["restricted", "written", "written", "linked"]
    assert os.readlink(tmp_path / "etc") == "disk" and mode(tmp_path / "disk") == 0o750
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["a.conf", "kept", "key"]
    assert tree.in_place(entries(tmp_path)) == []


def test_a_secret_is_in_no_difference_and_a_mode_is_said_in_digits(tmp_path):
    first = tree.in_place(entries(tmp_path))
    (tmp_path / "etc/key").write_text("letmein\n")
    (tmp_path / "etc/a.conf").chmod(0o604)
    second = tree.in_place(entries(tmp_path))
    assert "hunter2" not in json.dumps(first + second) and "letmein" not in json.dumps(first + second)
    assert (second[0]["before"], second[0]["after"]) == ("mode: 0604\n", "mode: 0640\n")


def test_an_owner_that_is_not_there_yet_is_a_change_to_rehearse(tmp_path):
    entry = {"path": f"{tmp_path}/a", "content": "", "owner": "nobody-of-this-name", "mode": "0644"}
    (tmp_path / "a").write_text("")
    assert tree.in_place([entry], rehearse=True)[0]["what"] == "restricted"
    with pytest.raises(KeyError):
        tree.in_place([entry])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"path": "a", "content": ""}, "a has no absolute path."),
        ({"path": "/a"}, "/a is a file and has no content."),
        ({"path": "/a", "state": "link"}, "/a is a link and has no target."),
        ({"path": "/a", "state": "dir"}, "/a has the state dir, wanted one of file, directory, link, absent."),
        ({"content": ""}, "An entry has no absolute path."),
    ],
)
def test_a_wrong_entry_is_refused_in_a_sentence(entry, said):
    assert tree.faults_of(entry) == [said]


def test_a_kill_at_any_system_call_leaves_old_or_new_content_and_the_next_run_finishes(tmp_path):
    """The writer is ended before its nth change to the file system, for every n."""
    script = f"""
import os, sys
from ansible_collections.fastchat.fleet.plugins.module_utils.storage import tree
left = int(sys.argv[1])
def counted(real):
    def call(*args, **more):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return real(*args, **more)
    return call
for name in ("open", "write", "fchmod", "fsync", "rename", "chmod", "mkdir", "symlink", "remove", "unlink", "rmdir"):
    setattr(os, name, counted(getattr(os, name)))
tree.in_place({entries(tmp_path)!r})
"""
    tree.in_place(entries(tmp_path))
    for step in range(200):
        (tmp_path / "etc/a.conf").write_text("old\n")
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to("before")
        done = subprocess.run(
            [sys.executable, "-c", script, str(step)], check=False, env={**os.environ, "PYTHONPATH": IMPORTS}
        )
        assert (tmp_path / "etc/a.conf").read_text() in ("old\n", "a=1\n")
        assert os.readlink(tmp_path / "current") in ("before", "etc")
        tree.in_place(entries(tmp_path))
        assert tree.in_place(entries(tmp_path)) == []
        if done.returncode == 0:
            break
    assert done.returncode == 0 and step > 5


def play(folder, task, *arguments):
    """Run one task on this machine; return the process."""
    plays = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
    plays[0]["vars"] = {"ansible_python_interpreter": sys.executable, "who": "world"}
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(folder / "play.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "default"
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, env=environment)


def test_templates_are_rendered_and_files_read_on_the_control_node(tmp_path):
    (tmp_path / "t.j2").write_text("{% if true %}\nhello {{ who }} {{ extra }}\n{% endif %}\n")
    (tmp_path / "plain").write_text("{{ not a template }}\n")
    files = [
        {"path": f"{tmp_path}/out/t", "template": "t.j2", "vars": {"extra": "x"}, "mode": "0600"},
        {"path": f"{tmp_path}/out/p", "src": f"{tmp_path}/plain"},
    ]
    task = {"fastchat.fleet.host_files": {"files": files}}
    rehearsed = play(tmp_path, task, "--check", "--diff")
    assert rehearsed.returncode == 0 and "+hello world x" in rehearsed.stdout, rehearsed.stdout
    assert not (tmp_path / "out").exists()
    done = play(tmp_path, task)
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout
    assert (tmp_path / "out/t").read_text() == "hello world x\n"
    assert (tmp_path / "out/p").read_text() == "{{ not a template }}\n"
    assert "changed=0" in play(tmp_path, task).stdout


def test_what_a_command_does_not_accept_is_not_written(tmp_path):
    (tmp_path / "a").write_text("old\n")
    wanted = {"files": [{"path": f"{tmp_path}/a", "content": "bad\n"}]}
    for command, words in ((["/bin/grep", "-q", "good", "%s"], "/bin/grep refused"), (["/no/such", "%s"], "changed=1")):
        done = play(tmp_path, {"fastchat.fleet.host_files": {**wanted, "validate": {f"{tmp_path}/a": command}}})
        assert words in done.stdout, done.stdout
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "play.yml"]
    assert (tmp_path / "a").read_text() == "bad\n"


def test_a_content_in_bytes_as_python_2_hands_it_over_is_the_same_text(tmp_path):
    entry = {"path": f"{tmp_path}/motd", "content": "Grüße … 你好\n"}
    as_bytes = dict(entry, content=entry["content"].encode())
    assert [one["after"] for one in tree.in_place([as_bytes])] == [entry["content"]]
    assert tree.in_place([entry]) == tree.in_place([as_bytes]) == []
