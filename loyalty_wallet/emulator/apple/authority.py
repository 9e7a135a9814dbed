"""A throw-away Apple: a root, a WWDR intermediate, and the certificates that they issue."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 396
"""What Apple gives a Pass Type ID certificate."""
AUTHORITY_VALID_DAYS = 3650
"""What Apple gives itself."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its private key."""

    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def private_key_pem(self) -> bytes:
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Authority:
    """Certificates shaped like Apple's, made on the fly and trusted by nobody else.

    `certificate_pem` and `private_key_pem` are those of the Pass Type ID certificate for
    `pass_type_identifier`; `issue_pass_certificate` makes further ones, wrong ones too.
    """

    def __init__(self, *, pass_type_identifier: str, team_identifier: str) -> None:
        self.pass_type_identifier = pass_type_identifier
        self.team_identifier = team_identifier
        self.root = _issue(_name("Emulated Apple Root CA"), is_authority=True)
        self.wwdr = self.issue_intermediate()
        self.pass_certificate = self.issue_pass_certificate()
        self.push_key = ec.generate_private_key(ec.SECP256R1())
        self.push_key_id = "EMULATED01"
        self._server = self.issue_server_certificate()

    @property
    def root_pem(self) -> bytes:
        return self.root.certificate_pem

    @property
    def wwdr_pem(self) -> bytes:
        return self.wwdr.certificate_pem

    @property
    def certificate_pem(self) -> bytes:
        return self.pass_certificate.certificate_pem

    @property
    def private_key_pem(self) -> bytes:
        return self.pass_certificate.private_key_pem

    @property
    def push_key_pem(self) -> bytes:
        """The team's key for provider tokens, as Apple's portal gives it: a `.p8` file."""
        return self.push_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def issue_intermediate(self, generation: str = "G4") -> Issued:
        """Issue a Worldwide Developer Relations certificate: Apple has one a generation."""
        name = _name("Apple Worldwide Developer Relations Certification Authority", unit=generation)
        return _issue(name, issuer=self.root, is_authority=True)

    def issue_pass_certificate(
        self,
        *,
        pass_type_identifier: str | None = None,
        team_identifier: str | None = None,
        issuer: Issued | None = None,
        not_before: datetime | None = None,
        valid_days: int = VALID_DAYS,
    ) -> Issued:
        """Issue a Pass Type ID certificate as Apple's portal does.

        Its UID is the pass type identifier, its OU the team, and it may authenticate a client.
        """
        identifier = pass_type_identifier or self.pass_type_identifier
        name = _name(
            f"Pass Type ID: {identifier}",
            unit=team_identifier or self.team_identifier,
            user_id=identifier,
        )
        return _issue(
            name,
            issuer=issuer or self.wwdr,
            usages=[ExtendedKeyUsageOID.CLIENT_AUTH],
            not_before=not_before,
            valid_days=valid_days,
        )

    def issue_server_certificate(self, *, user_id: str = "", unit: str = "") -> Issued:
        """Issue a certificate for a server at 127.0.0.1; it may not authenticate a client."""
        return _issue(
            _name("127.0.0.1", unit=unit, user_id=user_id),
            issuer=self.root,
            usages=[ExtendedKeyUsageOID.SERVER_AUTH],
            addresses=["127.0.0.1"],
        )

    def server_context(self) -> ssl.SSLContext:
        """Return the TLS settings of an APNs: HTTP/2, and a certificate asked of the client."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        # Optional, since a provider may authenticate with a token instead.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=(self.root_pem + self.wwdr_pem).decode())
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(self._server.private_key_pem + self._server.certificate_pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def write(self, folder: Path) -> None:
        """Write `root.pem`, `wwdr.pem`, `certificate.pem` and `private_key.pem`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("root", "wwdr", "certificate", "private_key"):
            path = folder / f"{name}.pem"
            path.touch(mode=0o600)
            path.write_bytes(getattr(self, f"{name}_pem"))


def _name(common_name: str, *, unit: str = "", user_id: str = "") -> x509.Name:
    parts = [(NameOID.USER_ID, user_id), (NameOID.COMMON_NAME, common_name)]
    parts += [(NameOID.ORGANIZATIONAL_UNIT_NAME, unit), (NameOID.ORGANIZATION_NAME, "Emulated")]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def _issue(  # noqa: PLR0913
    name: x509.Name,
    *,
    issuer: Issued | None = None,
    is_authority: bool = False,
    usages: Sequence[x509.ObjectIdentifier] = (),
    addresses: Sequence[str] = (),
    not_before: datetime | None = None,
    valid_days: int = VALID_DAYS,
) -> Issued:
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    begins_at = not_before or datetime.now(UTC) - timedelta(hours=1)
    if is_authority:
        valid_days = AUTHORITY_VALID_DAYS
    signer = issuer.private_key if issuer else private_key
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins_at)
        .not_valid_after(begins_at + timedelta(days=valid_days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private_key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(_key_usage(is_authority=is_authority), critical=True)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if addresses:
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Issued(builder.sign(signer, hashes.SHA256()), private_key)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
