# SPDX-License-Identifier: Apache-2.0
"""`qalta reader install|remove`: the entry that the real pcscd reads, whole or not at all."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from host_bridge.cli import reader
from host_bridge.cli.main import app
from host_bridge.pcscd import entry, ports
from host_bridge.pcscd.driver import NAME, find_driver
from host_bridge.pcscd.entry import InstallError, Wanted
from host_bridge.pcscd.ports import Holder, PortError, UsbIdentity
from host_bridge.pcscd.service import Answer, Service, find_service, knock, restart
from host_bridge.transport.monitor import ReaderMonitor
from tests.cli.conftest import Shell
from tests.pcsc.service import TWIN_DRIVER, PcscService
from tests.pcsc.twin import TwinReader

_NOBODY = 65534
_NOTICE_S = 20.0  # pcscd looks into its readers every 0.4 s

DRIVERS = """\
/dev/tty             /dev/tty        5       0 system:/dev/tty
serial               /dev/ttyS       4 64-111 serial
usbserial            /dev/ttyUSB   188 0-511 serial
pty_slave            /dev/pts      136 0-1048575 pty:slave
unknown              /dev/tty        4 1-63 console
"""
USB = UsbIdentity("1a86", "55d4", "5647012345", "1-1.4")
WANTED = Wanted("/dev/ttyUSB0", Path("/dev/ttyUSB0"), USB, TWIN_DRIVER, True, "dialout")
SERVICE = Service(Path("/usr/sbin/pcscd"), "/run/pcscd/pcscd.comm", Answer.LISTENS, True)


@pytest.fixture
def port() -> Iterator[str]:
    """A pseudo-terminal, whose other end this process holds."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    yield name
    os.close(master)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A folder that stands for /etc."""
    folder = tmp_path / "etc"
    folder.mkdir()
    return folder


def good(*words: object) -> str:
    """`qalta reader …`, which must go well; returns what it printed."""
    result = CliRunner().invoke(reader.app, list(map(str, words)))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def bad(*words: object) -> str:
    """The same, refused; returns the sentence that `main` would print."""
    result = CliRunner().invoke(reader.app, list(map(str, words)))
    assert isinstance(result.exception, InstallError | PortError), result.output
    return str(result.exception)


def files(folder: Path) -> dict[str, str]:
    """Every file under a folder, by its path in it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def test_a_port_with_a_colon_in_its_name() -> None:
    """libccid would take what follows the colon for the framing."""
    named = replace(WANTED, port="/dev/serial/by-path/pci-0000:00:14.0-port0", usb=None)
    with pytest.raises(InstallError, match=r"a colon in its name.*/dev/serial/by-id\.$"):
        entry.plan(named)


def test_install_twice_and_remove_twice(port: str, etc: Path) -> None:
    told = good("install", port, "--etc", etc)
    assert str(entry.entry_path(etc)) in told
    written = files(etc)
    (text,) = written.values()
    assert list(written) == ["reader.conf.d/qalta"], "a pseudo-terminal needs no udev rule"
    lines = [line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("#")]
    assert dict(lines) == {
        "FRIENDLYNAME": '"Qalta Reader"',
        "DEVICENAME": f"{port}:GemPCTwin",
        "LIBPATH": str(TWIN_DRIVER),
        "CHANNELID": "0x51",
    }
    assert "installed already" in good("install", port, "--etc", etc)
    assert files(etc) == written
    assert "Removed" in good("remove", "--etc", etc)
    assert files(etc) == {}
    assert "No reader is installed." in good("remove", "--etc", etc)


def test_show_writes_nothing(port: str, etc: Path) -> None:
    told = good("install", port, "--etc", etc, "--show")
    assert f"DEVICENAME   {port}:GemPCTwin" in told
    assert f"reader install {port} --etc {etc}" in told and "sudo " in told
    assert files(etc) == {}
    good("install", port, "--etc", etc)
    before = files(etc)
    told = good("remove", "--etc", etc, "--show")
    assert f"# to be removed: {entry.entry_path(etc)}" in told and "reader remove" in told
    assert files(etc) == before


def test_without_root_the_command_is_shown(
    port: str, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_writable", lambda paths: False)
    done = CliRunner().invoke(reader.app, ["install", port, "--etc", str(etc)])
    assert done.exit_code == 1
    assert "DEVICENAME" in done.output and "sudo " in done.output
    assert "Nothing was changed: this needs root." in done.output
    assert files(etc) == {}
    entry.write(entry.plan(replace(WANTED, usb=None), etc), etc)
    done = CliRunner().invoke(reader.app, ["remove", "--etc", str(etc)])
    assert done.exit_code == 1 and "needs root" in done.output
    assert files(etc) != {}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/dev/null", "/dev/null is not a serial port."),
        ("/dev/tty", "/dev/tty is not a serial port."),
        ("/dev/none", "There is no serial port /dev/none."),
        ("/etc/passwd", "/etc/passwd is not a serial port."),
        ("ttyUSB0", "'ttyUSB0' is no serial port: give its path, such as /dev/ttyUSB0."),
        ("", "'' is no serial port"),
    ],
)
def test_what_is_no_serial_port(etc: Path, path: str, says: str) -> None:
    assert says in bad("install", path, "--etc", etc)
    assert says in bad("install", path, "--etc", etc, "--show")
    assert files(etc) == {}


def test_a_port_in_use(port: str, etc: Path) -> None:
    code = f"f = open({port!r}, 'rb', buffering=0); print('open', flush=True); input()"
    user = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with user:
        assert user.stdout is not None and user.stdin is not None
        assert user.stdout.readline() == b"open\n"
        told = bad("install", port, "--etc", etc)
        assert f"{port} is in use by python" in told and f"(process {user.pid})" in told
        user.stdin.write(b"\n")
        user.stdin.close()
        user.wait()
    assert files(etc) == {}


def test_a_port_that_another_entry_names(port: str, etc: Path) -> None:
    other = etc / "reader.conf.d" / "libccidtwin"
    other.parent.mkdir()
    other.write_text(f'# DEVICENAME {port}\nFRIENDLYNAME "x"\n')
    good("install", port, "--etc", etc, "--show")
    other.write_text(f'FRIENDLYNAME "x"\nDEVICENAME "{port}:GemPCTwin"\n')
    told = bad("install", port, "--etc", etc)
    assert f"{other} names {port} already" in told


def test_pcscd_may_have_the_port_that_our_entry_names(etc: Path, port: str) -> None:
    wanted = replace(WANTED, port=port, device=Path(port), usb=None)
    pcscd = [Holder(12, "pcscd")]
    with pytest.raises(InstallError, match="in use by pcscd"):
        entry.require_free(wanted, pcscd, etc)
    entry.write(entry.plan(wanted, etc), etc)
    entry.require_free(wanted, pcscd, etc)
    with pytest.raises(InstallError, match="in use by minicom"):
        entry.require_free(wanted, [*pcscd, Holder(13, "minicom")], etc)


def test_a_usb_port_gets_a_rule_and_a_name_that_lasts(etc: Path) -> None:
    planned = entry.plan(WANTED, etc)
    entry.write(planned, etc)
    assert entry.is_in_place(planned, etc)
    written = files(etc)
    assert list(written) == ["reader.conf.d/qalta", "udev/rules.d/70-qalta-reader.rules"]
    assert "/dev/qalta-reader:GemPCTwin" in written["reader.conf.d/qalta"]
    rule = written["udev/rules.d/70-qalta-reader.rules"]
    who = 'ATTRS{idVendor}=="1a86", ATTRS{idProduct}=="55d4", ATTRS{serial}=="5647012345"'
    assert f'{who}, SYMLINK+="qalta-reader", GROUP="dialout", MODE="0660"' in rule
    assert f'ACTION=="add", {who}, RUN+="' in rule
    assert "$" not in rule and "$" not in written["reader.conf.d/qalta"]
    # Another port without a rule: the old rule goes.
    plain = entry.plan(replace(WANTED, usb=None), etc)
    assert not entry.is_in_place(plain, etc)
    entry.write(plain, etc)
    assert entry.is_in_place(plain, etc)
    assert list(files(etc)) == ["reader.conf.d/qalta"]
    entry.rule_path(etc).write_text("of an earlier port")
    assert not entry.is_in_place(plain, etc)
    entry.write(plain, etc)
    assert list(files(etc)) == ["reader.conf.d/qalta"]
    assert len(entry.remove(etc)) == 1


@pytest.mark.parametrize("serial", ["", "0001", 'a"b', "a b"])
def test_an_adapter_without_a_number_of_its_own_is_known_by_its_socket(
    etc: Path, serial: str
) -> None:
    rule = entry.plan(replace(WANTED, usb=replace(USB, serial=serial)), etc)[entry.rule_path(etc)]
    assert 'KERNELS=="1-1.4"' in rule and "ATTRS{serial}" not in rule


def test_a_path_that_an_entry_cannot_hold(etc: Path) -> None:
    for bad in ('/dev/a"b', "/dev/a b", "/dev/a\nLIBPATH /tmp/x"):
        with pytest.raises(InstallError, match="cannot be told of a path"):
            entry.plan(replace(WANTED, port=bad, usb=None), etc)


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file")
    etc = tmp_path / "etc"
    with pytest.raises(InstallError, match="cannot be written"):
        entry.write(entry.plan(WANTED, etc), etc)


def test_a_cut_while_writing_leaves_the_old_entry(
    etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry.write(entry.plan(replace(WANTED, usb=None), etc), etc)
    before = files(etc)

    def no_rename(source: object, target: object) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", no_rename)
    with pytest.raises(InstallError, match="No space left"):
        entry.write(entry.plan(replace(WANTED, usb=None, port="/dev/ttyS1"), etc), etc)
    assert files(etc) == before


def test_kinds_of_devices() -> None:
    kinds = {
        (4, 64): "serial",
        (4, 63): "console",
        (188, 511): "serial",
        (188, 512): "",
        (136, 7): "pty:slave",
        (5, 0): "system:/dev/tty",
        (1, 3): "",
    }
    for (major, minor), kind in kinds.items():
        assert ports.kind_of(major, minor, DRIVERS) == kind


def test_a_machine_that_tells_of_no_drivers(port: str, tmp_path: Path) -> None:
    with pytest.raises(PortError, match="is not a serial port"):
        ports.serial_port(port, drivers=tmp_path / "none")


def test_usb_identity(tmp_path: Path) -> None:
    usb = tmp_path / "devices" / "usb1" / "1-1.4"
    tty = usb / "1-1.4:1.0" / "ttyUSB0" / "tty" / "ttyUSB0"
    tty.mkdir(parents=True)
    (tmp_path / "class" / "tty").mkdir(parents=True)
    (tmp_path / "class" / "tty" / "ttyUSB0").symlink_to(tty)
    assert ports.usb_identity(Path("/dev/ttyUSB0"), sysfs=tmp_path) is None
    for name, text in (("idVendor", "1a86\n"), ("idProduct", "55d4\n")):
        (usb / name).write_text(text)
    found = ports.usb_identity(Path("/dev/ttyUSB0"), sysfs=tmp_path)
    assert found == replace(USB, serial="")
    (usb / "serial").write_text("5647012345\n")
    assert ports.usb_identity(Path("/dev/ttyUSB0"), sysfs=tmp_path) == USB
    assert ports.usb_identity(Path("/dev/ttyS0"), sysfs=tmp_path) is None


def library(path: Path, machine: int) -> Path:
    """A file that begins as an ELF file of 64 bits for a machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF\x02\x01".ljust(18, b"\0") + machine.to_bytes(2, "little"))
    return path


def test_the_driver_fits_the_processor(tmp_path: Path) -> None:
    assert find_driver(tmp_path) is None
    pcscd = library(tmp_path / "pcscd", 62)
    foreign = library(tmp_path / "usr/lib/pcsc/drivers/serial" / NAME, 3)
    assert find_driver(tmp_path, pcscd) is None
    assert find_driver(tmp_path) == foreign
    fitting = library(tmp_path / "usr/lib64/pcsc/drivers/serial" / f"{NAME}.1.5", 62)
    assert find_driver(tmp_path, pcscd) == fitting


def test_the_driver_of_this_machine() -> None:
    assert find_driver(program=find_service().program) == TWIN_DRIVER


def test_knocking(tmp_path: Path) -> None:
    assert knock(str(tmp_path / "none")) is Answer.ABSENT
    (tmp_path / "file").write_text("")
    assert knock(str(tmp_path / "file")) is Answer.REFUSED


def test_a_socket_that_is_closed_to_this_user(tmp_path: Path) -> None:
    address = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        assert knock(str(address)) is Answer.LISTENS
        tmp_path.chmod(0)
        mine = os.geteuid()
        try:
            if mine == 0:
                os.seteuid(_NOBODY)  # root may do everything
            assert knock(str(address)) is Answer.DENIED
        finally:
            os.seteuid(mine)
            tmp_path.chmod(0o700)


def test_pcscd_is_started_again_for_it_rereads_nothing() -> None:
    commands: list[tuple[str, ...]] = []

    def run(command: object) -> bool:
        commands.append(tuple(command))  # type: ignore[arg-type]
        return True

    assert restart(SERVICE, run) == "pcscd was started again."
    assert commands == [("systemctl", "try-restart", "pcscd.service")]
    away = replace(SERVICE, answer=Answer.ABSENT)
    assert "will find the change when it starts" in restart(away, run)
    failed = restart(SERVICE, lambda command: False)
    assert "start it again: sudo systemctl restart pcscd.service" in failed
    plain = restart(replace(SERVICE, has_systemd=False), run)
    assert "sudo service pcscd restart" in plain
    assert len(commands) == 1


def test_pcscd_serves_the_reader_that_was_installed(etc: Path, tmp_path: Path) -> None:
    """Our own firmware at a port; the entry, libccid's driver and pcscd are the real ones."""
    port = tmp_path / "reader"
    service = PcscService(tmp_path / "pcscd", [])
    with TwinReader(port):
        good("install", port, "--etc", etc)
        service.configuration.write_text(entry.entry_path(etc).read_text())
        with service:
            with ReaderMonitor() as monitor:
                monitor.wait_until(lambda found: any(one.has_card for one in found), _NOTICE_S)
            told = CliRunner().invoke(app, ["readers", "--json"]).output
            (found,) = json.loads(told)["readers"]
            assert found["name"] == f"{entry.READER_NAME} 00 00"
            assert found["state"] == "card"
            sent = ["apdu", "00A4040004DEADBEEF00", "--card", "pcsc:qalta", "--expect", "6104"]
            assert CliRunner().invoke(app, sent).exit_code == 0


def test_from_the_command_line(port: str, etc: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    told = shell.bad("reader", "install", "/dev/null", "--etc", etc)
    assert told == "/dev/null is not a serial port."
    told = shell.good("reader", "install", port, "--etc", etc, "--show")
    assert f"sudo {sys.executable} -m host_bridge.cli reader install {port} --etc" in told
