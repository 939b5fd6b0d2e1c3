"""Recordings of nvidia-smi in which one line was changed or added: what no public recording has."""

from tests.support.plans import RECORDED


def recorded(name):
    return (RECORDED / name).read_text()


def place_of(lines, card, *keys):
    """Return the number of the line of a card's section that one key after the other leads to."""
    place = [number for number, line in enumerate(lines) if line.startswith("GPU ")][card]
    for key in keys:
        place += 1 + next(n for n, line in enumerate(lines[place + 1 :]) if line.split(" : ")[0].strip() == key)
    return place


def changed(text, card, keys, value):
    """Return a recording in which one value of a card is another; a key behind the last is a line of its section."""
    lines = text.split("\n")
    place = place_of(lines, card, *keys)
    head, colon, _value = lines[place].partition(" :")
    assert colon, lines[place]
    lines[place] = f"{head}{colon} {value}"
    return "\n".join(lines)


def added(text, card, after, *new):
    """Return a recording in which lines were added to a card, behind the line that keys lead to."""
    lines = text.split("\n")
    place = place_of(lines, card, *after)
    return "\n".join([*lines[: place + 1], *new, *lines[place + 1 :]])


def host_with(tmp_path, cards=(), module=""):
    """Return a root directory with a PCI bus and, if there is one, a loaded kernel module."""
    for address, vendor, kind, driver in cards:
        folder = tmp_path / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(vendor + "\n")
        (folder / "class").write_text(kind + "\n")
        if driver:
            (tmp_path / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
            (folder / "driver").symlink_to(tmp_path / "sys/bus/pci/drivers" / driver)
    if module:
        (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
        (tmp_path / "proc/driver/nvidia/version").write_text(
            f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {module}  Wed Nov 13 00:00:22 UTC 2019"
        )
    return str(tmp_path)
