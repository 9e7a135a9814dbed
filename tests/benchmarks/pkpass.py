"""Signed passes a second on one core, beside django-walletpass and edutap-wallet-apple.

All three build the same storeCard with the same images and the same RSA-2048 key, one pass after
the other in a process of their own; every pass differs in its points. Ours are verified as a phone
would before they count.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loyalty_wallet.cards import Barcode, Card, Program
from loyalty_wallet.emulator.apple import Authority
from loyalty_wallet.emulator.apple.signatures import open_pass
from loyalty_wallet.wallets.apple import AppleWallet
from loyalty_wallet.wallets.apple.payloads import store_card
from tests.benchmarks.measure import BenchmarkError, in_fresh_process, machine, promise, show

PASS_TYPE, TEAM = "pass.com.example.loyalty", "ABCDE12345"
URL = "https://shop.example/wallet/apple"
REQUIREMENTS = "tests/benchmarks/requirements-pkpass.txt"
IMAGES = [f"{name}{size}.png" for name in ("icon", "logo") for size in ("", "@2x", "@3x")]
SIZES_KB = (24, 494)
PROMISED_RATE = 1300
PROMISED_RATIO = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=5, help="for each figure (default 5)")


def run(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="loyalty-wallet-benchmark-") as name:
        folder = Path(name)
        Authority(pass_type_identifier=PASS_TYPE, team_identifier=TEAM).write(folder)
        rates = {
            kilobytes: {
                contender: in_fresh_process(_measure, contender, folder, kilobytes, options.seconds)
                for contender in _contenders()
            }
            for kilobytes in SIZES_KB
        }
    rows = []
    notes = []
    for kilobytes, by_name in rates.items():
        ours = by_name["ours"]
        rivals = {contender: rate for contender, rate in by_name.items() if contender != "ours"}
        for contender, rate in by_name.items():
            ratio = f"{ours / rate:.0f}"
            rows.append((f"{contender}, {kilobytes} KB of images", f"{rate:,.0f}", ratio))
        notes.append(
            f"{kilobytes} KB: {ours:,.0f} a second (promised {PROMISED_RATE:,}, "
            f"{promise(ours >= PROMISED_RATE)})"
            + (
                f", {ours / max(rivals.values()):.0f} times the better rival (promised "
                f"{PROMISED_RATIO}, {promise(ours >= PROMISED_RATIO * max(rivals.values()))})."
                if rivals
                else f". No rivals: pip install -r {REQUIREMENTS}"
            )
        )
    show("Signed passes on one core", ("", "a second", "ratio"), rows, notes=[*notes, _facts()])


def _contenders() -> list[str]:
    contenders = ["ours"]
    if find_spec("django_walletpass"):
        contenders.append("django-walletpass")
    # Others of its family have the same top package.
    if find_spec("edutap") and find_spec("edutap.wallet_apple"):
        contenders.append("edutap-wallet-apple")
    return contenders


def _measure(contender: str, folder: Path, kilobytes: int, seconds: float) -> float:
    """Return how many passes a second a contender builds."""
    images = folder / f"images{kilobytes}"
    if not images.exists():
        images.mkdir()
        for name in IMAGES:
            (images / name).write_bytes(_noise(kilobytes * 1024 // len(IMAGES)))
    makers: dict[str, Callable[[Path, Path], Callable[[int], bytes]]] = {
        "ours": _ours,
        "django-walletpass": _django_walletpass,
        "edutap-wallet-apple": _edutap,
    }
    build = makers[contender](folder, images)
    first = build(0)
    if contender == "ours":
        _require_valid(first, folder)
    if len(first) < kilobytes * 1024:
        raise BenchmarkError(f"{contender} left images out.")
    count = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        count += 1
        build(count)
    return count / (time.perf_counter() - started)


def _ours(folder: Path, images: Path) -> Callable[[int], bytes]:
    wallet = AppleWallet(
        "apple",
        pass_type_identifier=PASS_TYPE,
        team_identifier=TEAM,
        certificate=folder / "certificate.pem",
        private_key=folder / "private_key.pem",
        wwdr_certificate=folder / "wwdr.pem",
        web_service_url=URL,
        images=str(images),
    )

    def build(points: int) -> bytes:
        payload = wallet.render(example_card(points), remote_id="0f3c", program_id=PASS_TYPE)
        return wallet.archive(payload, authentication_token="t" * 32, program_key="club")

    return build


def _django_walletpass(folder: Path, images: Path) -> Callable[[int], bytes]:
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="benchmark",
        INSTALLED_APPS=["django.contrib.contenttypes", "django_walletpass"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        WALLETPASS={
            "CERT_PATH": str(folder / "certificate.pem"),
            "KEY_PATH": str(folder / "private_key.pem"),
            "APPLE_WWDRCA_PEM_PATH": str(folder / "wwdr.pem"),
            "PASS_TYPE_ID": PASS_TYPE,
            "TEAM_ID": TEAM,
            "SERVICE_URL": URL,
        },
    )
    django.setup()
    from django_walletpass.services import PassBuilder

    contents = {name: (images / name).read_bytes() for name in IMAGES}

    def build(points: int) -> bytes:
        builder = PassBuilder()
        builder.pass_data = dict(_pass_json(points))
        for name, content in contents.items():
            builder.add_file(name, content)
        archive: bytes = builder.build()
        return archive

    return build


def _edutap(folder: Path, images: Path) -> Callable[[int], bytes]:
    from edutap.wallet_apple import api
    from edutap.wallet_apple.settings import Settings

    (folder / f"certificate-{PASS_TYPE}.pem").write_bytes((folder / "certificate.pem").read_bytes())
    settings = Settings(
        cert_dir=folder,
        private_key=folder / "private_key.pem",
        wwdr_certificate=folder / "wwdr.pem",
        team_identifier=TEAM,
    )
    contents = {name: (images / name).read_bytes() for name in IMAGES}

    def build(points: int) -> bytes:
        pkpass = api.new(data=_pass_json(points))
        for name, content in contents.items():
            pkpass._add_file(name, io.BytesIO(content))
        api.sign(pkpass, settings=settings)
        archive: bytes = pkpass.as_zip_bytesio().getvalue()
        return archive

    return build


def example_card(points: int) -> Card:
    program = Program(key="club", name="Coffee Club", issuer_name="Corner Coffee")
    return Card(
        key="1",
        program=program,
        card_number="4711",
        holder_name="Ada Adler",
        points_balance=points,
        barcode=Barcode(value="4711"),
    )


def _pass_json(points: int) -> dict[str, Any]:
    content = store_card(
        example_card(points),
        serial_number="0f3c",
        pass_type_identifier=PASS_TYPE,
        team_identifier=TEAM,
        web_service_url=URL,
    )
    return {**content, "authenticationToken": "t" * 32}


def _require_valid(archive: bytes, folder: Path) -> None:
    from cryptography import x509

    root = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
    open_pass(archive, root)


def _noise(size: int) -> bytes:
    """Return a PNG in name: its signature, and bytes that do not shrink."""
    chunk = os.urandom(size)
    crc = zlib.crc32(chunk).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk + crc


def _facts() -> str:
    import django

    return f"{machine()}, Django {django.__version__}."
