# SPDX-License-Identifier: Apache-2.0
"""The host's cryptography: the names of `firmware.crypto`, done by `cryptography`."""
