"""Filters of the roles that run services: the files of a unit, its settings, and the units themselves."""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.fastchat.fleet.plugins.module_utils.units import programs as of_programs
from ansible_collections.fastchat.fleet.plugins.module_utils.units.api import api_units, page_gates
from ansible_collections.fastchat.fleet.plugins.module_utils.units.settings import settings_of, unit_wanted


def program_files(programs: list[str], root: str) -> list[dict[str, str]]:
    """Return [{name, source}] of the files of programs below the folder ``root``; AnsibleFilterError as for a typo."""
    try:
        return of_programs.program_files(programs, root)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def program_texts(programs: list[str], root: str) -> dict[str, str]:
    """Return {name: text} of the files of programs below the folder ``root``; AnsibleFilterError as for a typo."""
    return {file["name"]: Path(file["source"]).read_text() for file in program_files(programs, root)}


def unit_settings(unit: dict[str, Any], template: str, root: str, targets: dict[str, str]) -> dict[str, Any]:
    """Return the settings of a unit's environment file, as ``settings_of`` does.

    ``template`` is the path of the unit's template, ``root`` that of the folder services; ``targets`` says where the
    links point that the unit follows.
    """
    return settings_of(unit, Path(template).read_text(), program_texts(unit["programs"], root), targets)


def units_wanted(units: list[dict[str, Any]], template: str, root: str, targets: dict[str, str]) -> list[dict]:
    """Return units as the module ``service_units`` takes them; the other arguments are those of ``unit_settings``."""
    return [unit_wanted(unit, unit_settings(unit, template, root, targets)) for unit in units]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict:
        """Return the filters by the names that roles use."""
        return {
            "api_units": api_units,
            "page_gates": page_gates,
            "program_files": program_files,
            "program_texts": program_texts,
            "unit_settings": unit_settings,
            "units_wanted": units_wanted,
        }
