"""Reading Apple's certificates: every form that people have them in, and what is said when wrong."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from loyalty_wallet.emulator.apple import Authority
from loyalty_wallet.exceptions import MisconfiguredError
from loyalty_wallet.wallets.apple import certificates as module
from loyalty_wallet.wallets.apple.certificates import Certificates

PASS_TYPE = "pass.com.example.loyalty"
TEAM = "ABCDE12345"
PASSWORD = b"open sesame"


@pytest.fixture(scope="module")
def apple() -> Authority:
    return Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM)


def certificates(apple: Authority, **changes: Any) -> Certificates:
    sources = {
        "certificate": apple.certificate_pem,
        "private_key": apple.private_key_pem,
        "wwdr_certificate": apple.wwdr_pem,
        "pass_type_identifier": PASS_TYPE,
        "team_identifier": TEAM,
        **changes,
    }
    return Certificates(**sources)


def as_p12(apple: Authority, *, with_wwdr: bool = True) -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"pass",
        apple.pass_certificate.private_key,
        apple.pass_certificate.certificate,
        [apple.wwdr.certificate] if with_wwdr else None,
        BestAvailableEncryption(PASSWORD),
    )


class TestForms:
    def test_inline_pem(self, apple: Authority) -> None:
        """Bytes or text that is PEM is taken as it is."""
        identity = certificates(apple, certificate=apple.certificate_pem.decode()).load()
        assert identity.certificate == apple.pass_certificate.certificate

    def test_paths(self, apple: Authority, tmp_path: Path) -> None:
        """A path may be text or a Path."""
        apple.write(tmp_path)
        identity = certificates(
            apple,
            certificate=str(tmp_path / "certificate.pem"),
            private_key=tmp_path / "private_key.pem",
            wwdr_certificate=lambda: tmp_path / "wwdr.pem",
        ).load()
        assert identity.certificate == apple.pass_certificate.certificate
        assert identity.wwdr == apple.wwdr.certificate

    def test_one_file_with_everything(self, apple: Authority) -> None:
        """Certificate, key and issuer may come in one file, in any order."""
        bundle = apple.wwdr_pem + apple.private_key_pem + apple.certificate_pem
        identity = certificates(
            apple, certificate=bundle, private_key=None, wwdr_certificate=None
        ).load()
        assert identity.certificate == apple.pass_certificate.certificate

    @pytest.mark.parametrize("with_wwdr", [True, False])
    def test_pkcs12(self, apple: Authority, *, with_wwdr: bool) -> None:
        """PKCS#12, with its password, as Keychain exports it."""
        identity = certificates(
            apple,
            certificate=as_p12(apple, with_wwdr=with_wwdr),
            private_key=None,
            private_key_password=PASSWORD,
            wwdr_certificate=None if with_wwdr else apple.wwdr_pem,
        ).load()
        assert identity.certificate == apple.pass_certificate.certificate

    def test_der_as_the_portal_gives_it(self, apple: Authority) -> None:
        """Apple's portal gives .cer files, which are DER."""
        identity = certificates(
            apple,
            certificate=apple.pass_certificate.certificate.public_bytes(Encoding.DER),
            wwdr_certificate=apple.wwdr.certificate.public_bytes(Encoding.DER),
        ).load()
        assert identity.wwdr == apple.wwdr.certificate

    @pytest.mark.parametrize("password", [PASSWORD, PASSWORD.decode(), lambda: PASSWORD])
    def test_encrypted_key(self, apple: Authority, password: Any) -> None:
        """The password of a key may be given or fetched."""
        key = apple.pass_certificate.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD)
        )
        loaded = certificates(apple, private_key=key, private_key_password=password).load()
        assert loaded.certificate == apple.pass_certificate.certificate

    def test_the_issuer_is_chosen_among_intermediates_of_the_same_name(
        self, apple: Authority
    ) -> None:
        """Apple has a WWDR certificate a generation; the one whose key issued ours is taken."""
        others = apple.issue_intermediate().certificate_pem
        identity = certificates(apple, wwdr_certificate=others + apple.wwdr_pem).load()
        assert identity.wwdr == apple.wwdr.certificate


class TestSigning:
    @pytest.mark.parametrize("manifest", [b'{"a":"b"}', b'{\n  "a": "b",\n  "c": "d"\n}\n'])
    def test_openssl_verifies(self, apple: Authority, tmp_path: Path, manifest: bytes) -> None:
        """A detached signature over the exact bytes, line ends included, with our chain in it."""
        apple.write(tmp_path)
        (tmp_path / "manifest").write_bytes(manifest)
        (tmp_path / "signature").write_bytes(certificates(apple).load().sign(manifest))
        verify = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any"]
        files = ["-in", "signature", "-content", "manifest", "-CAfile", "root.pem"]
        done = subprocess.run(
            [*verify, *files, "-out", "out"], cwd=tmp_path, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out").read_bytes() == manifest

    def test_the_time_of_signing_is_in_it(self, apple: Authority) -> None:
        """Wallet refuses a signature without it (OID 1.2.840.113549.1.9.5)."""
        signature = certificates(apple).load().sign(b"{}")
        assert bytes.fromhex("06092a864886f70d010905") in signature

    def test_the_client_context_needs_no_file_on_disk(self, apple: Authority) -> None:
        """It presents the certificate and speaks HTTP/2 only."""
        context = certificates(apple).load().client_context()
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode == ssl.CERT_REQUIRED

    def test_unreadable_authorities(self, apple: Authority, tmp_path: Path) -> None:
        """A missing file of authorities is named."""
        with pytest.raises(MisconfiguredError, match=r"nowhere\.pem"):
            certificates(apple).load().client_context(str(tmp_path / "nowhere.pem"))


class TestWrong:
    def problem(self, apple: Authority, **changes: Any) -> str:
        (problem,) = certificates(apple, **changes).check()
        return problem

    def test_nothing_is_wrong(self, apple: Authority) -> None:
        """A sound configuration gives no problem."""
        assert certificates(apple).check() == []

    def test_another_pass_type(self, apple: Authority) -> None:
        """The certificate's UID must be the pass type identifier."""
        assert "pass.com.other" in self.problem(apple, pass_type_identifier="pass.com.other")

    def test_another_team(self, apple: Authority) -> None:
        """The certificate's OU must be the team."""
        assert "ZZZZZ99999" in self.problem(apple, team_identifier="ZZZZZ99999")

    def test_another_key(self, apple: Authority) -> None:
        """The key must belong to the certificate."""
        other = apple.issue_pass_certificate()
        assert "does not belong" in self.problem(apple, private_key=other.private_key_pem)

    def test_another_issuer(self, apple: Authority) -> None:
        """Case: G6 where G4 issued; the generation that is needed is named."""
        other = apple.issue_intermediate("G6").certificate_pem
        assert "WWDR G4" in self.problem(apple, wwdr_certificate=other)

    def test_no_key(self, apple: Authority) -> None:
        """A certificate alone cannot sign."""
        assert "without its private key" in self.problem(apple, private_key=None)

    def test_another_kind_of_certificate(self, apple: Authority) -> None:
        """A certificate that may not authenticate a client is no Pass Type ID certificate."""
        server = apple.issue_server_certificate(user_id=PASS_TYPE, unit=TEAM)
        assert "no Pass Type ID certificate" in self.problem(
            apple,
            certificate=server.certificate_pem,
            private_key=server.private_key_pem,
            wwdr_certificate=apple.root_pem,
        )

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"certificate": b"-----BEGIN RUBBISH-----"}, "no certificate"),
            ({"certificate": b"0rubbish"}, "neither PEM nor DER"),
            ({"certificate": "/no/such/file.pem"}, "/no/such/file.pem"),
            ({"certificate": ""}, "no Pass Type ID certificate"),
            ({"private_key": b"-----BEGIN PRIVATE KEY-----\nrubbish"}, "not readable"),
            ({"wwdr_certificate": b"0rubbish"}, "no certificate in the WWDR"),
            ({"private_key_password": "not needed"}, "remove private_key_password"),
            ({"certificate": lambda: 1 / 0}, "ZeroDivisionError"),
            ({"private_key_password": lambda: 1 / 0}, "ZeroDivisionError"),
        ],
    )
    def test_rubbish(self, apple: Authority, change: dict[str, Any], words: str) -> None:
        """Each wrong source is named in one sentence."""
        assert words in self.problem(apple, **change)

    def test_encrypted_without_password(self, apple: Authority) -> None:
        """The missing setting is named."""
        key = apple.pass_certificate.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD)
        )
        assert "private_key_password" in self.problem(apple, private_key=key)

    def test_another_algorithm(self, apple: Authority) -> None:
        """Apple takes RSA; elliptic curves work; nothing else does."""
        key = ed25519.Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        assert "neither RSA" in self.problem(apple, private_key=key)

    def test_expired(self, apple: Authority) -> None:
        """The day is named, also when it passes while the process runs."""
        loaded = certificates(apple)
        assert loaded.check() == []
        with time_machine.travel(datetime.now(UTC) + timedelta(days=400)):
            assert "expired on" in loaded.check()[0]

    def test_not_yet_valid(self, apple: Authority) -> None:
        """A certificate of tomorrow hints at the clock."""
        tomorrow = apple.issue_pass_certificate(not_before=datetime.now(UTC) + timedelta(days=1))
        assert "clock" in self.problem(
            apple,
            certificate=tomorrow.certificate_pem,
            private_key=tomorrow.private_key_pem,
        )

    def test_no_secret_is_shown(self, apple: Authority) -> None:
        """A key in the wrong place is never quoted, nor is one in a repr."""
        key = apple.private_key_pem.decode().replace("-----BEGIN", "-----BEGUN")
        secret = key.splitlines()[5]
        problem = self.problem(apple, private_key=key)
        assert secret not in problem
        assert "RSAPrivateKey" not in repr(certificates(apple).load())


class TestRotation:
    def test_replaced_files_are_taken_up(
        self, apple: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While certificate and key do not match the last good pair serves; then the new one."""
        monkeypatch.setattr(module, "REREAD_SECONDS", 0)
        apple.write(tmp_path)
        loaded = certificates(
            apple,
            certificate=tmp_path / "certificate.pem",
            private_key=tmp_path / "private_key.pem",
        )
        first = loaded.load()
        renewed = apple.issue_pass_certificate()

        (tmp_path / "certificate.pem").write_bytes(renewed.certificate_pem)
        between = loaded.load()
        (tmp_path / "private_key.pem").write_bytes(renewed.private_key_pem)
        after = loaded.load()

        assert between is first
        assert after.certificate == renewed.certificate

    def test_a_missing_file_is_taken_up_when_it_comes(
        self, apple: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was wrong at the start needs no restart either."""
        monkeypatch.setattr(module, "REREAD_SECONDS", 0)
        loaded = certificates(apple, certificate=tmp_path / "certificate.pem")
        with pytest.raises(MisconfiguredError):
            loaded.load()
        apple.write(tmp_path)
        assert loaded.load().certificate == apple.pass_certificate.certificate

    def test_the_next_certificate_may_lie_beside_the_present_one(self, apple: Authority) -> None:
        """Put there ahead of time; each serves when it is valid, the one that ends last first."""
        now = datetime.now(UTC)
        present = apple.pass_certificate
        future = apple.issue_pass_certificate(not_before=now + timedelta(days=100))
        loaded = certificates(
            apple,
            certificate=present.certificate_pem + future.certificate_pem,
            private_key=present.private_key_pem + future.private_key_pem,
        )
        assert loaded.check() == []
        assert loaded.load().certificate == present.certificate
        for days in (101, 450):
            with time_machine.travel(now + timedelta(days=days)):
                identity = loaded.load()
            assert identity.certificate == future.certificate
            assert identity.private_key.public_key() == future.certificate.public_key()
        assert loaded.expires_at() == future.certificate.not_valid_after_utc
        with time_machine.travel(now + timedelta(days=600)):
            assert f"expired on {future.certificate.not_valid_after_utc:%Y-%m-%d}" in str(
                loaded.check()
            )

    def test_everything_in_one_file(self, apple: Authority) -> None:
        """Both pairs and their issuer, as `cat` makes it."""
        renewed = apple.issue_pass_certificate(valid_days=500)
        parts = (
            apple.certificate_pem,
            apple.private_key_pem,
            renewed.certificate_pem,
            renewed.private_key_pem,
            apple.wwdr_pem,
        )
        loaded = certificates(
            apple, certificate=b"".join(parts), private_key=None, wwdr_certificate=None
        )
        assert loaded.load().certificate == renewed.certificate

    def test_a_next_one_that_is_of_no_use_is_told_and_does_no_harm(self, apple: Authority) -> None:
        """It is found out by `check` while there is time, not on the day that the old one ends."""
        wrong = apple.issue_pass_certificate(team_identifier="OTHERTEAM1", valid_days=500)
        loaded = certificates(
            apple,
            certificate=apple.certificate_pem + wrong.certificate_pem,
            private_key=apple.private_key_pem + wrong.private_key_pem,
        )
        (problem,) = loaded.check()
        assert "of no use" in problem
        assert "OTHERTEAM1" in problem
        assert loaded.load().certificate == apple.pass_certificate.certificate

    def test_nothing_is_parsed_twice(self, apple: Authority) -> None:
        """Checking an RSA key takes as long as signing a hundred passes."""
        loaded = certificates(apple)
        assert loaded.load() is loaded.load()
