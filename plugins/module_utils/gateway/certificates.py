"""Make a self-signed certificate with openssl, and make it again when it must be. Python 2.7 and 3.

In its folder are gateway.key (made once), gateway.cnf (what the certificate was asked for with) and gateway.crt.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os

from ..storage.files import remove, write
from .configuration import Refused

KEY = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]


def read(path):
    """Return a file's content as bytes, None when it is not there."""
    if not os.path.exists(path):
        return None
    with open(path, "rb") as stream:
        return stream.read()


def wanting(folder, request, renew_days, run):
    """Return why a certificate has to be made, one clause; '' when the present one stays.

    ``request`` is openssl's configuration (bytes), ``run(arguments)`` returns (code, output as bytes, errors as text).
    """
    own = os.path.join(folder, "gateway")
    if read(own + ".key") is None or read(own + ".crt") is None:
        return "there is none"
    if read(own + ".cnf") != request:
        return "its names change"
    seconds = str(renew_days * 86400)
    code = run(["openssl", "x509", "-noout", "-in", own + ".crt", "-checkend", seconds])[0]
    return "it ends within %d days" % renew_days if code else ""


def make(folder, request, days, run):
    """Make a certificate with the key that is there or with a new one; a killed run leaves no old certificate."""
    own = os.path.join(folder, "gateway")
    if read(own + ".key") is None:
        write(own + ".key", output(run, KEY), mode=0o600)
    remove(own + ".crt")
    write(own + ".cnf", request, mode=0o600)
    made = ["openssl", "req", "-new", "-x509", "-sha256", "-days", str(days), "-config", own + ".cnf"]
    write(own + ".crt", output(run, made + ["-key", own + ".key"]))


def output(run, arguments):
    """Return what a command printed, as bytes; Refused with its own words when it fails."""
    code, printed, said = run(arguments)
    if code:
        raise Refused("%s ended with %d: %s" % (" ".join(arguments[:2]), code, " ".join(said.split())))
    return printed


def pem(certificate, key):
    """Return certificate and key (bytes) as the one file that nginx reads, so that they always belong together."""
    return certificate.strip() + b"\n" + key.strip() + b"\n"
