"""What a phone checks before it takes a pass: every file's hash, the signature, and who signed.

Read with pyasn1, since `cryptography` makes such signatures but does not verify them.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import pkcs7
from pyasn1.codec.der import decoder, encoder
from pyasn1.error import PyAsn1Error
from pyasn1_modules import rfc5652

_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_SIGNING_TIME = "1.2.840.113549.1.9.5"
_SET_TAG = b"\x31"
_ALWAYS_UNSIGNED = {"manifest.json", "signature"}


class InvalidPassError(ValueError):
    """An archive that a phone would not take; says why."""


def open_pass(archive: bytes, root: x509.Certificate) -> dict[str, Any]:
    """Return the pass.json of an archive, when everything about it holds.

    Raises InvalidPassError.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
    except zipfile.BadZipFile as error:
        raise InvalidPassError("It is not a ZIP archive.") from error
    for needed in ("pass.json", "icon.png", "manifest.json", "signature"):
        if needed not in files:
            raise InvalidPassError(f"It has no {needed}.")
    manifest = json.loads(files["manifest.json"])
    if manifest.keys() != files.keys() - _ALWAYS_UNSIGNED:
        raise InvalidPassError("The manifest does not name the files that are there.")
    for name, expected in manifest.items():
        if hashlib.sha1(files[name], usedforsecurity=False).hexdigest() != expected:
            raise InvalidPassError(f"{name} is not what the manifest says.")
    signer = _verify(files["signature"], files["manifest.json"], root)
    content: dict[str, Any] = json.loads(files["pass.json"])
    names = {str(name.value) for name in signer.subject}
    for field in ("passTypeIdentifier", "teamIdentifier"):
        if content[field] not in names:
            raise InvalidPassError(f"Its {field} is not the signer's.")
    return content


def _verify(signature: bytes, manifest: bytes, root: x509.Certificate) -> x509.Certificate:
    """Return who signed the manifest. Raises InvalidPassError."""
    try:
        envelope, _ = decoder.decode(signature, asn1Spec=rfc5652.ContentInfo())
        signed, _ = decoder.decode(envelope["content"], asn1Spec=rfc5652.SignedData())
        info = signed["signerInfos"][0]
        attributes = {
            str(attribute["attrType"]): attribute["attrValues"][0].asOctets()
            for attribute in info["signedAttrs"]
        }
        # What is signed is the attributes as a SET, whatever tag they have inside the message.
        attested = _SET_TAG + encoder.encode(info["signedAttrs"])[1:]
        if signed["encapContentInfo"]["eContent"].hasValue():
            raise InvalidPassError("The signature is not detached.")
        certificates = pkcs7.load_der_pkcs7_certificates(signature)
        signer = _chained(certificates, int(info["sid"][0]["serialNumber"]), root)
        if _SIGNING_TIME not in attributes:
            raise InvalidPassError("The signature has no time.")
        if not attributes[_MESSAGE_DIGEST].endswith(hashlib.sha256(manifest).digest()):
            raise InvalidPassError("The signature is of another manifest.")
        _check(signer, info["signature"].asOctets(), attested)
    except (PyAsn1Error, InvalidSignature, IndexError, KeyError, TypeError) as error:
        raise InvalidPassError(f"The signature does not hold: {type(error).__name__}") from error
    return signer


def _chained(
    certificates: list[x509.Certificate], serial_number: int, root: x509.Certificate
) -> x509.Certificate:
    """Return the signer's certificate, which another one in the message, issued by root, vouches for."""
    [signer] = [one for one in certificates if one.serial_number == serial_number]
    for issuer in certificates:
        try:
            signer.verify_directly_issued_by(issuer)
            issuer.verify_directly_issued_by(root)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return signer
    raise InvalidPassError("Nobody whom the phone trusts vouches for the signer.")


def _check(signer: x509.Certificate, signature: bytes, attested: bytes) -> None:
    key = signer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, attested, padding.PKCS1v15(), SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, attested, ec.ECDSA(SHA256()))
    else:
        raise InvalidPassError("The signer's key is of an unknown kind.")
