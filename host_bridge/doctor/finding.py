# SPDX-License-Identifier: Apache-2.0
"""What a check says: how bad it is, in one sentence, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is. Only FAIL stops something that was asked for, or that all need."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's. `command` is what to type, and empty where nothing is."""

    name: str
    level: Level
    sentence: str
    command: str = ""

    def as_data(self) -> dict[str, str]:
        """The same for machines."""
        return {
            "name": self.name,
            "level": self.level.value,
            "sentence": self.sentence,
            "command": self.command,
        }


def good(name: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(name, Level.OK, sentence)


def lacking(name: str, sentence: str, command: str = "", *, needed: bool) -> Finding:
    """Something is not there: a failure if it is needed, else a warning."""
    return Finding(name, Level.FAIL if needed else Level.WARN, sentence, command)


def bad(name: str, sentence: str, command: str = "") -> Finding:
    """Something is there and wrong."""
    return Finding(name, Level.FAIL, sentence, command)
