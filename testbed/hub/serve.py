"""Serve git repositories (dulwich) and their LFS objects (giftless) over HTTP: ``serve.py HUB``."""

import secrets
import sys
from pathlib import Path

import waitress
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain
from giftless.app import init_app
from giftless.auth import authentication
from giftless.storage.local_storage import LocalStorage
from werkzeug.wsgi import FileWrapper

PORT = 8080
HERE = "serve" if __name__ == "__main__" else __name__  # giftless imports by name


class BlockStorage(LocalStorage):
    """giftless's own storage, read in blocks: a binary file iterates by lines, of a few hundred bytes each."""

    def get(self, prefix: str, oid: str) -> FileWrapper:
        """Return the object as an iterable of 1 MiB blocks."""
        return FileWrapper(super().get(prefix, oid), 1 << 20)


def application(hub: Path):
    """Return one WSGI application for both protocols; LFS lives below ``<repository>.git/info/lfs/``."""
    repositories = {f"/demo/{path.name}": Repo(str(path)) for path in (hub / "git" / "demo").iterdir()}
    git = make_wsgi_chain(DictBackend(repositories))
    options = {
        "storage_class": f"{HERE}:BlockStorage",
        "storage_options": {"path": str(hub / "lfs")},
    }
    storage = {"basic": {"options": options}}
    signing = {"options": {"private_key": secrets.token_hex(32), "default_lifetime": 3600}}
    lfs = init_app(
        additional_config={
            "LEGACY_ENDPOINTS": False,
            "TRANSFER_ADAPTERS": storage,
            "PRE_AUTHORIZED_ACTION_PROVIDER": signing,
        }
    )
    # giftless does this at the first request, and two that come at once get in each other's way: objects answer 403.
    with lfs.app_context():
        authentication.init_authenticators()

    def dispatch(environ, start_response):
        chosen = lfs if ".git/info/lfs/" in environ["PATH_INFO"] else git
        return chosen(environ, start_response)

    return dispatch


if __name__ == "__main__":
    waitress.serve(application(Path(sys.argv[1])), listen=f"*:{PORT}", threads=8)  # of IPv4 and IPv6
