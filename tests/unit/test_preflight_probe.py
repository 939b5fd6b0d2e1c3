import os
import platform
import socket
import sys

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.host.probe import (
    address_of,
    free_mb,
    glibc,
    listeners,
    python_answer,
    used_mb,
)


def test_a_listening_socket_is_found_with_its_owner():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        with open("/proc/net/tcp") as stream:
            assert port not in listeners(stream.read())
        server.listen()
        with open("/proc/net/tcp") as stream:
            assert listeners(stream.read())[port] == os.getuid()


def test_names():
    assert address_of("localhost") in ("127.0.0.1", "::1")
    assert address_of("no-such-host.invalid") == ""
    assert address_of("a" * 70) == ""  # longer than a label may be


def test_what_a_cut_run_left_is_counted(tmp_path):
    (tmp_path / "part").write_bytes(b"x" * (3 << 20))
    os.sync()  # a delayed allocation has no blocks yet
    assert used_mb(str(tmp_path)) == pytest.approx(3, abs=1)
    assert used_mb(str(tmp_path / "absent")) == 0


def test_free_space_of_a_directory_that_does_not_exist_yet_is_its_parents(tmp_path):
    assert free_mb(str(tmp_path / "a" / "b"))[0] == free_mb(str(tmp_path))[0]


def test_the_c_library_and_the_interpreters_versions(tmp_path):
    assert glibc() == platform.libc_ver()[1]
    assert python_answer(sys.executable) == (platform.python_version(), "")
    assert python_answer(str(tmp_path / "absent")) == ("", "")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 3.11.2; exit 1\n")
    broken.chmod(0o755)
    assert python_answer(str(broken)) == ("", "it ends with 1")  # it can not load its libraries, say


def test_a_python_that_is_there_and_does_not_run_says_why(tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho libpython3.9.so: cannot open shared object file >&2; exit 127\n")
    assert python_answer(str(broken)) == ("", "Permission denied")
    broken.chmod(0o755)
    assert python_answer(str(broken)) == ("", "libpython3.9.so: cannot open shared object file")
    broken.write_text("#!/bin/sh\nexit 3\n")
    assert python_answer(str(broken)) == ("", "it ends with 3")
    broken.write_text("#!/nowhere/sh\n")
    assert python_answer(str(broken)) == ("", "No such file or directory")


def test_a_python_is_started_once(tmp_path):
    counting = tmp_path / "python"
    counting.write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\nexit 3\n")
    counting.chmod(0o755)
    assert python_answer(str(counting)) == ("", "it ends with 3")
    assert (tmp_path / "starts").read_text() == "started\n"
