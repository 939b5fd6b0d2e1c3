"""Act as the user who sends or receives, and give that user its directories and files. Python >= 3.9."""

import contextlib
import os
import pwd
import shutil

from ..storage.files import make_folders, write


def identity(user):
    """Return the arguments with which subprocess becomes a user; none when we are that user or may not change."""
    if not user or os.geteuid() or pwd.getpwnam(user).pw_uid == os.geteuid():
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


@contextlib.contextmanager
def acting_as(user):
    """Let all threads of this process read, write and start programs as a user for a while, when we are root."""
    if not identity(user):
        yield
        return
    account, groups = pwd.getpwnam(user), os.getgroups()
    os.setgroups([])
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def give_to(folder, user):
    """Give a directory back to the user who receives, after an interrupted run had sealed it."""
    if not identity(user):
        return
    account = pwd.getpwnam(user)
    for parent, folders, files in os.walk(folder):
        for name in [".", *folders, *files]:
            os.chown(os.path.join(parent, name), account.pw_uid, account.pw_gid, follow_symlinks=False)


def make_folder(folder, user=None):
    """Make a directory, this user's when one is given, and return its path."""
    make_folders(folder)
    if user and not os.geteuid():
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    return folder


def write_for_group(path, content, group=None):
    """Write a small file (bytes) that only its owner and this user's group may read, and return its path."""
    write(path, content, mode=0o640)
    if group and not os.geteuid():
        shutil.chown(path, 0, pwd.getpwnam(group).pw_gid)
    return path
