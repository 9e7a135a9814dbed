"""The images of a program's passes: from a folder of the shop's, from ours where it has none.

    images/icon.png  images/logo@2x.png ...    for all programs
    images/club/logo.png ...                   for the program with the key `club`
    images/de.lproj/strip.png ...              for phones in German

Source of names and sizes: Apple, Human Interface Guidelines, Wallet, and "Pass Design".
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from urllib.parse import quote

from ...exceptions import MisconfiguredError
from .pkpass import PassTemplate
from .strings import strings_files

RECHECK_SECONDS = 5
"""How soon a changed file is noticed."""

_DEFAULT_FOLDER = Path(__file__).parent / "default_images"
_IMAGE = re.compile(r"(icon|logo|strip)(@[23]x)?\.png")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*\.lproj")
_STRINGS = "pass.strings"
_PNG = b"\x89PNG\r\n\x1a\n"

_Files = dict[str, Path]
_State = tuple[tuple[str, str, int, int], ...]


class Images:
    """Templates of passes by program. Safe to share between threads; files may change meanwhile."""

    def __init__(self, folder: str | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._lock = threading.Lock()
        self._checked: dict[str, tuple[float, _State]] = {}
        self._templates: dict[_State, PassTemplate] = {}

    def template_for(self, program_key: str) -> PassTemplate:
        """Return what the passes of a program share.

        Raises MisconfiguredError for a folder that cannot be read or a file that is no PNG.
        """
        with self._lock:
            checked_at, state = self._checked.get(program_key, (float("-inf"), ()))
            if time.monotonic() >= checked_at + RECHECK_SECONDS:
                state = self._check(program_key)
                self._checked[program_key] = (time.monotonic(), state)
                in_use = {state for _, state in self._checked.values()}
                self._templates = {
                    state: template
                    for state, template in self._templates.items()
                    if state in in_use
                }
            return self._templates[state]

    def _check(self, program_key: str) -> _State:
        """Look at the files; make a template of them unless there is one."""
        files = self._find(program_key)
        try:
            state = tuple(
                (name, str(path), status.st_mtime_ns, status.st_size)
                for name, path in sorted(files.items())
                for status in [path.stat()]
            )
            if state not in self._templates:
                self._templates[state] = _template(files)
        except OSError as error:
            raise MisconfiguredError(
                f"An image cannot be read: {error.strerror}: {error.filename}"
            ) from error
        return state

    def _find(self, program_key: str) -> _Files:
        files = _files_in(_DEFAULT_FOLDER)
        if self._folder is None:
            return files
        if not self._folder.is_dir():
            raise MisconfiguredError(f"There is no folder of images: {self._folder}")
        own = self._folder / quote(program_key, safe="")
        has_own = program_key not in ("", ".", "..") and not _LANGUAGE.fullmatch(own.name)
        for folder in [self._folder] + ([own] if has_own and own.is_dir() else []):
            found = _files_in(folder)
            replaced = {_subject(name) for name in found}
            # All sizes of an image at once: a phone must not mix the shop's with ours.
            files = {name: path for name, path in files.items() if _subject(name) not in replaced}
            files |= found
        return files


def _files_in(folder: Path) -> _Files:
    files = {}
    try:
        for path in folder.iterdir():
            if _IMAGE.fullmatch(path.name):
                files[path.name] = path
            elif _LANGUAGE.fullmatch(path.name) and path.is_dir():
                for localised in path.iterdir():
                    if _IMAGE.fullmatch(localised.name) or localised.name == _STRINGS:
                        files[f"{path.name}/{localised.name}"] = localised
    except OSError as error:
        raise MisconfiguredError(
            f"The folder of images cannot be read: {error.strerror}: {folder}"
        ) from error
    return files


def _subject(name: str) -> str:
    """Return what an image shows, its size aside: `de.lproj/logo@2x.png` -> `de.lproj/logo`."""
    return re.sub(r"(@[23]x)?\.png$", "", name)


def _template(files: _Files) -> PassTemplate:
    contents = strings_files()
    for name, path in files.items():
        contents[name] = path.read_bytes()
        if name.endswith(".png") and not contents[name].startswith(_PNG):
            raise MisconfiguredError(f"An image is no PNG: {path}")
    return PassTemplate(contents)
