"""The wheel carries everything that the app needs, and nothing of the project or the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from loyalty_wallet import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "loyalty_wallet"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel as a release would build it, without asking any registry."""
    folder = tmp_path_factory.mktemp("wheel")
    build = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert build.returncode == 0, build.stdout
    [built] = folder.glob("*.whl")
    return zipfile.Path(built)


@pytest.fixture(scope="module")
def names(wheel: zipfile.Path) -> set[str]:
    return set(wheel.root.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.Path) -> Message:
    path = wheel / f"loyalty_wallet-{__version__}.dist-info" / "METADATA"
    return BytesParser().parsebytes(path.read_bytes())


@pytest.mark.parametrize(
    "pattern",
    [
        "**/*.py",
        "py.typed",
        "migrations/*.py",
        "templates/**/*",
        "static/**/*",
        "locale/*/LC_MESSAGES/*.mo",
        "**/*.json",
        "**/*.yml",
    ],
)
def test_wheel_carries_the_files_of_the_package(names: set[str], pattern: str) -> None:
    """Code, type marker, migrations, templates, static files, translations and JSON data travel."""
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names


def test_wheel_has_what_must_never_go_missing(names: set[str]) -> None:
    """Whatever moves in the tree, an installed app can migrate, be type-checked and emulate."""
    assert {
        "loyalty_wallet/emulator/google/discovery.json",
        "loyalty_wallet/migrations/0001_initial.py",
        "loyalty_wallet/py.typed",
    } <= names


def test_wheel_carries_nothing_else(names: set[str]) -> None:
    """The reference project, the tests and compiled files stay at home."""
    assert {name.split("/")[0] for name in names} == {
        "loyalty_wallet",
        f"loyalty_wallet-{__version__}.dist-info",
    }
    assert not [name for name in names if name.endswith((".pyc", ".sqlite3"))]


def test_metadata_names_python_extras_and_requirements(metadata: Message) -> None:
    """An installer learns the version, the Python, the extras and that Celery is optional."""
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    extras = set(metadata.get_all("Provides-Extra", []))
    assert extras == {
        "barcodes",
        "celery",
        "dev",
        "emulator",
        "mysql",
        "postgres",
        "prometheus",
        "redis",
        "testing",
    }
    always = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert any(line.startswith("django") for line in map(str.lower, always))
    assert not [line for line in always if "celery" in line.lower()]


def test_wheel_brings_its_licence(names: set[str]) -> None:
    """The licence must be with every copy."""
    assert f"loyalty_wallet-{__version__}.dist-info/licenses/LICENSE" in names
