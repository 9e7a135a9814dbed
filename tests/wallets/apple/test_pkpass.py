"""The archive that a phone installs: what is in it, and that its signature holds."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty_wallet.emulator.apple import Authority
from loyalty_wallet.wallets.apple import pkpass
from loyalty_wallet.wallets.apple.certificates import Certificates
from loyalty_wallet.wallets.apple.pkpass import PassTemplate, bundle

FILES = {"icon.png": b"icon" * 100, "de.lproj/logo@2x.png": b"logo" * 50, "empty.png": b""}
PASS = b'{"formatVersion":1}'


def unsigned(manifest: bytes) -> bytes:
    return b"signature of " + hashlib.sha256(manifest).digest()


def opened(archive: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(archive))


class TestArchive:
    def test_holds_what_belongs_to_it_and_nothing_else(self) -> None:
        """Files at their paths, manifest and signature at the root, each once, undamaged."""
        archive = opened(PassTemplate(FILES).build(PASS, unsigned))
        assert archive.testzip() is None
        names = archive.namelist()
        assert sorted(names) == sorted([*FILES, "pass.json", "manifest.json", "signature"])
        assert archive.read("pass.json") == PASS
        for name, content in FILES.items():
            assert archive.read(name) == content

    def test_the_manifest_has_the_hash_of_every_other_file(self) -> None:
        """SHA-1, as the format has it; not of itself, nor of the signature over it."""
        archive = opened(PassTemplate(FILES).build(PASS, unsigned))
        manifest = json.loads(archive.read("manifest.json"))
        expected = {"pass.json": PASS, **FILES}
        assert manifest == {
            name: hashlib.sha1(content).hexdigest()  # noqa: S324
            for name, content in expected.items()
        }
        assert archive.read("signature") == unsigned(archive.read("manifest.json"))

    def test_entries_are_plain(self) -> None:
        """Stored, at one fixed moment, without encryption, ZIP64 or trailing descriptors."""
        for entry in opened(PassTemplate(FILES).build(PASS, unsigned)).infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert (entry.flag_bits, entry.extra, entry.comment) == (0, b"", b"")

    def test_the_same_pass_gives_the_same_bytes(self) -> None:
        """Whatever order the files were found in."""
        backwards = dict(reversed(FILES.items()))
        one, other = PassTemplate(FILES), PassTemplate(backwards)
        assert one.build(PASS, unsigned) == other.build(PASS, unsigned)
        assert one.digest == other.digest

    def test_one_pass_leaves_no_trace_in_the_next(self) -> None:
        """A template is completed again and again."""
        template = PassTemplate(FILES)
        first = template.build(PASS, unsigned)
        template.build(b"{}", unsigned)
        assert template.build(PASS, unsigned) == first

    @pytest.mark.parametrize(
        "files",
        [
            {**FILES, "icon.png": b"other"},
            {**FILES, "logo.png": b""},
            {"icon.png": FILES["icon.png"]},
        ],
    )
    def test_the_digest_tells_templates_apart(self, files: dict[str, bytes]) -> None:
        """Another content, another file, one file less."""
        assert PassTemplate(files).digest != PassTemplate(FILES).digest

    @given(
        st.dictionaries(
            st.from_regex(r"[a-z]{1,8}(\.lproj/[a-z]{1,8})?", fullmatch=True),
            st.binary(max_size=300),
            max_size=6,
        ),
        st.binary(max_size=300),
    )
    def test_any_content(self, files: dict[str, bytes], pass_json: bytes) -> None:
        """Python's own reader finds every byte again."""
        archive = opened(PassTemplate(files).build(pass_json, unsigned))
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in files} == files
        assert archive.read("pass.json") == pass_json

    def test_openssl_verifies_it(self, tmp_path: Path) -> None:
        """The whole way: a certificate of Apple's shape, an archive, and a stranger's tool."""
        apple = Authority(pass_type_identifier="pass.example", team_identifier="ABCDE12345")
        identity = Certificates(
            certificate=apple.certificate_pem,
            private_key=apple.private_key_pem,
            wwdr_certificate=apple.wwdr_pem,
            pass_type_identifier="pass.example",
            team_identifier="ABCDE12345",
        ).load()
        opened(PassTemplate(FILES).build(PASS, identity.sign)).extractall(tmp_path)
        (tmp_path / "root.pem").write_bytes(apple.root_pem)
        verify = ["openssl", "smime", "-verify", "-binary", "-inform", "DER", "-purpose", "any"]
        files = ["-in", "signature", "-content", "manifest.json", "-CAfile", "root.pem"]
        done = subprocess.run([*verify, *files], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (tmp_path / "manifest.json").read_bytes()
        (tmp_path / "manifest.json").write_bytes(done.stdout + b" ")
        done = subprocess.run([*verify, *files], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode != 0


class TestBundle:
    def test_holds_the_passes(self) -> None:
        """Safari adds all of them at once."""
        found = opened(bundle([b"one", b"two"]))
        assert [found.read(name) for name in found.namelist()] == [b"one", b"two"]
        assert all(name.endswith(".pkpass") for name in found.namelist())

    @pytest.mark.parametrize("count", [0, 11])
    def test_ten_at_most(self, count: int) -> None:
        """Apple's limit."""
        with pytest.raises(ValueError, match="1 to 10"):
            bundle([b"pass"] * count)

    def test_150_megabytes_at_most(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Apple's other limit."""
        monkeypatch.setattr(pkpass, "MOST_BUNDLED_BYTES", 5)
        with pytest.raises(ValueError, match="5 bytes"):
            bundle([b"one", b"two"])
