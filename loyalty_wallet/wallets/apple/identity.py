"""A Pass Type ID certificate with its key and its issuer: what signs passes and opens APNs.

Source of the rules: Apple, Wallet Developer Guide and "Apple PKI" (WWDR intermediates).
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)

from ...exceptions import MisconfiguredError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

# Without Binary, line ends are rewritten before they are hashed, and phones refuse the signature.
SIGNATURE_OPTIONS = [
    pkcs7.PKCS7Options.DetachedSignature,
    pkcs7.PKCS7Options.Binary,
    pkcs7.PKCS7Options.NoCapabilities,
]


@dataclass(frozen=True, slots=True)
class Identity:
    """What Apple gave a team for one pass type; it has been checked to belong together."""

    certificate: x509.Certificate
    private_key: PrivateKey = field(repr=False)
    wwdr: x509.Certificate

    @property
    def expires_at(self) -> datetime:
        """When the first of the two certificates ends."""
        return min(self.certificate.not_valid_after_utc, self.wwdr.not_valid_after_utc)

    @property
    def is_valid(self) -> bool:
        """Whether passes signed now would be taken, as far as dates go."""
        try:
            self.check_dates()
        except MisconfiguredError:
            return False
        return True

    def check_dates(self) -> None:
        """Raise MisconfiguredError when passes signed now would be refused."""
        now = datetime.now(UTC)
        for what, certificate in (
            ("Pass Type ID certificate", self.certificate),
            ("WWDR certificate", self.wwdr),
        ):
            if now > certificate.not_valid_after_utc:
                raise MisconfiguredError(
                    f"The {what} expired on {certificate.not_valid_after_utc:%Y-%m-%d}."
                )
            if now < certificate.not_valid_before_utc:
                raise MisconfiguredError(
                    f"The {what} is valid from {certificate.not_valid_before_utc:%Y-%m-%d} only: "
                    "is this machine's clock right?"
                )

    def sign(self, manifest: bytes) -> bytes:
        """Return the detached CMS signature of a manifest, with the time of signing, as DER."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(manifest)
        builder = builder.add_signer(self.certificate, self.private_key, SHA256())
        return builder.add_certificate(self.wwdr).sign(Encoding.DER, SIGNATURE_OPTIONS)

    def client_context(self, authorities: str | None = None) -> ssl.SSLContext:
        """Return TLS settings that present this certificate and speak HTTP/2.

        `authorities` is a PEM file of the only authorities to trust; None: the system's.
        """
        try:
            context = ssl.create_default_context(cafile=authorities)
        except (OSError, ssl.SSLError) as error:
            raise MisconfiguredError(
                f"The authorities to trust are not readable: {authorities}"
            ) from error
        context.set_alpn_protocols(["h2"])
        key = self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = [certificate.public_bytes(Encoding.PEM) for certificate in self._chain]
        with _as_file(b"".join([key, *chain])) as name:
            context.load_cert_chain(name)
        return context

    @property
    def _chain(self) -> list[x509.Certificate]:
        return [self.certificate, self.wwdr]


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give content a name, since `ssl` reads keys from files only; on Linux it touches no disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("identity")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.pem"
        path.touch(mode=0o600)
        path.write_bytes(content)
        yield str(path)
