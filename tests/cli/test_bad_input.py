# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with what people type or give: one sentence, a code, no traceback."""

from __future__ import annotations

import pytest

from provisioning.image import FLASH_SIZE
from tests.cli.conftest import Shell

ROOT = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
ROOT += "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"

CASES = [
    (("verify", "none", "--root", ROOT), "none cannot be read"),
    (("verify", "empty", "--root", ROOT), "is no token"),
    (("verify", "text", "--root", ROOT), "is no token"),
    (("verify", "proof", "--root", ROOT), "is not to be believed: fraud proof:"),
    (("verify", "bundle", "--root", ROOT), "is not to be believed: bundle:"),
    (("verify", "note", "--root", ROOT), "is not to be believed: note:"),
    (("verify", "note", "--root", "zz"), "is no root key"),
    (("verify", "note", "--root", "00" * 64), "is no root key of P-256"),
    (("verify", ".", "--root", ROOT), "cannot be read"),
    (("verify", "note", "--root", ROOT, "--certificates", "nowhere"), "nowhere"),
    (("demo", "nosuch"), "There is no scenario 'nosuch'"),
    (("demo", "text"), "is not TOML"),
    (("demo", "special", "--keep", "text"), "is not an empty folder"),
    (("card", "info", "--card", "usb7"), "'usb7' names no card"),
    (("card", "info", "--card", "board:carol"), "board"),
    (("card", "info", "--card", "/dev/null"), "/dev/null is not a serial port"),
    (("card", "info", "--card", "/dev/none"), "/dev/none"),
    (("card", "load", "12x", "--card=board:x", "--bank=.", "--bank-name=b"), "'12x' is not"),
    (("card", "load", "1", "--card=board:x", "--bank=.", "--bank-name=b"), ""),
    (("card", "rescue", "out"), "either --card or --image"),
    (("card", "rescue", "out", "--card=board:x", "--image=text"), "either --card or --image"),
    (("card", "rescue", "out", "--card=usb7"), "'usb7' names no card"),
    (("card", "rescue", "out", "--card=board:carol"), "carol"),
    (("card", "rescue", "text", "--card=board:carol"), "text exists already"),
    (("card", "rescue", "text", "--image=text"), "text exists already"),
    (("card", "rescue", "out", "--image=nowhere"), "nowhere cannot be read"),
    (("card", "rescue", "out", "--image=."), "cannot be read"),
    (("card", "rescue", "out", "--image=text"), "text is not as large as a flash image"),
    (("card", "rescue", "no/out", "--image=flash"), "no/out cannot be written"),
    (("bank", "rescue", "nowhere", "text"), "nowhere"),
    (("bank", "balances", "nowhere"), "nowhere"),
    (("bank", "found", "text"), "text"),
    (("bank", "audit", "."), ""),
    (("bank", "serve", "nowhere"), ""),
    (("bank", "till", "nowhere", "shop", "package"), ""),
    (("pos", "sell", "5", "--card", "board:x"), "There is no till"),
    (("pos", "payments"), "There is no till"),
    (("pos", "init", "till", "nowhere"), "There is no folder nowhere"),
    (("pos", "init", "till", "."), "There is no till"),
    (("pos", "bundle", "file"), "There is no till"),
    (("board", "start", "../x"), ""),
    (("board", "stop", "carol"), "carol"),
    (("board", "start", "dave", "--bits", "16"), "64 or 32 bits"),
]


@pytest.mark.parametrize(("words", "says"), CASES, ids=lambda value: " ".join(value)[:40])
def test_one_sentence(qalta: Shell, words: tuple[str, ...], says: str) -> None:
    folder = qalta.folder
    (folder / "empty").write_bytes(b"")
    (folder / "text").write_text("= hello\n")
    (folder / "proof").write_bytes(b"\x07\x01" + bytes(100))
    (folder / "bundle").write_bytes(b"\x0a\x01" + bytes(100))
    (folder / "note").write_bytes(b"\x02\x01" + bytes(100))
    (folder / "flash").write_bytes(b"\xff" * FLASH_SIZE)
    assert says in qalta.bad(*words, pin="2580")


def test_help_everywhere(qalta: Shell) -> None:
    for words in ((), ("demo",), ("verify",), ("pos",), ("card",), ("bank",), ("board",)):
        assert "Usage" in qalta.good(*words, "--help")
