# SPDX-License-Identifier: Apache-2.0
"""The command `qalta`, put together from what each folder contributes."""
