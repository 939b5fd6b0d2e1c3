"""Each fault of a source or a server is refused in one sentence."""

import hashlib
import json
import re

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch

from tests.support.fetching import LARGE, QUICK, SMALL, files_below, git_lfs_source, http_source, refusal
from tests.support.standin_hub import REPOSITORY, commit, pointer_of


def test_an_object_that_the_server_has_not_is_named_before_the_first_byte(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
    del hub.objects[hashlib.sha256(LARGE["sub/b.bin"]).hexdigest()]
    assert re.search(r"sub/b\.bin .*2000000 bytes.* is not on .*404", refusal(source, tmp_path / "dest"))
    assert files_below(tmp_path / "dest") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 5\n", "oid"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize -5\n", "size"),
        (b"version https://git-lfs.github.com/spec/v1\n", "oid"),
    ],
)
def test_a_malformed_pointer_is_refused(hub, tmp_path, text, line):
    url, _identity = hub.repository("model.git", {}, {"a.bin": text})
    said = refusal({"url": url, "revision": "main"}, tmp_path / "dest")
    assert "a.bin" in said and f"valid {line} line" in said


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refused"), (403, "refused"), (404, "not exist"), (410, "not exist"), (418, "HTTP 418")]
)
def test_http_refusals_name_url_and_status(hub, tmp_path, status, words):
    hub.faults = [("a.bin", {"status": status})] * 3
    said = refusal(http_source(hub, ["a.bin"]), tmp_path / "dest")
    assert f"{hub.url}/files/a.bin" in said and words in said and str(status) in said


def test_an_unknown_revision_and_repository_are_named(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
    said = refusal({**source, "revision": "v9"}, tmp_path / "dest")
    assert "revision v9 is not in" in said and "main" in said
    assert "d" * 40 in refusal({**source, "revision": "d" * 40}, tmp_path / "dest")
    assert "is no git repository" in refusal({**source, "url": f"{hub.url}/none.git"}, tmp_path / "dest")
    hubs = {"kind": "hub", "url": REPOSITORY, "endpoint": hub.url}
    assert "at revision v9" in refusal({**hubs, "revision": "v9"}, tmp_path / "dest")
    assert "demo/none" in refusal({**hubs, "url": "demo/none", "revision": "main"}, tmp_path / "dest")


@pytest.mark.parametrize("kind", ["git_lfs", "hub", "http"])
def test_a_refused_connection_is_said(tmp_path, kind):
    source = {"kind": kind, "url": "http://127.0.0.1:9/demo/model", "revision": "main"}
    if kind == "http":
        source["files"] = [{"name": "a", "sha256": "0" * 64}]
    said = refusal(source, tmp_path / "dest")
    assert "127.0.0.1:9/" in said and "(3 attempts)" in said and ("refused" in said or "connect" in said)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/srv/git", "git@host:a/b", "ssh://h/x", "http://h:x/y", "--x"])
def test_only_http_repositories_are_asked(tmp_path, url):
    assert "no http or https URL" in refusal({"url": url, "revision": "main"}, tmp_path / "dest")


def test_a_pinned_sum_that_the_source_contradicts_is_refused(hub, tmp_path):
    source, _identity = git_lfs_source(hub, sha256={"a.bin": "0" * 64})
    assert "a.bin has sha256" in refusal(source, tmp_path / "dest")
    assert "none.bin" in refusal({**source, "sha256": {"none.bin": "0" * 64}}, tmp_path / "dest")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no basic LFS batch"),
        (b'{"objects": [], "transfer": "tus"}', "no basic LFS batch"),
        (b'{"objects": [1, null, {"oid": 3}]}', "is not on"),
        (b" " * ((32 << 20) + 1), "more than"),
    ],
)
def test_a_batch_answer_that_is_none_is_refused(hub, tmp_path, body, words):
    source, _identity = git_lfs_source(hub)
    hub.faults = [("objects/batch", {"body": body})]
    assert words in refusal(source, tmp_path / "dest")


@pytest.mark.parametrize("href", ["file:///etc/passwd", "ftp://x/y", "gopher://", "/objects/x"])
def test_a_link_to_anything_but_http_is_refused(hub, tmp_path, href):
    source, _identity = git_lfs_source(hub)
    entries = [
        {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "actions": {"download": {"href": href}}}
        for data in LARGE.values()
    ]
    hub.faults = [("objects/batch", {"body": json.dumps({"objects": entries}).encode()})]
    assert "no http or https URL" in refusal(source, tmp_path / "dest")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"kind": "ftp"}, "source kind is 'ftp'"),
        ({"url": "http://h/x"}, "wants a revision"),
        ({"kind": "hub", "revision": "main"}, "wants a url"),
        ({"kind": "http", "url": "http://h"}, "wants files"),
        ({"kind": "http", "url": "http://h", "files": ["*.bin"]}, "wanted {name, sha256}"),
        ({"kind": "http", "url": "http://h", "files": [{"name": "a"}]}, "a has sha256 ''"),
        ({"kind": "hub", "url": "a/b/c/d", "revision": "main"}, "no repository of a hub"),
        ({"kind": "path", "url": "/none"}, "/none is no directory"),
    ],
)
def test_a_source_that_is_incomplete_is_refused(tmp_path, source, words):
    assert words in refusal(source, tmp_path / "dest")


def test_a_directory_of_pointers_is_refused_before_anything_is_copied(tmp_path):
    folder = tmp_path / "folder"
    commit(folder, {**SMALL, "a.bin": pointer_of(b"weights")})
    said = refusal({"kind": "path", "url": str(folder)}, tmp_path / "dest")
    assert f"{folder}/a.bin is a git-lfs pointer, not the file itself: run git lfs pull in the source" in said
    assert files_below(tmp_path / "dest") == {}
    fetch({"kind": "path", "url": str(folder), "files": ["!a.bin"]}, str(tmp_path / "dest"), QUICK)
    assert files_below(tmp_path / "dest") == SMALL, "what is not wanted may be a pointer"


def test_a_list_that_names_a_pointer_s_own_sum_is_refused(hub, tmp_path):
    pointer = pointer_of(b"weights")
    hub.files["tokenizer.model"] = pointer
    files = [{"name": "tokenizer.model", "sha256": hashlib.sha256(pointer).hexdigest()}]
    said = refusal({"kind": "http", "url": f"{hub.url}/files", "files": files}, tmp_path / "dest")
    assert "tokenizer.model came as a git-lfs pointer, not as the file itself" in said
    assert files_below(tmp_path / "dest") == {}


def test_a_page_instead_of_a_file_is_called_a_page(hub, tmp_path):
    page = b"<!DOCTYPE html><title>Sign in</title>"
    hub.files["a.bin"] = page
    entry = {"name": "a.bin", "sha256": hashlib.sha256(b"weights").hexdigest()}
    source = {"kind": "http", "url": f"{hub.url}/files", "files": [entry]}
    said = refusal(source, tmp_path / "dest")
    assert "a.bin came twice as a web page (HTML) with sha256" in said and "read what the server says" in said
    html = {"status": 200, "headers": {"Content-Type": "text/html; charset=utf-8"}}
    hub.faults = [("/files/a.bin", html), ("/files/a.bin", html)]
    said = refusal({**source, "files": [{**entry, "size": 7}]}, tmp_path / "dest")
    assert "answered a web page (text/html, 0 bytes), wanted a file of 7: read what it says" in said
