# SPDX-License-Identifier: Apache-2.0
"""The machine: links, secure elements, and the only rooms that may import `machine`."""
