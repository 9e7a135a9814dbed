"""The example projects of docs/ work as they stand: each block that names a file is that file."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOW_TO = ROOT / "docs" / "how-to"
BARE_PROJECT = {
    "settings.py": """
        SECRET_KEY = "for tests only"
        # In a file: Django never closes what threads have opened of a database in memory.
        DATABASES = {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": "db.sqlite3",
                "TEST": {"NAME": "test.sqlite3"},
            }
        }
        INSTALLED_APPS = [
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.staticfiles",
            "loyalty_wallet",
        ]
        ROOT_URLCONF = "urls"
        STATIC_URL = "static/"
        USE_TZ = True
    """,
    "urls.py": """
        from django.urls import include, path

        urlpatterns = [path("cards/", include("loyalty_wallet.webservice.urls"))]
    """,
}


def files_of(page: str) -> dict[str, str]:
    """Return the files of a page's example by their paths."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def run_tests(folder: Path, files: dict[str, str]) -> str:
    """Run pytest over a project of these files, as its owner would; return what it says."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(content), encoding="utf-8")
    # -c: an empty configuration of its own; warnings are errors, as here.
    (folder / "pytest.ini").write_text("[pytest]\nDJANGO_SETTINGS_MODULE = settings\n")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-p", "no:xdist", "-p", "no:randomly"],
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{folder}", "PATH": ""},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("page", "files", "passed"),
    [
        ("test-your-project.md", BARE_PROJECT, 3),
        ("test-with-the-emulator.md", BARE_PROJECT, 2),
        ("own-card-model.md", {}, 1),
    ],
)
def test_example_projects_pass_their_own_tests(
    tmp_path: Path, page: str, files: dict[str, str], passed: int
) -> None:
    """Whoever pastes the page has a project whose tests pass, over emulators, without a warning."""
    said = run_tests(tmp_path, {**files, **files_of(page)})
    assert f"{passed} passed" in said, said
    assert "failed" not in said
    assert "warning" not in said


def test_the_example_of_a_wallet_is_the_one_that_passes_the_contract() -> None:
    """Each block of the page stands in the tests, word for word."""
    folder = ROOT / "tests" / "wallets"
    tested = (folder / "memory.py").read_text() + (folder / "test_contract.py").read_text()
    page = (HOW_TO / "add-a-wallet.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    assert [block for block in blocks if block.strip() not in tested] == []
