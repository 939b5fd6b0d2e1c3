"""What files take on the disk."""

import os


def bytes_below(folder):
    """Return the bytes of all blocks allocated below a folder; a file with several names counts once."""
    blocks = {}
    for parent, _folders, names in os.walk(folder):
        for name in names:
            try:
                here = os.lstat(os.path.join(parent, name))
            except OSError:  # a file that went away while we looked
                continue
            blocks[here.st_dev, here.st_ino] = here.st_blocks * 512
    return sum(blocks.values())
