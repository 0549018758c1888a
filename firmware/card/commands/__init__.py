# SPDX-License-Identifier: Apache-2.0
"""One command, one file, one public function of the file's name.

Each takes the session and the command and gives back the data of the answer, or raises
Refusal, in the order: format, state, authority, act, respond.
"""
