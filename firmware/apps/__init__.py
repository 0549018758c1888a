# SPDX-License-Identifier: Apache-2.0
"""Main programs: each builds its objects in one `main` and runs the loop."""
