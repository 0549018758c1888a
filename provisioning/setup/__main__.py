# SPDX-License-Identifier: Apache-2.0
"""Set up a checkout: the virtual environment first, the interpreters second."""

import sys

from provisioning.setup import ROOT, SetupError
from provisioning.setup.environment import prepare_environment
from provisioning.setup.interpreter import prepare_interpreters


def main() -> int:
    """Do what is not done yet; return the exit code."""
    try:
        prepare_environment(ROOT)
        prepare_interpreters(ROOT / ".runtime")
    except SetupError as error:
        print(f"make setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("make setup: stopped; run it again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
