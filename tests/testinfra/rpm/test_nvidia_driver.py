"""The driver on gpu01, converged and not rebooted; refusals on gpu02; last, a reboot that the operator allowed."""

import threading
import time

import pytest

from testbed.containers import fleet

testinfra_hosts = ["ssh://gpu01"]

ASKED = "nvidia-smi --query-gpu=name,driver_version,persistence_mode --format=csv"


def booted(host):
    return host.check_output("stat --format=%Z /proc/1")


def test_the_driver_and_the_headers_of_the_running_kernel_are_installed(host):
    assert host.check_output("rpm -q --whatprovides nvidia-driver-latest-dkms") == (
        "stand-in-for-nvidia-driver-550.163.01-1.el7.x86_64"
    )
    assert host.run("test -e /lib/modules/$(uname -r)/build/Makefile").rc == 0


def test_nouveau_is_kept_away(host):
    assert (
        "blacklist nouveau\noptions nouveau modeset=0\n"
        in host.file("/etc/modprobe.d/fastchat-no-nouveau.conf").content_string
    )


def test_the_persistence_daemon_waits_for_the_boot(host):
    assert host.service("nvidia-persistenced").is_enabled
    assert not host.service("nvidia-persistenced").is_running


def test_unasked_it_does_not_reboot_but_says_so(host, converge):
    before = booted(host)
    told = converge("gpu01", "--tags=nvidia_driver")["gpu01"]
    assert (told["failed"], told["changed"]) == ([], [])
    assert told["facts"]["nvidia_driver_reboot_required"] is True
    (said,) = told["said"]
    assert said == (
        "gpu01 must be rebooted before its GPUs can be used: the driver does not answer (NVIDIA-SMI has failed because"
        " it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and"
        " running.). Reboot it, or set nvidia_driver_reboot to true, and run again."
    )
    assert booted(host) == before


@pytest.fixture(scope="module")
def refused(converge):
    return converge("driver_refusers", "--tags=nvidia_driver")


def test_r590_is_refused_on_a_v100(refused):
    assert refused["v100_with_branch_590"]["failed"] == [
        "nvidia_driver_branch is 590 and this host has a GPU of the volta generation, whose last branch is R580: set it"
        " to 550 or lower."
    ]


def test_a_kernel_that_would_change_under_the_driver_is_refused(refused, host):
    assert refused["newer_kernel_installed"]["failed"] == [
        f"Kernel {host.check_output('uname -r')} is running and 99.0.0-1.el7.x86_64 is installed, so the next boot"
        " would change the kernel under the driver: reboot into it, or remove it, and run again."
    ]


def test_a_refusal_changes_nothing(refused):
    assert [told["changed"] for told in refused.values()] == [[], []]


def test_with_the_operators_word_it_reboots_and_goes_on(host, converge):
    """podman does not restart a container that reboots; here a thread does, as a machine's firmware would."""
    name, done = f"{fleet.prefix(converge.fleet)}-gpu01", threading.Event()
    before = booted(host)

    def firmware():
        while not done.wait(0.5):
            if fleet.podman("inspect", "--format", "{{.State.Status}}", name, check=False) == "exited":
                fleet.podman("start", name)
                return

    thread = threading.Thread(target=firmware)
    thread.start()
    try:
        told = converge("gpu01", "--tags=nvidia_driver", nvidia_driver_reboot=True)["gpu01"]
    finally:
        done.set()
        thread.join()
    assert told["failed"] == []
    assert "Reboot | Reboot now" in told["changed"]
    assert told["facts"]["nvidia_driver_reboot_required"] is False
    deadline = time.monotonic() + 30
    while fleet.podman("exec", name, "systemctl", "is-active", "nvidia-persistenced", check=False) != "active":
        assert time.monotonic() < deadline, "the persistence daemon does not run after the reboot"
        time.sleep(0.5)
    assert fleet.podman("exec", name, "stat", "--format=%Z", "/proc/1") != before
    assert "Tesla V100-SXM2-32GB, 550.163.01" in fleet.podman("exec", name, *ASKED.split())
