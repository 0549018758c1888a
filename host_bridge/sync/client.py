# SPDX-License-Identifier: Apache-2.0
"""`BankPort` over HTTP."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import httpx

from firmware.wire.acknowledgement import Acknowledgement
from firmware.wire.bundle import Bundle, PurseExport
from firmware.wire.certificate import Certificate
from firmware.wire.denylist import Denylist
from firmware.wire.layout import WireError
from firmware.wire.limits import CHALLENGE_SIZE
from firmware.wire.policy import Policy
from firmware.wire.token import Token
from host_bridge.closing import Closing
from host_bridge.sync.port import (
    BankRefused,
    BankUnreachable,
    Directory,
    PurseSync,
    SaleResult,
    SaleState,
)

TIMEOUT_SECONDS = 20.0
MAX_ANSWER = 4_194_304  # bytes of one answer: a full denylist and directory are far smaller

_OCTETS = {"content-type": "application/octet-stream"}
_MAX_SENTENCE = 300
_HOST = r"[A-Za-z0-9.-]+|[0-9a-fA-F:.]+"  # a name, or an IPv6 address without its brackets
_REFUSALS = (400, 401, 409, 413, 422)  # final answers; any other failure may pass


class HttpBank(Closing):
    """A bank at a URL such as http://127.0.0.1:8000.

    Raises BankUnreachable where a repetition may help, also for an answer that makes no sense
    (a captive portal, a proxy's error page), and BankRefused for the bank's own no.
    """

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Raises BankRefused for what is not an http or https URL. Connects to nothing yet."""
        if not _is_http(url):
            raise BankRefused(f"'{url}' is not the address of a bank (http://… or https://…).")
        # Proxies of the environment are not for a loopback bank: nothing is read from there.
        self._http = httpx.Client(base_url=url, timeout=timeout_seconds, trust_env=False)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def directory(self) -> Directory:
        """Certificates, denylist and clock."""
        answer = self._json(self._call("GET", "/v1/directory"))
        try:
            denylist = answer["denylist"]
            return Directory(
                root=_bytes(answer["root"]),
                certificates=tuple(
                    Certificate.parse(_bytes(raw)) for raw in answer["certificates"]
                ),
                denylist=None if denylist is None else Denylist.parse(_bytes(denylist)),
                time=int(answer["time"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _nonsense() from error

    def challenge(self) -> bytes:
        """16 fresh bytes for a statement or an attestation."""
        raw = self._call("POST", "/v1/challenges").content
        if len(raw) != CHALLENGE_SIZE:
            raise _nonsense()
        return raw

    def upload_sale(self, tokens: list[Token]) -> SaleResult:
        """One payment as the card answered it. Idempotent."""
        raw = b"".join(token.raw for token in tokens)
        result = _sale_result(self._json(self._call("POST", "/v1/sales", raw)))
        if result.payment_id != tokens[0].transfer.payment_id:
            raise _nonsense()
        return result

    def upload_export(self, export: PurseExport) -> PurseSync:
        """One purse's journal over a challenge of `challenge`. Idempotent."""
        sync = _purse_sync(self._call("POST", "/v1/exports", export.raw).content)
        if sync.acknowledgement.serial != export.statement.serial:
            raise _nonsense()
        return sync

    def upload_bundle(self, bundle: Bundle) -> list[SaleResult]:
        """Everything in a terminal's bundle; one result for each sale in it."""
        answer = self._json(self._call("POST", "/v1/bundles", bundle.raw))
        if not isinstance(answer, list):
            raise _nonsense()
        return [_sale_result(one) for one in answer]

    def acknowledgement(self, serial: bytes) -> PurseSync | None:
        """The newest acknowledgement of a purse, if there is one."""
        answer = self._call("GET", f"/v1/purses/{serial.hex()}/acknowledgement")
        return None if answer.status_code == 204 else _purse_sync(answer.content)

    def payment_state(self, payment_id: bytes, payee: bytes | None = None) -> SaleResult | None:
        """The bank's word on a payment to `payee` (a RecordId); None if it has none yet."""
        query = "" if payee is None else f"?payee={payee.hex()}"
        answer = self._call("GET", f"/v1/payments/{payment_id.hex()}{query}")
        return None if answer.status_code == 204 else _sale_result(self._json(answer))

    def _call(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        try:
            with self._http.stream(
                method, path, content=body, headers=_OCTETS if body is not None else None
            ) as answer:
                content = _read(answer)
        except httpx.HTTPError:
            raise BankUnreachable("There is no line to the bank now.") from None
        whole = httpx.Response(answer.status_code, content=content)
        if whole.status_code in (200, 204):
            return whole
        if whole.status_code in _REFUSALS:
            raise BankRefused(self._sentence(whole))
        raise BankUnreachable(f"The bank has trouble of its own ({whole.status_code}).")

    def _sentence(self, answer: httpx.Response) -> str:
        found = self._json(answer)
        sentence = found.get("error") if isinstance(found, dict) else None
        if not isinstance(sentence, str):
            raise _nonsense()
        return _plain(sentence)

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise _nonsense() from None


def _is_http(url: str) -> bool:
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return found.scheme in ("http", "https") and re.fullmatch(_HOST, found.host) is not None


def _read(answer: httpx.Response) -> bytes:
    parts = []
    size = 0
    for part in answer.iter_bytes():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            raise _nonsense()
    return b"".join(parts)


def _nonsense() -> BankUnreachable:
    return BankUnreachable("What answers at the bank's address is not the bank.")


def _plain(sentence: str) -> str:
    """What anybody at the bank's address may say to a terminal or a printer: no commands."""
    clean = [letter if letter.isprintable() else "?" for letter in sentence[:_MAX_SENTENCE]]
    return "".join(clean)


def _bytes(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None


def _sale_result(answer: Any) -> SaleResult:
    try:
        return SaleResult(
            bytes.fromhex(answer["payment_id"]),
            SaleState(answer["state"]),
            int(answer["amount_tiyn"]),
            _plain(str(answer["reason"])),
            int(answer["withheld_tiyn"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense() from error


def _purse_sync(raw: bytes) -> PurseSync:
    end = Acknowledgement.LAYOUT.size
    try:
        policy = Policy.parse(raw[end:]) if len(raw) > end else None
        return PurseSync(Acknowledgement.parse(raw[:end]), policy)
    except WireError as error:
        raise _nonsense() from error
