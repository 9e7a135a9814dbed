"""Where a wallet's keys and certificates come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..exceptions import MisconfiguredError

Source = bytes | str | Path | Callable[[], "bytes | str | Path"]
"""A key or a certificate: its path, its content, or a callable that returns one of these."""

LONGEST_PATH = 300

_PEM = b"-----BEGIN "
_DER_SEQUENCE = 0x30


def read_secret(source: Source, what: str) -> bytes:
    """Return the content of `source`; `what` names it in errors.

    Raises MisconfiguredError, which quotes a path, but never anything that may be a key.
    """
    if callable(source):
        try:
            source = source()
        except Exception as error:
            raise MisconfiguredError(
                f"The callable that gives {what} raised {type(error).__name__}."
            ) from error
    if isinstance(source, bytes):
        if _PEM in source or source[:1] == bytes([_DER_SEQUENCE]):
            return source
        source = source.decode("utf-8", "replace")
    if isinstance(source, str):
        if _PEM.decode() in source:
            return source.strip().removeprefix("\ufeff").encode()
        source = source.strip()
        if not source:
            raise MisconfiguredError(f"There is no {what.removeprefix('the ')}.")
    return _read_file(str(source), what)


def _read_file(name: str, what: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        # What is not a short line may be the key itself, and must not be quoted.
        is_path = len(name) <= LONGEST_PATH and name.isprintable()
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise MisconfiguredError(
            f"{what[:1].upper()}{what[1:]} is not readable: {reason}{f': {name}' if is_path else ''}"
        ) from error
