"""Filters of the roles that run services: the files of a unit, its settings, and the units themselves."""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.fastchat.fleet.plugins.module_utils.units import programs as of_programs
from ansible_collections.fastchat.fleet.plugins.module_utils.units.api import api_units, page_gates
from ansible_collections.fastchat.fleet.plugins.module_utils.units.files import service_entries
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


def unit_settings(unit: dict[str, Any], template: str, root: str) -> dict[str, Any]:
    """Return the settings of a unit's environment file, as ``settings_of`` does.

    ``template`` is the path of the unit's template, ``root`` that of the folder services.
    """
    return settings_of(unit, Path(template).read_text(), program_texts(unit["programs"], root))


def units_wanted(units: list[dict[str, Any]], template: str, root: str) -> list[dict]:
    """Return units as the module ``service_units`` takes them; the other arguments are those of ``unit_settings``."""
    return [unit_wanted(unit, unit_settings(unit, template, root)) for unit in units]


def service_files(units: list[dict[str, Any]], template: str, root: str, programs: list[str]) -> list[dict]:
    """Return the entries of all files of units, and of programs beside theirs, as ``service_entries`` does."""
    try:
        return service_entries(units, [unit_settings(unit, template, root) for unit in units], programs, root)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict:
        """Return the filters by the names that roles use."""
        return {
            "api_units": api_units,
            "page_gates": page_gates,
            "program_texts": program_texts,
            "service_files": service_files,
            "units_wanted": units_wanted,
        }
