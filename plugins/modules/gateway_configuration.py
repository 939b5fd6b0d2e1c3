#!/usr/bin/python
"""Give the gateway its certificate and its configuration, once nginx has accepted them."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: gateway_configuration
short_description: Give the gateway its certificate and its configuration, once nginx has accepted them
description:
  - Makes the directories, writes the configuration beside the current one, lets nginx test it, and flips the link
    C(current). When nginx refuses it, nothing changes. No copy with keys is left in either case.
  - Without a certificate a self-signed one is made, and made again before it ends or when its names change.
  - Check mode and diff are supported; of the keys, a diff shows only whose they are.
options:
  folder: {description: Where configurations are., type: path, default: /etc/fastchat-gateway}
  state:
    description: Where nginx keeps bodies, and where certificate.pem is put.
    type: path
    default: /var/lib/fastchat-gateway
  serving:
    description: The file in which the unit notes what it serves.
    type: path
    default: /run/fastchat-gateway/serving
  nginx: {description: The program that tests a configuration., type: path, default: /usr/sbin/nginx}
  user:
    description: The user that serves, and its group; empty leaves owners as they are.
    type: str
    default: fastchat-gateway
  configuration: {description: The text of nginx.conf., type: str, required: true}
  keys: {description: The text of keys.conf., type: str, required: true}
  certificate: {description: A certificate with its chain (PEM)., type: str, default: ''}
  certificate_key: {description: Its private key (PEM)., type: str, default: ''}
  certificate_path: {description: 'The certificate, where it is on the host.', type: str, default: ''}
  certificate_key_path: {description: 'Its private key, on the host.', type: str, default: ''}
  request: {description: 'For a self-signed one: the text of a configuration for openssl req.', type: str, default: ''}
  days: {description: Days for which a self-signed one is valid., type: int, default: 365}
  renew_days: {description: Days before it ends from which it is made again., type: int, default: 30}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Take over a configuration
  fastchat.fleet.gateway_configuration:
    configuration: "{{ lookup('template', 'nginx.conf.j2') }}"
    keys: "{{ lookup('template', 'keys.conf.j2') }}"
    request: "{{ lookup('template', 'self-signed.cnf.j2') }}"
"""
RETURN = r"""
digest:
  description: The name of the current configuration, empty where check mode can not know it.
  type: str
  returned: always
serving:
  description: The name of the one that nginx was last told to read, empty when it does not run.
  type: str
  returned: always
"""

import grp
import os
import pwd

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible_collections.fastchat.fleet.plugins.module_utils.gateway import certificates
from ansible_collections.fastchat.fleet.plugins.module_utils.gateway.configuration import (
    KEYS,
    TLS,
    Refused,
    current_digest,
    current_files,
    difference,
    digest_of,
    left_over,
    remove_trees,
    take_over,
    words_of,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.files import write
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.tree import in_place


def refuse_without_user(name):
    """Refuse when the user that serves, or its group, is absent; check mode makes neither, and does not ask."""
    try:
        pwd.getpwnam(name)
        grp.getgrnam(name)
    except KeyError:
        raise Refused("The host has no user and group %s: create both first." % name)


def folders_of(params):
    """Return the directories, as entries of ``storage/tree.py``."""
    user = params["user"]
    root = "root" if user else ""
    wanted = [
        (params["folder"], "0750", root, user),
        (os.path.join(params["folder"], "self-signed"), "0700", root, root),
        (params["state"], "0755", user, user),
    ]
    return [
        {"path": path, "state": "directory", "mode": mode, "owner": owner, "group": group}
        for path, mode, owner, group in wanted
    ]


def provide_certificate(module):
    """Return (certificate, key, why one is made) as bytes and a clause; None for both where check mode makes none."""
    params = module.params

    def run(arguments):
        code, printed, said = module.run_command(arguments, encoding=None)
        return code, printed, to_text(said)

    if params["certificate"]:
        return to_bytes(params["certificate"]), to_bytes(params["certificate_key"]), ""
    paths, why = [params["certificate_path"], params["certificate_key_path"]], ""
    if not paths[0]:
        folder, request = os.path.join(params["folder"], "self-signed"), to_bytes(params["request"])
        why = certificates.wanting(folder, request, params["renew_days"], run)
        if why and module.check_mode:
            return None, None, why
        if why:
            certificates.make(folder, request, params["days"], run)
        paths = [os.path.join(folder, "gateway.crt"), os.path.join(folder, "gateway.key")]
    found = [certificates.read(path) for path in paths]
    if None in found:
        path = paths[found.index(None)]
        raise Refused("%s is not on the host: put the certificate and its key there, or correct the path." % path)
    return found[0], found[1], why


def publish(module, certificate):
    """Put the certificate where clients take it from; return whether it was another one."""
    path, data = os.path.join(module.params["state"], "certificate.pem"), certificate.strip() + b"\n"
    if certificates.read(path) == data:
        return False
    if not module.check_mode:
        write(path, data)
    return True


def accepted(module, path):
    """Let nginx test a configuration. It opens ports and makes directories, so it runs as root; it leaves nothing."""
    directives = "user %s; pid /dev/null;" % (module.params["user"] or "root")
    code, printed, said = module.run_command([module.params["nginx"], "-t", "-q", "-c", path, "-g", directives])
    if code:
        raise Refused(
            "nginx does not accept the new configuration, and nothing was taken over (%s): correct what it names."
            % (words_of(said or printed) or "it ended with %d" % code)
        )


def provide(module):
    """Do all of it, and return what the module answers."""
    params = module.params
    folder = params["folder"]
    if params["user"] and not module.check_mode:
        refuse_without_user(params["user"])
    changed = bool(in_place(folders_of(params), rehearse=module.check_mode))
    certificate, key, why = provide_certificate(module)
    files = {"nginx.conf": to_bytes(params["configuration"]), KEYS: to_bytes(params["keys"])}
    before, digest = current_files(folder), ""
    if certificate is not None:
        files[TLS] = certificates.pem(certificate, key)
        digest = digest_of(files)
    elif TLS in before:
        files[TLS] = before[TLS]  # check mode made no other one
    replaced = current_digest(folder) != digest or before != files
    if replaced and not module.check_mode:
        take_over(folder, files, lambda path: accepted(module, path), params["user"])
    if certificate is not None:
        changed = publish(module, certificate) or changed
    old = left_over(folder, digest) if digest else []
    if old and not module.check_mode:
        remove_trees(old)
    texts = difference(before, files) if replaced else ("", "")
    note = "# A self-signed certificate is made, because %s.\n" % why if why else ""
    return {
        "changed": bool(changed or why or replaced or old),
        "digest": digest,
        "serving": to_text(certificates.read(params["serving"]) or b"").strip(),
        "diff": {"before": texts[0], "after": texts[1] + note, "before_header": folder, "after_header": folder},
    }


def main():
    """Map arguments and errors onto ``provide``."""
    text = {"type": "str", "default": ""}
    spec = {
        "folder": {"type": "path", "default": "/etc/fastchat-gateway"},
        "state": {"type": "path", "default": "/var/lib/fastchat-gateway"},
        "serving": {"type": "path", "default": "/run/fastchat-gateway/serving"},
        "nginx": {"type": "path", "default": "/usr/sbin/nginx"},
        "user": {"type": "str", "default": "fastchat-gateway"},
        "configuration": {"type": "str", "required": True},
        "keys": {"type": "str", "required": True, "no_log": True},
        "certificate": text,
        "certificate_key": {"type": "str", "default": "", "no_log": True},
        "certificate_path": text,
        "certificate_key_path": {"type": "str", "default": "", "no_log": False},
        "request": text,
        "days": {"type": "int", "default": 365},
        "renew_days": {"type": "int", "default": 30},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    os.umask(0o077)
    try:
        answer = provide(module)
    except Refused as error:
        module.fail_json(msg=str(error))
    except (IOError, OSError) as error:
        module.fail_json(msg="%s: %s." % (error.filename, error.strerror))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
