# SPDX-License-Identifier: Apache-2.0
"""`python -m host_bridge.cli` is `qalta`, where the package is not installed."""

from host_bridge.cli.main import main

main()
