# SPDX-License-Identifier: Apache-2.0
"""All measurements, one after the other: python -m tests.bench [--write]

Each of MODULES is a program of its own, `python -m tests.bench.NAME`, which prints what it
measured and with --write puts it into its page of docs/. What is given here is handed on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("crypto", "storage")


def main(arguments: list[str]) -> int:
    """Runs them; ends with the worst exit code."""
    return max(
        subprocess.run(
            [sys.executable, "-m", f"tests.bench.{name}", *arguments], cwd=ROOT, check=False
        ).returncode
        for name in MODULES
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
