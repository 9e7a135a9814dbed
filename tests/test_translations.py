"""The translations are whole: nothing is missing, nothing is a guess, and what is read is current."""

from __future__ import annotations

import ast
import gettext
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import translation

import loyalty_wallet
from loyalty_wallet.admin.words import remedy
from loyalty_wallet.exceptions import UnavailableError, failure_classes
from loyalty_wallet.models import LoyaltyCard
from tests.servers.fixtures import skip_or_fail

PACKAGE = Path(loyalty_wallet.__file__).parent
LOCALE = PACKAGE / "locale"
LANGUAGES = ("de", "fr")
PLACEHOLDER = re.compile(r"%\(\w+\)[-+ #0]*\d*(?:\.\d+)?[a-z]|%[a-z]|\{\w*\}")
KEYWORD = re.compile(r'(msgid_plural|msgid|msgstr)(?:\[(\d+)\])? (".*")')
TOOLS = ("xgettext", "msguniq", "msgmerge", "msgattrib")
MARKERS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}


@dataclass
class Entry:
    """One text of a .po file; `forms` are its translations, more than one where it has a plural."""

    flags: str = ""
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def msgid(self) -> str:
        return self.texts["msgid"]

    @property
    def plural(self) -> str:
        """The original for many; the one for one where there is no other."""
        return self.texts.get("msgid_plural", self.msgid)

    @property
    def forms(self) -> list[str]:
        return [text for key, text in self.texts.items() if key.startswith("msgstr")]


def _parse(block: str) -> Entry:
    entry, key = Entry(), ""
    for line in block.splitlines():
        if line.startswith("#"):
            entry.flags += line if line.startswith("#,") else ""
        elif match := KEYWORD.fullmatch(line):
            key = match[1] + (match[2] or "")
            assert key not in entry.texts, f"two entries in one block: {block}"
            entry.texts[key] = ast.literal_eval(match[3])
        else:
            entry.texts[key] += ast.literal_eval(line)
    return entry


def _entries(language: str, locale: Path = LOCALE) -> list[Entry]:
    """All entries of a language, its header first."""
    text = (locale / language / "LC_MESSAGES" / "django.po").read_text(encoding="utf-8")
    return [_parse(block) for block in text.strip().split("\n\n")]


def _compiled(language: str) -> dict[str | tuple[str, int], str]:
    with (LOCALE / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        # What it has read is private, and the only way to see texts that should not be there.
        catalog: dict[str | tuple[str, int], str] = vars(gettext.GNUTranslations(file))["_catalog"]
    return catalog


def _placeholders(text: str) -> list[str]:
    return sorted(PLACEHOLDER.findall(text))


def test_languages_are_all_tested() -> None:
    """A language that is added is held to the same rules."""
    assert sorted(folder.name for folder in LOCALE.iterdir() if folder.is_dir()) == [*LANGUAGES]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    """No text is left in English, in either number."""
    _, *entries = _entries(language)
    missing = [
        entry.msgid
        for entry in entries
        if len(entry.forms) != (2 if "msgid_plural" in entry.texts else 1)
        or not all(form.strip() for form in entry.forms)
    ]
    assert entries
    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_translation_is_a_guess(language: str) -> None:
    """What gettext guessed from a similar text is never left as it is."""
    assert [entry.msgid for entry in _entries(language) if "fuzzy" in entry.flags] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_agree(language: str) -> None:
    """A translation fills in what the original does; only the form for one may leave out its number."""
    _, *entries = _entries(language)
    wrong = [
        (entry.msgid, form)
        for entry in entries
        for number, form in enumerate(entry.forms)
        if _placeholders(form) != _placeholders(entry.plural)
        and (number or _placeholders(form) != _placeholders(entry.msgid))
    ]
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_file_is_current(language: str) -> None:
    """The .mo file, which Django reads, says exactly what the .po file says."""
    written: dict[str | tuple[str, int], str] = {}
    for entry in _entries(language):
        if "msgid_plural" in entry.texts:
            written |= {(entry.msgid, number): form for number, form in enumerate(entry.forms)}
        else:
            [written[entry.msgid]] = entry.forms
    # When the texts were last looked for: msgfmt leaves that out.
    written[""] = re.sub(r"POT-Creation-Date: .*\n", "", str(written[""]))
    assert _compiled(language) == written


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_remedy_is_translated(language: str) -> None:
    """A remedy is marked in a module without Django, and is found all the same."""
    known = {entry.msgid for entry in _entries(language)}
    remedies = {failure.remedy for failure in failure_classes().values()}
    assert remedies - known == set()


@pytest.fixture
def extracted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Every text that is marked in the package, with its plural."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        skip_or_fail(f"{', '.join(missing)} not found: install the Debian package gettext.")
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("locale", "__pycache__"))
    (copy / "locale").mkdir()
    monkeypatch.chdir(copy)
    call_command("makemessages", locale=["de"], no_location=True, verbosity=0)
    _, *entries = _entries("de", copy / "locale")
    return {(entry.msgid, entry.plural) for entry in entries}


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_holds_every_text(language: str, extracted: set[tuple[str, str]]) -> None:
    """What the code says is in the catalogue, and nothing that it does not say any more."""
    _, *entries = _entries(language)
    known = {(entry.msgid, entry.plural) for entry in entries}
    assert len(extracted) > 500
    assert (sorted(extracted - known), sorted(known - extracted)) == ([], [])


def _marked_in_f_strings(path: Path) -> Iterator[str]:
    for string in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for node in ast.walk(string) if isinstance(string, ast.JoinedStr) else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in MARKERS:
                yield f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def test_no_text_hides_in_an_f_string() -> None:
    """Most releases of xgettext do not look into f-strings: a text in one is never translated."""
    paths = sorted(PACKAGE.rglob("*.py"))
    assert paths
    assert [found for path in paths for found in _marked_in_f_strings(path)] == []


@pytest.mark.parametrize(
    ("language", "name", "advice"),
    [
        ("de", "Treuekarte", "Warten Sie: Der Anbieter hat eine Störung"),
        ("fr", "carte de fidélité", "Attendez\N{NO-BREAK SPACE}: le fournisseur est en difficulté"),
    ],
)
def test_operator_reads_their_language(language: str, name: str, advice: str) -> None:
    """A model's name and a remedy come out in the language of the page."""
    with translation.override(language):
        assert str(LoyaltyCard._meta.verbose_name) == name
        assert remedy(UnavailableError.code).startswith(advice)
