"""The repository is tidy: requirements agree, the top folder is small, no machine shows through."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

TOP_FOLDER = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "docs",
    "loyalty_wallet",
    "manage.py",
    "project",
    "pyproject.toml",
    "requirements.txt",
    "tests",
}
# mysqlclient needs a compiler (the project uses PyMySQL), the metrics are optional.
NOT_IN_THE_PROJECT = {"mysql", "prometheus"}

# Folders of one person's machine. Written in pieces, since this file is searched too.
MACHINE_PATHS = re.compile(
    r"(?<![\w.])(?:/ro" r"ot/|/ho" r"me/\w|/Us" r"ers/\w|/wo" r"rk/|/tm" r"p/venv|\.\./sha" r"red)"
)


def _pins(file: str = "requirements.txt") -> dict[str, str]:
    lines = (ROOT / file).read_text().splitlines()
    pins: dict[str, str] = {}
    for line in lines:
        if text := line.partition("#")[0].strip():
            requirement = Requirement(text)
            [pin] = requirement.specifier
            assert pin.operator == "==", f"{text} is not pinned"
            pins[canonicalize_name(requirement.name)] = pin.version
    return pins


def _ranges() -> list[Requirement]:
    lines = list(PYPROJECT["dependencies"])
    for extra, requirements in PYPROJECT["optional-dependencies"].items():
        if extra not in {*NOT_IN_THE_PROJECT, "dev"}:
            lines += requirements
    return [Requirement(line) for line in lines]


def _tracked() -> list[str]:
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("This is not a git checkout.")
    return [name for name in listing.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("requirement", _ranges(), ids=lambda requirement: requirement.name)
def test_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    """What the app needs is pinned for the project, at a version that the app supports."""
    pin = _pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin), f"{requirement} does not allow {pin}"


def test_every_range_has_a_lower_end() -> None:
    """An installer never picks a version that nobody has tried."""
    open_ended = [
        str(requirement)
        for requirement in _ranges()
        if not any(bound.operator == ">=" for bound in requirement.specifier)
    ]
    assert open_ended == []


def test_no_requirement_is_pinned_twice() -> None:
    """Each package has one line in requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    named = [line.partition("==")[0].lower() for line in lines if "==" in line]
    assert sorted(set(named)) == sorted(named)


def test_the_documentation_pins_what_the_project_does() -> None:
    """What both files name has one version: one environment can hold both, one audit covers them."""
    project, docs = _pins(), _pins("docs/requirements.txt")
    both = project.keys() & docs.keys()
    assert "requests" in both
    assert {name: docs[name] for name in both} == {name: project[name] for name in both}


def test_top_folder_is_small() -> None:
    """A newcomer sees ten names at most; what a tool can read elsewhere lives elsewhere."""
    top = {name.split("/")[0] for name in _tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP_FOLDER


def test_no_file_names_a_machine() -> None:
    """Nothing in the repository depends on where one person keeps it."""
    found = [
        f"{name}: {match.group()}"
        for name in _tracked()
        for match in MACHINE_PATHS.finditer((ROOT / name).read_text(errors="replace"))
    ]
    assert found == []
