# SPDX-License-Identifier: Apache-2.0
"""Plays recorded SCP03 sessions to the card's end of the channel; runs on both interpreters.

`python scp03_replay.py ROOT` prints one line for each vector whose outcome is another than
recorded, and a last line with how many were played.
"""

import json
import sys

VECTORS = "tests/vectors/scp03.json"


def load(root):
    """The vectors one by one: a device has no room for all of them."""
    with open(root + "/" + VECTORS) as file:
        for line in file:
            line = line.strip().rstrip(",")
            if line.startswith("{"):
                yield json.loads(line)


def play(vector):
    """What the card makes of a recorded session: the same members as the vector's result."""
    from firmware.card.secure_channel import SecureChannel
    from firmware.wire.apdu import Command
    from firmware.wire.status import Refusal

    given = vector["input"]
    challenges = [bytes.fromhex(challenge) for challenge in given["card_challenges"]]
    enc, mac = bytes.fromhex(given["enc"]), bytes.fromhex(given["mac"])
    channel = SecureChannel(enc, mac, lambda size: challenges.pop(0)[:size])
    plain = []
    answers = []
    for at, raw in enumerate(given["commands"]):
        answer = bytes.fromhex(given["plain_answers"][at])
        try:
            command = Command.parse(bytes.fromhex(raw))
            data, word = _carry_out(channel, command, answer, plain)
        except Refusal as refusal:
            data, word = b"", refusal.word
        answers.append((data + word.to_bytes(2, "big")).hex())
    return {"answers": answers, "plain_commands": plain, "open": channel.is_open}


def _carry_out(channel, command, answer, plain):
    if command.ins == 0x50:
        return channel.initialize_update(command), 0x9000
    if command.ins == 0x82:
        channel.external_authenticate(command)
        return b"", 0x9000
    found = channel.unwrap(command)
    head = bytes([found.cla, found.ins, found.p1, found.p2])
    plain.append((head + found.data).hex())
    return channel.wrap(answer, 0x9000), 0x9000


def main(root):
    """Plays every vector."""
    sys.path.insert(0, root)
    count = 0
    for vector in load(root):
        count += 1
        found = play(vector)
        if found != vector["result"]:
            print(f"{vector['id']}: {found}")
    print(f"{count} played")


if __name__ == "__main__":
    main(sys.argv[1])
