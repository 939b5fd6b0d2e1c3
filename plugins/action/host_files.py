"""Render templates and read files on the control node, and hand their texts to a module, all in one round trip.

Ansible's own template and copy take two or three round trips for each file, also when nothing changes.
"""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import AnsibleEnvironment, generate_ansible_template_vars


class ActionModule(ActionBase):
    """Run the module of the task's own name with the contents of its ``files``."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result; AnsibleActionFail names a file that can not be read or rendered."""
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        args["files"] = [self._entry(entry, task_vars or {}) for entry in args.get("files") or []]
        result.update(self._execute_module(module_name=self._task.action, module_args=args, task_vars=task_vars))
        return result

    def _entry(self, entry: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return an entry with its content, whether that is given, in a file or a template."""
        rest = {key: value for key, value in entry.items() if key not in ("src", "template", "vars")}
        try:
            if "template" in entry:
                variables = {**task_vars, **(entry.get("vars") or {})}
                return {**rest, "content": self._rendered(entry["template"], str(entry["path"]), variables)}
            if "src" in entry:
                return {**rest, "content": self._read(self._find_needle("files", entry["src"]))}
        except AnsibleError as error:
            raise AnsibleActionFail(f"{entry.get('path')} can not be written: {error}") from error
        return rest

    def _read(self, source: str) -> str:
        """Return the text of a file of the control node, decrypted when it is in a vault."""
        with open(self._loader.get_real_file(source), encoding="utf-8") as stream:
            return stream.read()

    def _rendered(self, template: str, path: str, variables: dict[str, Any]) -> str:
        """Return a template's text as ansible.builtin.template renders it."""
        source = self._find_needle("templates", template)
        folders = [*variables.get("ansible_search_path", []), self._loader.get_basedir(), os.path.dirname(source)]
        templar = self._templar.copy_with_new_env(
            environment_class=AnsibleEnvironment,
            searchpath=[place for folder in folders for place in (os.path.join(folder, "templates"), folder)],
            newline_sequence="\n",
            available_variables={**variables, **generate_ansible_template_vars(template, source, path)},
        )
        return templar.do_template(
            self._read(source),
            preserve_trailing_newlines=True,
            escape_backslashes=False,
            overrides={"trim_blocks": True, "lstrip_blocks": False},
        )
