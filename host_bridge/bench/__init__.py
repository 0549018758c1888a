# SPDX-License-Identifier: Apache-2.0
"""What a payment costs: counted on real cards and on cards that count, timed by a cited table."""
