"""Decide whether a host makes its release, receives it, or receives only the damaged files. Pure."""


def makes_release(distribute, builder, host):
    """Return whether a host makes the release itself. A builder always does.

    ``distribute`` is each, p2p, http or rsync; ``builder`` the name of the host that makes it for others, or ''.
    """
    return distribute == "each" or builder in ("", host)


def is_published(release, repaired):
    """Return whether a release is current: it was there, or its damaged files were repaired.

    ``release`` is what weights_release says of it, ``repaired`` what weights_repair said; {} when it did not run.
    """
    return bool(release["published"] or repaired.get("repaired", False))


def receive_plan(manifest, release, distribute, url):
    """Return {repairs, manifest, method, url}: what a host receives of the builder's release, and how.

    ``manifest`` is the builder's, {} when it has no release yet; ``release`` is what weights_release says of the same
    release on this host; ``distribute`` (p2p, http or rsync) and ``url`` ('' for the builder's own) are the
    inventory's. When only files of it are damaged here, ``repairs`` is true and the plan's manifest lists those files
    alone; they never come by a swarm. ``url`` is '' where the builder is to be asked.
    """
    repairs = bool(release["damaged"]) and release["files"] == manifest.get("files")
    if repairs:
        manifest = dict(manifest, files={name: manifest["files"][name] for name in release["damaged"]})
    method = "http" if repairs and distribute == "p2p" else distribute
    return {"repairs": repairs, "manifest": manifest, "method": method, "url": url if method == distribute else ""}


def named_sources(sources):
    """Return {name: source} of a model as the list that the module ``weights_fetch`` takes, each with its name."""
    return [dict(source, name=name) for name, source in sorted(sources.items())]
