"""The `.pkpass` archive: a ZIP of pass.json, images and strings, a manifest, and its signature.

What passes of one program share is hashed and packed once; only pass.json, manifest and signature
are made for each. Source: Apple, Wallet Developer Guide, "Building a Pass", and the ZIP format
(PKWARE APPNOTE 4.3), of which stored entries are all that is needed: PNGs do not shrink.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

CONTENT_TYPE = "application/vnd.apple.pkpass"
BUNDLE_CONTENT_TYPE = "application/vnd.apple.pkpasses"
MOST_BUNDLED = 10
MOST_BUNDLED_BYTES = 150_000_000

# The same moment for every entry, the format's first: an archive says nothing of when it was made.
_DOS_TIME, _DOS_DATE = 0, 0x21
_VERSION = 10
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")


class PassTemplate:
    """Images and strings of a program's passes, ready to be completed into archives.

    `digest` changes when any of them does.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._manifest = {name: _sha1(content) for name, content in sorted(files.items())}
        self._archive = _Archive()
        for name, content in sorted(files.items()):
            self._archive.add(name, content)
        names = json.dumps(self._manifest).encode()
        self.digest = hashlib.sha256(names).hexdigest()

    def build(self, pass_json: bytes, sign: Callable[[bytes], bytes]) -> bytes:
        """Return the archive of a pass; `sign` makes the detached signature of its manifest."""
        manifest = json.dumps({**self._manifest, "pass.json": _sha1(pass_json)}).encode()
        archive = self._archive.copy()
        archive.add("pass.json", pass_json)
        archive.add("manifest.json", manifest)
        archive.add("signature", sign(manifest))
        return archive.close()


def bundle(archives: Sequence[bytes]) -> bytes:
    """Return several passes as one `.pkpasses` file.

    Raises ValueError for more than Wallet takes: 10 passes or 150 MB.
    """
    if not 0 < len(archives) <= MOST_BUNDLED:
        raise ValueError(f"A bundle holds 1 to {MOST_BUNDLED} passes, not {len(archives)}.")
    if sum(map(len, archives)) > MOST_BUNDLED_BYTES:
        raise ValueError(f"A bundle holds {MOST_BUNDLED_BYTES:,} bytes at most.")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number, content in enumerate(archives, start=1):
            archive.writestr(f"pass{number}.pkpass", content)
    return file.getvalue()


@dataclass(slots=True)
class _Archive:
    """A ZIP that grows, and can go on from another one: `zipfile` would read that back each time."""

    entries: list[bytes] = field(default_factory=list)
    directory: list[bytes] = field(default_factory=list)
    size: int = 0

    def copy(self) -> _Archive:
        return _Archive(self.entries[:], self.directory[:], self.size)

    def add(self, name: str, content: bytes) -> None:
        path = name.encode("ascii")
        crc, size = zlib.crc32(content), len(content)
        entry = (_VERSION, 0, 0, _DOS_TIME, _DOS_DATE, crc, size, size, len(path), 0)
        header = _LOCAL_HEADER.pack(b"PK\x03\x04", *entry)
        self.directory.append(
            _CENTRAL_HEADER.pack(b"PK\x01\x02", _VERSION, *entry, 0, 0, 0, 0, self.size) + path
        )
        self.entries += (header, path, content)
        self.size += len(header) + len(path) + size

    def close(self) -> bytes:
        directory = b"".join(self.directory)
        count = len(self.directory)
        end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), self.size, 0)
        return b"".join([*self.entries, directory, end])


def _sha1(content: bytes) -> str:
    # The format's own choice; the signature over the manifest uses SHA-256.
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
