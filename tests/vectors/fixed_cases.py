# SPDX-License-Identifier: Apache-2.0
"""Vectors of the records with a fixed layout, each signed, so that one rule alone is broken."""

import struct

from tests.vectors import craft
from tests.vectors.craft import Key, Table, Value, expected, invalid, pack, signed, valid

U16 = 0xFFFF
U32 = 0xFFFFFFFF
Vector = dict[str, object]

_BAD_LABELS = (
    ("label-not-utf8", "a byte that begins no character", b"caf\xe9"),
    ("label-overlong", "a slash in two bytes: MicroPython's own decoder takes it", b"a\xc0\xafb"),
    ("label-overlong-nul", "a NUL in two bytes", b"a\xc0\x80b"),
    ("label-overlong-3", "a slash in three bytes", b"a\xe0\x80\xafb"),
    ("label-surrogate", "half of a surrogate pair", b"a\xed\xa0\x80"),
    ("label-over-10ffff", "a number that Unicode does not have", b"\xf4\x90\x80\x80"),
    ("label-cut-character", "a character cut off by the field's end", b"x" * 23 + b"\xd2"),
)


class Maker:
    """Makes the vectors of one kind of record; `typical` changes what the table has."""

    def __init__(self, name: str, table: Table, signer: Key, **typical: Value) -> None:
        self.name = name
        self.table = table
        self.signer = signer
        self.typical = typical
        self.raw = self.build()

    def build(self, **changes: Value) -> bytes:
        """A signed record."""
        return signed(self.table, self.signer, **self.typical | changes)

    def good(self, case: str, comment: str, **changes: Value) -> Vector:
        """A valid vector of the typical record with `changes`."""
        raw = self.build(**changes)
        found = expected(self.table, raw, **self.typical | changes)
        return valid(
            f"{self.name}/{case}",
            comment,
            raw,
            found,
            record_id=craft.sha256(raw[:-64]).hex(),
            signer=self.signer.public.hex(),
        )

    def bad(self, case: str, comment: str, error: str, flag: str, **changes: Value) -> Vector:
        """An invalid vector: the record is signed, and wrong in what `changes` says alone."""
        return invalid(f"{self.name}/{case}", comment, self.build(**changes), error, flag)

    def common(self) -> list[Vector]:
        """What every signed record of a fixed layout must refuse."""
        head = f"{self.name}/"
        size = len(self.raw)
        lengths = (
            ("empty", "no bytes at all", b""),
            ("type-only", "its first byte alone", self.raw[:1]),
            ("short-by-one", "its last byte is missing", self.raw[:-1]),
            ("long-by-one", "one byte behind its end", self.raw + b"\0"),
            ("no-signature", "its body alone", self.raw[:-64]),
            ("doubled", "the record twice", self.raw * 2),
        )
        error = f"not {size}"
        vectors = [
            invalid(head + case, comment, raw, f"length is {len(raw)}, {error}", "length")
            for case, comment, raw in lengths
        ]
        other = self.raw[0] + 1
        vectors += [
            self.bad("type-0", "type 0", "type is 0", "type", type=0),
            self.bad("type-next", "another type", f"type is {other}", "type", type=other),
            self.bad("version-0", "version 0", "version is 0", "version", version=0),
            self.bad("version-2", "a later version", "version is 2", "version", version=2),
        ]
        return vectors + self.reserved() + bad_signatures(self.name, self.raw)

    def reserved(self) -> list[Vector]:
        """Each reserved byte set, one at a time, and in it the lowest and the highest bit."""
        vectors = []
        for name, code, _ in self.table:
            if name != "reserved":
                continue
            size = struct.calcsize(code)
            for at in range(size):
                for byte in (0x01, 0x80):
                    wrong = bytes(at) + bytes([byte]) + bytes(size - at - 1)
                    value: Value = wrong if code.endswith("s") else byte
                    case = f"reserved-{at}-{byte:02x}"
                    error = "reserved bytes are not zero"
                    comment = f"reserved byte {at} is {byte:02X}"
                    vectors.append(self.bad(case, comment, error, "reserved", reserved=value))
        return vectors

    def points(self, field: str) -> list[Vector]:
        """Public keys that are no points, and one whose coordinate is as small as can be."""
        key = self.typical.get(field) or craft.fields(self.table)[field]
        assert isinstance(key, bytes)
        x = int.from_bytes(key[:32], "big")
        y = int.from_bytes(key[32:], "big")
        small_x, small_y = craft.SMALL_X, craft.SMALL_Y
        wrong = (
            ("point-y-plus-one", "a point beside the curve", x, y + 1),
            ("point-zero", "x and y are 0, as some write infinity", 0, 0),
            ("point-x-is-p", "a point of the curve, its x = 0 written as p", craft.P, small_x[1]),
            ("point-y-over-p", "a point, its y = 5 written as p + 5", small_y[0], craft.P + 5),
            ("point-all-ones", "x and y are 2^256 - 1", 2**256 - 1, 2**256 - 1),
            ("point-swapped", "y stands before x", y, x),
        )
        vectors = [
            self.bad(case, comment, "not a point", "point", **{field: craft.point(a, b)})
            for case, comment, a, b in wrong
        ]
        for case, pair in (("point-x-is-0", small_x), ("point-y-is-5", small_y)):
            changes: dict[str, Value] = {field: craft.point(*pair)}
            vectors.append(self.good(case, "a rare point, and a right one", **changes))
        return vectors


def bad_signatures(name: str, raw: bytes) -> list[Vector]:
    """`raw` with r or s out of range, and the highest values as another parser might take them."""
    body, r, s = raw[:-64], raw[-64:-32], raw[-32:]
    vectors = []
    for number, label in ((0, "0"), (craft.ORDER, "n"), (2**256 - 1, "all-ones")):
        wrong = number.to_bytes(32, "big")
        for case, signature in ((f"r-is-{label}", wrong + s), (f"s-is-{label}", r + wrong)):
            error = "r or s of the signature is out of range"
            comment = f"a signature with {case.replace('-', ' ')}"
            vectors.append(
                invalid(f"{name}/{case}", comment, body + signature, error, "signature")
            )
    return vectors


def certificate() -> list[Vector]:
    """Certificates of every role; bad role, tier, dates, purposes, label, point."""
    make = Maker("certificate", craft.CERTIFICATE, craft.BANK)
    kazakh = "Дүкен Әл".encode()
    roles = ("root", "issuer", "bank", "authority", "purse", "terminal", "notary")
    vectors = [
        make.good("typical", "a terminal that takes general money and that of purpose 7"),
        make.good("label-full", "a name that fills the field", label=b"x" * 24),
        make.good("label-empty", "no name, as a purse has it", label=bytes(24)),
        make.good("label-kazakh", "letters of two bytes", label=kazakh.ljust(24, b"\0")),
        make.good("label-4-bytes", "the last character there is", label=b"\xf4\x8f\xbf\xbf" * 6),
        make.good("shortest-life", "valid for one second", not_before=0, not_after=1),
        make.good(
            "highest",
            "each number as high as it may be",
            role=7,
            tier=3,
            serial=b"\xff" * 16,
            issuer=b"\xff" * 8,
            not_before=U32 - 1,
            not_after=U32,
            currency=U16,
            mcc=U16,
            purposes=(U16 - 1,) * 4,
        ),
        *(
            make.good(f"role-{name}", f"a certificate of a {name}", role=number, mcc=0)
            for number, name in enumerate(roles, 1)
        ),
    ]
    return [*vectors, *make.common(), *make.points("public_key"), *_bad_certificates(make)]


def _bad_certificates(make: Maker) -> list[Vector]:
    vectors = []
    for role in (0, 8, 255):
        error = f"role {role} is unknown"
        vectors.append(make.bad(f"role-{role}", "no such role", error, "field", role=role))
    for tier in (4, 255):
        error = f"tier {tier} is unknown"
        vectors.append(make.bad(f"tier-{tier}", "no such tier", error, "field", tier=tier))
    ends = "it ends before it begins"
    for case, start, end in (("dates-equal", 5, 5), ("dates-swapped", 6, 5)):
        dates = {"not_before": start, "not_after": end}
        vectors.append(make.bad(case, "no second of validity", ends, "field", **dates))
    for at in range(4):
        purposes = (0,) * at + (U16,) + (0,) * (3 - at)
        case = f"purpose-ffff-{at}"
        vectors.append(make.bad(case, "best match", "FFFF", "field", purposes=purposes))
    behind = "the label has bytes behind its end"
    for at, label in enumerate((b"a\0b", b"\0b", b"x" * 22 + b"\0y")):
        raw = label.ljust(24, b"\0")
        case = f"label-behind-end-{at}"
        vectors.append(make.bad(case, "bytes behind a zero", behind, "field", label=raw))
    for case, comment, label in _BAD_LABELS:
        raw = label.ljust(24, b"\0")
        vectors.append(make.bad(case, comment, "not UTF-8", "field", label=raw))
    return vectors


def note() -> list[Vector]:
    """Notes; zero value, caps that allow nothing, flags, dates, tier, point."""
    make = Maker("note", craft.NOTE, craft.ISSUER)
    vectors = [
        make.good("typical", "20,000.00 KZT, general"),
        make.good("special", "purpose 7, its flag set", flags=1, purpose=7, min_tier=3),
        make.good(
            "lowest",
            "each number as low as it may be",
            currency=0,
            note_id=bytes(16),
            value=1,
            hop_limit=1,
            max_payment=1,
            max_transfers=1,
            issued_at=0,
            expires_at=1,
            issuer=bytes(8),
        ),
        make.good(
            "highest",
            "each number as high as it may be",
            currency=U16,
            note_id=b"\xff" * 16,
            value=U32,
            purpose=U16 - 1,
            hop_limit=255,
            min_tier=3,
            max_payment=U32,
            max_transfers=U16,
            flags=1,
            issued_at=U32 - 1,
            expires_at=U32,
            issuer=b"\xff" * 8,
        ),
    ]
    vectors += make.common() + make.points("owner")
    caps = "its caps allow no payment"
    expires = "it expires before it is issued"
    vectors += [
        make.bad("value-0", "worth nothing", "its value is zero", "field", value=0),
        make.bad("purpose-ffff", "best match is no purpose", "FFFF", "field", purpose=U16),
        make.bad("hop-limit-0", "may never change hands", caps, "field", hop_limit=0),
        make.bad("max-payment-0", "no payment is small enough", caps, "field", max_payment=0),
        make.bad("max-transfers-0", "no transfer is allowed", caps, "field", max_transfers=0),
        make.bad("tier-4", "no such tier", "tier 4", "field", min_tier=4),
        make.bad("dates-equal", "no second", expires, "field", issued_at=9, expires_at=9),
        make.bad("dates-swapped", "backwards", expires, "field", issued_at=9, expires_at=8),
    ]
    for bit in range(1, 16):
        flags = 1 << bit
        case = f"flag-{bit}"
        vectors.append(make.bad(case, f"flag bit {bit}", "unknown flags", "field", flags=flags))
    return vectors


def transfer() -> list[Vector]:
    """Transfers; empty run, unknown verification, flags."""
    make = Maker("transfer", craft.TRANSFER, craft.TOKEN_KEY)
    vectors = [
        make.good("typical", "350.50 KZT from the middle of a note"),
        make.good("lowest", "the first unit", seq=0, start=0, end=1, time=0, cvm=0),
        make.good("highest", "the last unit", seq=U16, start=U32 - 1, end=U32, time=U32, cvm=2),
        make.good("whole", "every unit that a note can have", seq=0, start=0, end=U32),
    ]
    vectors += make.common()
    empty = "its run is empty"
    vectors += [
        make.bad("run-empty", "no unit", empty, "field", start=7, end=7),
        make.bad("run-empty-at-0", "no unit, at the beginning", empty, "field", start=0, end=0),
        make.bad("run-backwards", "its end before its start", empty, "field", start=8, end=7),
        make.bad("cvm-3", "no such verification", "verification 3", "field", cvm=3),
        make.bad("cvm-255", "no such verification", "verification 255", "field", cvm=255),
    ]
    for bit in range(8):
        flags = 1 << bit
        case = f"flag-{bit}"
        vectors.append(make.bad(case, f"flag bit {bit}", "unknown flags", "field", flags=flags))
    return vectors


def policy() -> list[Vector]:
    """Policies; both sets of limits, unknown flags and bans, dates, version 0."""
    normal = pack(craft.LIMITS)
    emergency = pack(craft.LIMITS, max_payment=300_000, max_offline_count=10, hop_limit=1)
    make = Maker("policy", craft.POLICY, craft.BANK, normal=normal, emergency=emergency)
    highest = b"\xff" * 27 + b"\0"
    vectors = [
        make.good("typical", "the normal set is in force"),
        make.good("emergency", "the emergency set is in force", flags=1),
        make.good(
            "lowest",
            "nothing is allowed: a policy may say so",
            tier=0,
            policy_version=1,
            issued_at=0,
            valid_until=1,
            normal=bytes(28),
            emergency=bytes(28),
            banned_purposes=(0,) * 8,
            banned_operations=0,
        ),
        make.good(
            "highest",
            "each number as high as it may be",
            tier=3,
            flags=1,
            policy_version=U32,
            currency=U16,
            issued_at=U32 - 1,
            valid_until=U32,
            normal=highest,
            emergency=highest,
            banned_purposes=(U16 - 1,) * 8,
            banned_operations=7,
        ),
    ]
    in_force = (normal, emergency, bytes(28), highest)
    for vector, limits in zip(vectors, in_force, strict=True):
        vector["result"]["fields"]["limits"] = _limits(limits)  # type: ignore[index]
    return [*vectors, *make.common(), *_bad_policies(make)]


def _bad_policies(make: Maker) -> list[Vector]:
    ends = "it ends before it begins"
    vectors = [
        make.bad("tier-4", "no such tier", "tier 4", "field", tier=4),
        make.bad("version-field-0", "no version", "version 0", "field", policy_version=0),
        make.bad("dates-equal", "no second", ends, "field", issued_at=9, valid_until=9),
        make.bad("dates-swapped", "backwards", ends, "field", issued_at=9, valid_until=8),
    ]
    unknown = "unknown flags are set"
    for bit in range(1, 8):
        flags = 1 << bit
        vectors.append(make.bad(f"flag-{bit}", "no such flag", unknown, "field", flags=flags))
    for bit in range(3, 32):
        bans: dict[str, Value] = {"banned_operations": 1 << bit}
        vectors.append(make.bad(f"ban-{bit}", "no such operation", unknown, "field", **bans))
    for at in (0, 7):
        purposes = (0,) * at + (U16,) + (0,) * (7 - at)
        case = f"purpose-ffff-{at}"
        vectors.append(make.bad(case, "best match", "FFFF", "field", banned_purposes=purposes))
    reserved = "reserved bytes are not zero"
    for which in ("normal", "emergency"):
        limits = make.typical[which]
        assert isinstance(limits, bytes)
        wrong = limits[:-1] + b"\1"
        case = f"{which}-reserved"
        comment = f"the reserved byte of the {which} limits"
        vectors.append(make.bad(case, comment, reserved, "reserved", **{which: wrong}))
    return vectors


def _limits(raw: bytes) -> dict[str, int]:
    codes = "".join(code for _, code, _ in craft.LIMITS)
    names = [name for name, _, _ in craft.LIMITS]
    limits = dict(zip(names, struct.unpack(">" + codes, raw), strict=True))
    del limits["reserved"]
    return limits


def acknowledgement() -> list[Vector]:
    """Acknowledgements; every number is allowed."""
    make = Maker("acknowledgement", craft.ACKNOWLEDGEMENT, craft.BANK)
    zero: dict[str, Value] = {"counter": 0, "time": 0, "policy_version": 0}
    highest: dict[str, Value] = {"counter": U32, "time": U32, "policy_version": U32}
    return [
        make.good("typical", "the journal is held up to counter 41"),
        make.good("lowest", "an empty journal", serial=bytes(16), chain=bytes(32), **zero),
        make.good("highest", "each number at its end", serial=b"\xff" * 16, **highest),
        *make.common(),
    ]


def statement() -> list[Vector]:
    """Statements; every number is allowed."""
    make = Maker("statement", craft.STATEMENT, craft.PURSE)
    zero = bytes(32)
    numbers = ("entries", "counter", "acknowledged", "policy_version", "denylist_epoch")
    lowest: dict[str, Value] = dict.fromkeys(numbers, 0)
    highest: dict[str, Value] = dict.fromkeys(numbers, U32) | {"entries": U16}
    return [
        make.good("typical", "two entries wait for an acknowledgement"),
        make.good("lowest", "a purse that has done nothing yet", anchor=zero, head=zero, **lowest),
        make.good("highest", "each number at its end", challenge=b"\xff" * 16, **highest),
        *make.common(),
    ]


def key_attestation() -> list[Vector]:
    """Key attestations; a bad point."""
    make = Maker("key_attestation", craft.KEY_ATTESTATION, craft.PURSE)
    return [
        make.good("typical", "the key in slot 3"),
        make.good("lowest", "slot 0", slot=0, serial=bytes(16), challenge=bytes(16)),
        make.good("highest", "slot 255", slot=255, serial=b"\xff" * 16, challenge=b"\xff" * 16),
        *make.common(),
        *make.points("public_key"),
    ]
