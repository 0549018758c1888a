#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Finds a Python that is new enough and can make a virtual environment, and hands over to it.
set -eu
cd "$(dirname "$0")/../.."

print_version='import sys; print("%d.%d" % sys.version_info[:2])'
first_seen=""
without_venv=""
for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
    version=$("$name" -c "$print_version" 2>/dev/null) || continue
    first_seen=${first_seen:-$version}
    "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    if "$name" -c 'import ensurepip, venv' 2>/dev/null; then
        exec "$name" -m provisioning.setup
    fi
    without_venv=${without_venv:-$version}
done

if [ -n "$without_venv" ]; then
    echo "make setup: Python $without_venv is here, but not its module for virtual" \
        "environments. Run: sudo apt install python3-venv" >&2
elif [ -n "$first_seen" ]; then
    echo "make setup: Qalta needs Python 3.11 or newer, and this machine has $first_seen." \
        "Run: sudo apt install python3.11 python3.11-venv" >&2
else
    echo "make setup: Qalta needs Python 3.11 or newer, and this machine has none." \
        "Run: sudo apt install python3 python3-venv" >&2
fi
exit 1
