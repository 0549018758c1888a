# SPDX-License-Identifier: Apache-2.0
"""The system's own PC/SC service: where it listens, its serial driver, and our entry in it."""
