# SPDX-License-Identifier: Apache-2.0
"""How fast the firmware's P-256 is: `python -m tests.bench.crypto [--write] [--no-instructions]`.

Instructions are counted by callgrind and repeat to the digit, but for the random numbers that
blind a signature. Milliseconds are the best of several runs of this machine, and only their
ratios say anything. `--write` puts the tables into docs/performance.md, between two markers.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from ecdsa import NIST256p, SigningKey, ellipticcurve

from firmware.crypto import p256
from host_bridge.crypto import p256 as host_p256

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- crypto: begin -->", "<!-- crypto: end -->"
RUNTIME = ROOT / ".runtime"
HEAP_KIB = 512
OPERATIONS = ("sign", "verify", "prepared", "prepare")
KEY, DIGEST = b"k" * 32, sha256(b"a payment").digest()
RUNS = 7
MICROPYTHON_REPEATS = 40
CPYTHON_REPEATS = 60

# Valgrind 3.19 does not know a "no operation" of i386 with a CS prefix, with which compilers pad
# code. A private copy of the interpreter gets a plain one of the same length in its place.
_UNKNOWN_NOPS = {
    bytes.fromhex("2e8db42600000000"): bytes.fromhex("908db42600000000"),
    bytes.fromhex("2e8d742600"): bytes.fromhex("908d742600"),
}

PROGRAM = """
import sys, time
sys.path.insert(0, ".")
from firmware.crypto import p256, p256_ladder
if sys.argv[3] == "integers":
    from firmware.crypto import p256_curve, p256_pairs
    for name in ("add", "double", "infinity", "scaled", "take", "kept", "coordinates"):
        setattr(p256_ladder, name, getattr(p256_curve, name))
    p256_ladder.merge = p256_pairs.merge
key, digest = b"k" * 32, bytes.fromhex(sys.argv[4])
public = p256.public_key(key)
signature = p256.sign(key, digest)
prepared = p256.prepare(public)
if sys.argv[1] == "product":
    if sys.argv[3] == "integers":
        a = int.from_bytes(digest, "big")
        def run(b=a // 3, P=p256_curve.P):
            for _ in range(1000):
                a * b % P
    else:
        from firmware.crypto import p256_limbs
        point = p256_limbs.Point()
        program = bytes((1, 9, 8, 8)) * 1000
        def run():
            point.run(program)
else:
    run = {
        "sign": lambda: p256.sign(key, digest),
        "verify": lambda: p256.verify(public, digest, signature),
        "prepared": lambda: prepared.verify(digest, signature),
        "prepare": lambda: p256.prepare(public),
    }[sys.argv[1]]
begun = time.ticks_us()
for _ in range(int(sys.argv[2])):
    run()
print(time.ticks_diff(time.ticks_us(), begun))
"""


@dataclass(frozen=True)
class Build:
    """A MicroPython and the way its ladders take."""

    name: str
    folder: str
    loader: str
    interpreter: str
    way: str


BUILDS = (
    Build("64 bits", "amd64", "x86_64-linux-gnu/ld-linux-x86-64.so.2", "micropython", "own"),
    Build(
        "32 bits, integers", "i386", "i386-linux-gnu/ld-linux.so.2", "micropython32", "integers"
    ),
    Build("32 bits, viper", "i386", "i386-linux-gnu/ld-linux.so.2", "micropython32", "own"),
)


@dataclass(frozen=True)
class Row:
    """One operation on one interpreter; millions of instructions, None where not counted."""

    where: str
    operation: str
    milliseconds: float
    instructions: float | None = None


def run_program(command: list[str | Path], build: Build, operation: str, count: int) -> str:
    arguments = [operation, str(count), build.way, DIGEST.hex()]
    with tempfile.NamedTemporaryFile("w", suffix=".py") as program:
        program.write(PROGRAM)
        program.flush()
        done = subprocess.run(
            [*command, "-X", f"heapsize={HEAP_KIB}k", program.name, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{build.name}, {operation}: {done.stderr.strip()}")
    return done.stdout + done.stderr


def milliseconds(build: Build, operation: str) -> float:
    command: list[str | Path] = [RUNTIME / "bin" / build.interpreter]
    return min(
        int(run_program(command, build, operation, MICROPYTHON_REPEATS)) for _ in range(RUNS)
    ) / (1000 * MICROPYTHON_REPEATS)


def copied_for_valgrind(build: Build, folder: Path) -> Path:
    copy = folder / build.folder
    if not copy.exists():
        shutil.copytree(RUNTIME / build.folder / "usr", copy / "usr", symlinks=True)
        if build.folder == "i386":
            for path in copy.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    content = path.read_bytes()
                    for unknown, known in _UNKNOWN_NOPS.items():
                        content = content.replace(unknown, known)
                    path.write_bytes(content)
    return copy / "usr"


def instructions(build: Build, operation: str, folder: Path) -> float:
    """Millions of instructions of one operation: three of them, less what none takes."""
    usr = copied_for_valgrind(build, folder)
    loader = usr / "lib" / build.loader
    command: list[str | Path] = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [loader, "--library-path", loader.parent, usr / "bin" / "micropython"]
    counted = [
        int(run_program(command, build, operation, count).rpartition("Collected : ")[2].split()[0])
        for count in (1, 4)
    ]
    return (counted[1] - counted[0]) / 3e6


def best_ms(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(RUNS):
        begun = time.perf_counter()
        for _ in range(CPYTHON_REPEATS):
            call()
        best = min(best, time.perf_counter() - begun)
    return best * 1000 / CPYTHON_REPEATS


def cpython_rows() -> list[Row]:
    if ellipticcurve.GMPY:
        raise SystemExit("python-ecdsa uses gmpy2 here: measure in an environment without it.")
    public = p256.public_key(KEY)
    signature = p256.sign(KEY, DIGEST)
    prepared = p256.prepare(public)
    slow = SigningKey.from_string(KEY, NIST256p, sha256)
    slow_public = slow.verifying_key
    fast = ec.derive_private_key(int.from_bytes(KEY, "big"), ec.SECP256R1())
    algorithm = ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True)
    assert slow.sign_digest_deterministic(DIGEST) == signature
    calls: dict[tuple[str, str], Callable[[], object]] = {
        ("CPython", "sign"): lambda: p256.sign(KEY, DIGEST),
        ("CPython", "verify"): lambda: p256.verify(public, DIGEST, signature),
        ("CPython", "prepared"): lambda: prepared.verify(DIGEST, signature),
        ("CPython", "prepare"): lambda: p256.prepare(public),
        ("python-ecdsa", "sign"): lambda: slow.sign_digest_deterministic(DIGEST),
        ("python-ecdsa", "verify"): lambda: slow_public.verify_digest(signature, DIGEST),
        ("cryptography", "sign"): lambda: fast.sign(DIGEST, algorithm),
        ("cryptography", "verify"): lambda: host_p256.verify(public, DIGEST, signature),
    }
    return [Row(where, operation, best_ms(call)) for (where, operation), call in calls.items()]


def measure(counting: bool) -> list[Row]:
    """Every row; without instructions where valgrind is missing or not wanted."""
    if counting and shutil.which("valgrind") is None:
        print("No valgrind: instructions are not counted. Debian has it as the package valgrind.")
        counting = False
    rows = cpython_rows()
    with tempfile.TemporaryDirectory() as folder:
        for build in BUILDS:
            for operation in (*OPERATIONS, "product"):
                if operation == "product" and build.folder == "amd64":
                    continue
                count = instructions(build, operation, Path(folder)) if counting else None
                rows.append(Row(build.name, operation, milliseconds(build, operation), count))
    return rows


def table(rows: list[Row]) -> str:
    """The rows and the ratios between them, as Markdown."""
    lines = [
        f"| where | operation | ms | million instructions ({HEAP_KIB} KB heap) |",
        "|---|---|---|---|",
    ]
    for row in rows:
        counted = "" if row.instructions is None else f"{row.instructions:.2f}"
        name = "1000 field products" if row.operation == "product" else row.operation
        lines.append(f"| {row.where} | {name} | {row.milliseconds:.3f} | {counted} |")
    lines += ["", "| ratio | by | value |", "|---|---|---|"]
    found = {(row.where, row.operation): row for row in rows}
    for name, over, under in ratios():
        first, second = found[over], found[under]
        if first.instructions is not None and second.instructions is not None:
            lines.append(
                f"| {name} | instructions | {first.instructions / second.instructions:.2f} |"
            )
        lines.append(f"| {name} | time | {first.milliseconds / second.milliseconds:.2f} |")
    return "\n".join(lines)


def ratios() -> list[tuple[str, tuple[str, str], tuple[str, str]]]:
    found = [
        (f"{build.name}: prepared / verify", (build.name, "prepared"), (build.name, "verify"))
        for build in BUILDS
    ]
    long, words = BUILDS[1].name, BUILDS[2].name
    for operation in ("product", "sign", "verify", "prepared"):
        name = "field product" if operation == "product" else operation
        found.append((f"32 bits: {name}, viper / integers", (words, operation), (long, operation)))
    for operation in ("sign", "verify"):
        for other in ("python-ecdsa", "cryptography"):
            name = f"{operation}: {other} / this, CPython"
            found.append((name, (other, operation), ("CPython", operation)))
    return found


def write(text: str) -> None:
    """Put the tables into the page, between its markers."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} lacks the lines {BEGIN} and {END}.")
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crypto")
    parser.add_argument("--write", action="store_true", help="rewrite docs/performance.md")
    parser.add_argument("--no-instructions", action="store_true", help="milliseconds only")
    options = parser.parse_args()
    rows = measure(not options.no_instructions)
    text = table(rows)
    print(text)
    if options.write and all(row.instructions is None for row in rows):
        print(f"{PAGE.name} stays as it is: it would lose its counts of instructions.")
        return 1
    if options.write:
        write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
