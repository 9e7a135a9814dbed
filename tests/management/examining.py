"""Having the doctor look, and reading what it found."""

from __future__ import annotations

import json
from io import StringIO

from django.core.management import call_command

HERE = {"W003"}
"""What is always said of an emulator: its address is this machine's."""


def examine(*args: str) -> tuple[int, dict[str, dict[str, str]]]:
    """Run the command; return its exit status and what it found bad, by code."""
    status, found = everything(*args)
    bad = {
        finding["code"]: finding for finding in found if finding["grade"] in ("warning", "error")
    }
    return status, {code: finding for code, finding in bad.items() if code not in HERE}


def everything(*args: str) -> tuple[int, list[dict[str, str]]]:
    stdout = StringIO()
    status = 0
    try:
        call_command("wallet_doctor", "--json", *args, stdout=stdout)
    except SystemExit as error:
        status = int(error.code or 0)
    content = json.loads(stdout.getvalue())
    assert content["is_well"] is (status == 0)
    return status, content["findings"]


def good(*args: str) -> set[str]:
    return {finding["code"] for finding in everything(*args)[1] if finding["grade"] == "good"}
