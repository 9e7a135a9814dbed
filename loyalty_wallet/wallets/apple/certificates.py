"""Reads a Pass Type ID certificate, and finds out what is wrong with it before Apple does."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ...exceptions import MisconfiguredError
from ..secrets import Source, read_secret
from .identity import Identity, PrivateKey

logger = logging.getLogger("loyalty_wallet")

REREAD_SECONDS = 60
"""How soon a certificate that was replaced is taken up: files are read, callables called again."""

_PEM_KEY = re.compile(
    rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL
)

Password = bytes | str | Callable[[], bytes | str] | None
_Content = tuple[bytes | None, ...]


class Certificates:
    """The certificate of a pass type, from its sources; read when first needed.

    `certificate` is PEM, DER or PKCS#12, with or without its key and its issuer; `private_key` and
    `wwdr_certificate` may come apart. Of several intermediates the one that issued the
    certificate is taken. PEM may hold the next certificate beside the present one, and its key, if
    that is another: of those that are valid the one that ends last is used. Safe to share between
    threads.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        certificate: Source,
        private_key: Source | None = None,
        private_key_password: Password = None,
        wwdr_certificate: Source | None = None,
        pass_type_identifier: str,
        team_identifier: str,
    ) -> None:
        self._sources = (
            (certificate, "the Pass Type ID certificate"),
            (private_key, "the private key"),
            (wwdr_certificate, "the WWDR certificate"),
        )
        self._password = private_key_password
        self._pass_type_identifier = pass_type_identifier
        self._team_identifier = team_identifier
        self._lock = threading.Lock()
        self._content: _Content | None = None
        self._found: tuple[Identity, ...] | MisconfiguredError | None = None
        self._flaws: list[str] = []
        self._read_at = float("-inf")

    def load(self) -> Identity:
        """Return the identity as it is now.

        While files are being replaced, and their parts do not belong together, the last good one
        serves on. Raises MisconfiguredError.
        """
        found = self._current()
        if not isinstance(found, tuple):
            # A copy: callers in several threads must not share one traceback.
            raise MisconfiguredError(str(found)) from found
        valid = [identity for identity in found if identity.is_valid]
        identity = max(valid or found, key=lambda identity: identity.expires_at)
        identity.check_dates()
        return identity

    def expires_at(self) -> datetime | None:
        """Return when passes can no longer be signed, also if that is past; None if they never can.

        That is the end of the certificate or of its issuer; with a successor in place, of that one.
        """
        found = self._current()
        if not isinstance(found, tuple):
            return None
        return max(identity.expires_at for identity in found)

    def check(self) -> list[str]:
        """Return what is wrong, without any network."""
        try:
            self.load()
        except MisconfiguredError as error:
            return [str(error)]
        return [f"One of the certificates is of no use: {flaw}" for flaw in self._flaws]

    def _current(self) -> tuple[Identity, ...] | MisconfiguredError | None:
        with self._lock:
            if self._found is None or time.monotonic() >= self._read_at + REREAD_SECONDS:
                self._reread()
            return self._found

    def _reread(self) -> None:
        self._read_at = time.monotonic()
        try:
            content = self._read()
            if content == self._content:
                return
            self._content = content
            self._found = self._parse(*content)
        except MisconfiguredError as error:
            if isinstance(self._found, tuple):
                logger.warning("The new Apple certificate is not usable yet: %s", error)
            else:
                self._found = error

    def _read(self) -> _Content:
        return tuple(
            None if source is None else read_secret(source, what) for source, what in self._sources
        )

    def _parse(
        self, certificate: bytes | None, private_key: bytes | None, wwdr: bytes | None
    ) -> tuple[Identity, ...]:
        password = self._read_password()
        certificates, keys = _read_bundle(certificate or b"", password)
        if private_key is not None:
            keys = _read_keys(private_key, password)
        if not keys:
            raise MisconfiguredError("The Pass Type ID certificate comes without its private key.")
        pairs = _matching(keys, certificates)
        if wwdr is not None:
            certificates = certificates + _read_certificates(wwdr, "the WWDR certificate")
        identities: list[Identity] = []
        flaws: list[MisconfiguredError] = []
        for leaf, key in pairs:
            try:
                identity = Identity(leaf, key, _issuer(leaf, certificates))
                self._check_names(leaf)
                identities.append(identity)
            except MisconfiguredError as error:
                flaws.append(error)
        if not identities:
            raise flaws[0]
        self._flaws = [str(flaw) for flaw in flaws]
        return tuple(identities)

    def _read_password(self) -> bytes | None:
        password = self._password
        if callable(password):
            try:
                password = password()
            except Exception as error:
                raise MisconfiguredError(
                    "The callable that gives the private key's password raised "
                    f"{type(error).__name__}."
                ) from error
        # An empty variable of the environment means that there is none.
        return (password.encode() if isinstance(password, str) else password) or None

    def _check_names(self, leaf: x509.Certificate) -> None:
        for oid, what, expected in (
            (NameOID.USER_ID, "pass type", self._pass_type_identifier),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "team", self._team_identifier),
        ):
            names = [str(name.value) for name in leaf.subject.get_attributes_for_oid(oid)]
            if expected not in names:
                raise MisconfiguredError(
                    f"The Pass Type ID certificate is for the {what} "
                    f"{', '.join(names) or '(none)'}, not for {expected}."
                )
        try:
            usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except x509.ExtensionNotFound:
            return
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
            raise MisconfiguredError(
                "The certificate may not authenticate a client: it is no Pass Type ID certificate."
            )


def _read_bundle(
    content: bytes, password: bytes | None
) -> tuple[list[x509.Certificate], list[PrivateKey]]:
    """Return the certificates and the keys, if any, of PEM, DER or PKCS#12."""
    if b"-----BEGIN " in content:
        keys = _read_keys(content, password) if b"PRIVATE KEY-----" in content else []
        return _read_certificates(content, "the Pass Type ID certificate"), keys
    try:
        return [x509.load_der_x509_certificate(content)], []
    except ValueError:
        pass
    try:
        private_key, leaf, others = pkcs12.load_key_and_certificates(content, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MisconfiguredError(
            "The certificate is neither PEM nor DER, nor a PKCS#12 that its password opens. "
            "Keychain's older .p12 files need: openssl pkcs12 -legacy -nodes -in FILE -out new.pem"
        ) from error
    keys = [] if private_key is None else [_supported(private_key)]
    return [leaf, *others] if leaf else list(others), keys


def _read_certificates(content: bytes, what: str) -> list[x509.Certificate]:
    try:
        if b"-----BEGIN " in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except ValueError as error:
        raise MisconfiguredError(f"There is no certificate in {what}.") from error


def _read_keys(content: bytes, password: bytes | None) -> list[PrivateKey]:
    blocks = [found[0] for found in _PEM_KEY.finditer(content)] or [content]
    return [_read_key(block, password) for block in blocks]


def _read_key(content: bytes, password: bytes | None) -> PrivateKey:
    load = load_pem_private_key if b"-----BEGIN " in content else load_der_private_key
    try:
        return _supported(load(content, password))
    except TypeError as error:
        raise MisconfiguredError(
            "The private key is encrypted: set private_key_password."
            if password is None
            else "The private key is not encrypted: remove private_key_password."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # The exception's own text may quote the key.
        raise MisconfiguredError(
            "The private key is not readable, or its password is wrong."
        ) from error


def _supported(key: object) -> PrivateKey:
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return key
    raise MisconfiguredError("The private key is neither RSA nor an elliptic curve's.")


def _matching(
    keys: Sequence[PrivateKey], certificates: Sequence[x509.Certificate]
) -> list[tuple[x509.Certificate, PrivateKey]]:
    """Return each certificate that one of the keys belongs to, with it."""
    pairs = [
        (certificate, key)
        for certificate in certificates
        for key in keys
        if certificate.public_key() == key.public_key()
    ]
    if not pairs:
        raise MisconfiguredError("The private key does not belong to the Pass Type ID certificate.")
    return pairs


def _issuer(leaf: x509.Certificate, candidates: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the intermediate that issued `leaf`: Apple has several of the same name."""
    for candidate in candidates:
        try:
            leaf.verify_directly_issued_by(candidate)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return candidate
    units = leaf.issuer.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    generation = f" {units[0].value!s}" if units else ""
    raise MisconfiguredError(
        f"The certificate that issued the Pass Type ID certificate is missing: it is Apple's "
        f"WWDR{generation}, to be set as wwdr_certificate."
    )
