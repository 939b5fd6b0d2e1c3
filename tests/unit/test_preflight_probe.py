import os
import socket

import pytest
from preflight_probe import address_of, driver_of, free_mb, gpus, listeners, used_mb


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


def test_the_driver_s_version_as_the_kernel_module_writes_it():
    # The proprietary module's line, then the open module's, as NVIDIA's drivers print them.
    assert (
        driver_of("NVRM version: NVIDIA UNIX x86_64 Kernel Module  440.33.01  Wed Nov 13 00:00:22 UTC 2019")
        == "440.33.01"
    )
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build"
    assert driver_of(line) == "550.54.14"
    assert driver_of("") == ""


def test_a_host_without_the_module_has_no_gpu(tmp_path):
    assert gpus(str(tmp_path)) == {"driver": "", "count": 0}
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  x")
    for card in ("0000:1a:00.0", "0000:1b:00.0"):
        (tmp_path / "gpus" / card).mkdir(parents=True)
    assert gpus(str(tmp_path)) == {"driver": "535.104.05", "count": 2}
