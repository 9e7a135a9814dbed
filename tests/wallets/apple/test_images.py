"""Images of a program's passes: whose is taken, and when a change is noticed."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from loyalty_wallet.exceptions import MisconfiguredError
from loyalty_wallet.wallets.apple import images as module
from loyalty_wallet.wallets.apple.images import Images

SIZES = ("", "@2x", "@3x")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PNG + content)


def contents(images: Images, program_key: str = "club") -> dict[str, bytes]:
    archive = images.template_for(program_key).build(b"{}", lambda manifest: b"")
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


class TestWhose:
    def test_ours_where_there_are_none(self) -> None:
        """A pass without an icon does not install: there is always one, in every size."""
        found = contents(Images(None))
        for size in SIZES:
            assert found[f"icon{size}.png"].startswith(PNG)
            assert found[f"logo{size}.png"].startswith(PNG)

    def test_the_shops_replace_ours_in_all_sizes(self, folder: Path) -> None:
        """A phone must not pick our logo because the shop drew only one size."""
        put(folder / "logo.png", b"shop")
        found = contents(Images(str(folder)))
        assert found["logo.png"] == PNG + b"shop"
        assert "logo@2x.png" not in found
        assert "icon@2x.png" in found

    def test_a_programs_own_come_first(self, folder: Path) -> None:
        """A folder with the program's key holds what it has of its own."""
        put(folder / "logo.png", b"shop")
        put(folder / "strip.png", b"shop")
        put(folder / "club" / "logo.png", b"club")
        club, other = contents(Images(str(folder))), contents(Images(str(folder)), "other")
        assert (club["logo.png"], club["strip.png"]) == (PNG + b"club", PNG + b"shop")
        assert other["logo.png"] == PNG + b"shop"

    def test_localised_images_and_texts(self, folder: Path) -> None:
        """A folder for a language is taken over; texts of the shop's replace ours."""
        put(folder / "de.lproj" / "strip.png", b"deutsch")
        (folder / "de.lproj" / "pass.strings").write_text('"Points" = "Bohnen";\n')
        found = contents(Images(str(folder)))
        assert found["de.lproj/strip.png"] == PNG + b"deutsch"
        assert found["de.lproj/pass.strings"] == b'"Points" = "Bohnen";\n'
        assert "fr.lproj/pass.strings" in found

    def test_other_files_stay_outside(self, folder: Path) -> None:
        """A file that Wallet does not know makes it refuse the pass."""
        put(folder / ".DS_Store", b"")
        put(folder / "logo.psd", b"")
        put(folder / "de.lproj" / "notes.txt", b"")
        assert contents(Images(str(folder))).keys() == contents(Images(None)).keys()

    @pytest.mark.parametrize("key", ["..", ".", "", "../secret", "a/b", "de.lproj"])
    def test_a_key_never_leads_out_of_the_folder(self, folder: Path, key: str) -> None:
        """Program keys are anybody's text."""
        inside = folder / "inside"
        put(inside / "logo.png", b"shop")
        put(inside / "de.lproj" / "icon.png", b"no program")
        put(folder / "logo.png", b"outside")
        put(folder / "secret" / "logo.png", b"outside")
        found = contents(Images(str(inside)), key)
        assert found["logo.png"] == PNG + b"shop"
        assert found["icon.png"] != PNG + b"no program"

    def test_a_key_with_a_slash_has_a_folder_too(self, folder: Path) -> None:
        """It is spelt as in a URL."""
        put(folder / "a%2Fb" / "logo.png", b"slash")
        assert contents(Images(str(folder)), "a/b")["logo.png"] == PNG + b"slash"

    @pytest.mark.parametrize("key", ["é" * 191, "x" * 191])
    def test_a_key_too_long_for_a_folder(self, folder: Path, key: str) -> None:
        """It has none of its own, and is no reason to make no passes."""
        put(folder / "logo.png", b"shop")
        assert contents(Images(str(folder)), key)["logo.png"] == PNG + b"shop"


class TestChanges:
    def test_programs_without_images_share_one_template(self, folder: Path) -> None:
        """Ten thousand programs must not hold ten thousand copies."""
        images = Images(str(folder))
        assert images.template_for("one") is images.template_for("two")

    def test_a_changed_file_makes_another_version(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a restart; the digest is what the sync compares."""
        monkeypatch.setattr(module, "RECHECK_SECONDS", 0)
        images = Images(str(folder))
        digests = [images.template_for("club").digest]
        put(folder / "logo.png", b"new")
        digests.append(images.template_for("club").digest)
        put(folder / "club" / "logo.png", b"newer")
        digests.append(images.template_for("club").digest)
        assert len(set(digests)) == 3
        assert len(images._templates) == 1

    @pytest.mark.parametrize(
        ("content", "written_at"), [(b"new", 2_000_000_000), (b"newer", 1_000_000_000)]
    )
    def test_a_file_is_known_by_its_time_and_size(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, written_at: int
    ) -> None:
        """Either is enough: a logo of the same size, or one that was copied with its time."""
        monkeypatch.setattr(module, "RECHECK_SECONDS", 0)
        images = Images(str(folder))
        logo = folder / "logo.png"
        put(logo, b"old")
        os.utime(logo, (1_000_000_000, 1_000_000_000))
        before = images.template_for("club").digest
        put(logo, content)
        os.utime(logo, (written_at, written_at))
        assert images.template_for("club").digest != before

    def test_the_same_files_have_the_same_digest_everywhere(self, folder: Path) -> None:
        """Two servers, or two installations, must not take turns at making versions."""
        put(folder / "one" / "logo.png", b"same")
        put(folder / "two" / "logo.png", b"same")
        one, two = (Images(str(folder / name)).template_for("club") for name in ("one", "two"))
        assert one.digest == two.digest

    def test_files_are_not_looked_at_for_every_pass(self, folder: Path) -> None:
        """Rendering 50,000 cards must not cost 50,000 looks at a disk."""
        images = Images(str(folder))
        before = images.template_for("club")
        put(folder / "logo.png", b"new")
        assert images.template_for("club") is before


class TestWrong:
    def test_no_such_folder(self) -> None:
        """It is named."""
        with pytest.raises(MisconfiguredError, match="/no/such/folder"):
            Images("/no/such/folder").template_for("club")

    def test_no_png(self, folder: Path) -> None:
        """Wallet refuses a pass with anything else, without a word."""
        (folder / "logo.png").write_bytes(b"GIF89a")
        with pytest.raises(MisconfiguredError, match=r"logo\.png"):
            Images(str(folder)).template_for("club")

    def test_a_folder_for_a_file(self, folder: Path) -> None:
        """What cannot be read is named, too."""
        (folder / "logo.png").mkdir()
        with pytest.raises(MisconfiguredError, match=r"logo\.png"):
            Images(str(folder)).template_for("club")
