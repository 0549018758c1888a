# SPDX-License-Identifier: Apache-2.0
"""The harness that starts pcscd: what it says where something is missing, how it cleans up."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.pcsc.service import (
    TWIN_DRIVER,
    VPCD_DRIVER,
    PcscService,
    ServiceError,
    need,
    socket_path,
    twin_reader,
    vpcd_reader,
)


@pytest.mark.parametrize(
    ("what", "package"),
    [
        ("pcscd", "pcscd"),
        ("opensc-tool", "opensc"),
        ("pcsc_scan", "pcsc-tools"),
        (VPCD_DRIVER, "vsmartcard-vpcd"),
        (TWIN_DRIVER, "libccid"),
    ],
)
def test_what_is_missing_is_named_by_its_package(
    monkeypatch: pytest.MonkeyPatch, what: str | Path, package: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    with pytest.raises(ServiceError, match=rf"install Debian's package {package} "):
        need(what)


def test_it_ends_and_leaves_nothing(tmp_path: Path) -> None:
    with PcscService(tmp_path / "pcscd", []) as service:
        pid = service.pid
        assert service.alive
        assert socket_path().is_socket()
    assert not service.alive
    assert not socket_path().parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    service.stop()  # twice is fine


def test_a_daemon_that_does_not_start_shows_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pcscd"
    program.write_text("#!/bin/sh\necho it is broken\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ServiceError, match="it is broken"):
        PcscService(tmp_path / "folder", []).start()


def test_reader_conf(tmp_path: Path) -> None:
    """As reader.conf(5) has it, and as each driver reads its DEVICENAME."""
    service = PcscService(tmp_path / "pcscd", [vpcd_reader(0x8C7B), twin_reader("/dev/pts/7")])
    lines = service.configuration.read_text().split("\n\n")
    assert 'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:0x8c7b\n' in lines[0]
    assert 'FRIENDLYNAME "Qalta Reader"\nDEVICENAME /dev/pts/7:GemPCTwin\n' in lines[1]
    assert f"LIBPATH {TWIN_DRIVER}" in lines[1]
