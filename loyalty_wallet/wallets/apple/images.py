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
from weakref import WeakValueDictionary

from ...exceptions import MisconfiguredError
from .pkpass import PassTemplate
from .strings import strings_files

RECHECK_SECONDS = 5
"""How soon a changed file is noticed."""

_DEFAULT_FOLDER = Path(__file__).parent / "default_images"
_IMAGE = re.compile(r"(icon|logo|strip)(@[23]x)?\.png")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*\.lproj")
_STRINGS = "pass.strings"
_LONGEST_NAME = 255
_PNG = b"\x89PNG\r\n\x1a\n"

_Files = dict[str, Path]
_State = tuple[tuple[str, str, int, int], ...]


class Images:
    """Templates of passes by program. Safe to share between threads; files may change meanwhile."""

    def __init__(self, folder: str | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._lock = threading.Lock()
        self._checked: dict[str, tuple[float, PassTemplate]] = {}
        # Programs with the same files share a template; it goes with the last that uses it.
        self._templates: WeakValueDictionary[_State, PassTemplate] = WeakValueDictionary()

    def template_for(self, program_key: str) -> PassTemplate:
        """Return what the passes of a program share.

        Raises MisconfiguredError for a folder that cannot be read or a file that is no PNG.
        """
        with self._lock:
            checked_at, template = self._checked.get(program_key, (float("-inf"), None))
            if template is None or time.monotonic() >= checked_at + RECHECK_SECONDS:
                try:
                    template = self._template(self._find(program_key))
                except OSError as error:
                    raise MisconfiguredError(
                        f"An image cannot be read: {error.strerror}: {error.filename}"
                    ) from error
                self._checked[program_key] = (time.monotonic(), template)
            return template

    def _template(self, files: _Files) -> PassTemplate:
        """Return the template of these files as they are now, which may be in use already."""
        state = tuple(
            (name, str(path), status.st_mtime_ns, status.st_size)
            for name, path in sorted(files.items())
            for status in [path.stat()]
        )
        template = self._templates.get(state)
        if template is None:
            template = self._templates[state] = PassTemplate(_read(files))
        return template

    def _find(self, program_key: str) -> _Files:
        files = _files_in(_DEFAULT_FOLDER)
        if self._folder is None:
            return files
        if not self._folder.is_dir():
            raise MisconfiguredError(f"There is no folder of images: {self._folder}")
        own = _own_folder(self._folder, program_key)
        for folder in [self._folder] + ([own] if own is not None else []):
            found = _files_in(folder)
            replaced = {_subject(name) for name in found}
            # All sizes of an image at once: a phone must not mix the shop's with ours.
            files = {name: path for name, path in files.items() if _subject(name) not in replaced}
            files |= found
        return files


def _own_folder(folder: Path, program_key: str) -> Path | None:
    """Return the folder of one program, its key spelt as in a URL, if there is one."""
    name = quote(program_key, safe="")
    if name in ("", ".", "..") or len(name) > _LONGEST_NAME or _LANGUAGE.fullmatch(name):
        return None
    return folder / name if (folder / name).is_dir() else None


def _files_in(folder: Path) -> _Files:
    files = {}
    for path in folder.iterdir():
        if _IMAGE.fullmatch(path.name):
            files[path.name] = path
        elif _LANGUAGE.fullmatch(path.name) and path.is_dir():
            for localised in path.iterdir():
                if _IMAGE.fullmatch(localised.name) or localised.name == _STRINGS:
                    files[f"{path.name}/{localised.name}"] = localised
    return files


def _subject(name: str) -> str:
    """Return what an image shows, its size aside: `de.lproj/logo@2x.png` -> `de.lproj/logo`."""
    return re.sub(r"(@[23]x)?\.png$", "", name)


def _read(files: _Files) -> dict[str, bytes]:
    contents = strings_files()
    for name, path in files.items():
        contents[name] = path.read_bytes()
        if name.endswith(".png") and not contents[name].startswith(_PNG):
            raise MisconfiguredError(f"An image is no PNG: {path}")
    return contents
