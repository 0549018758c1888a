# SPDX-License-Identifier: Apache-2.0
"""The bank over HTTP: open endpoints for signed records, a clerk's behind a bearer token.

Records travel as they are (application/octet-stream), everything else is JSON. Every error is
one sentence: `{"error": "…"}`. The description for machines is at `/openapi.json`.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from firmware.wire.bundle import Bundle, PurseExport
from firmware.wire.layout import WireError
from firmware.wire.token import parse_tokens
from host_bridge.bank.body_limit import BodyLimit
from host_bridge.bank.clerk_api import clerk_routes
from host_bridge.bank.reference import ReferenceBank
from host_bridge.sync.port import MAX_BUNDLE_BYTES, BankRefused, PurseSync, SaleResult

MAX_BODY = 65_536  # a sale has at most 12 KB, an export at most 55 KB
BUNDLES = "/v1/bundles"

_OCTETS = "application/octet-stream"
_RECORD_BODY = {
    "requestBody": {
        "required": True,
        "content": {_OCTETS: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_RECORD_ANSWER: dict[int | str, dict[str, object]] = {
    200: {"content": {_OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
}
_Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_RecordId = Annotated[str, Query(pattern="^[0-9a-f]{64}$")]


class SaleAnswer(BaseModel):
    """The bank's word on one payment; `payment_id` in hexadecimal."""

    payment_id: str
    state: str
    amount_tiyn: int
    reason: str
    withheld_tiyn: int

    @classmethod
    def of(cls, result: SaleResult) -> SaleAnswer:
        """The answer that says `result`."""
        return cls(
            payment_id=result.payment_id.hex(),
            state=result.state.value,
            amount_tiyn=result.amount_tiyn,
            reason=result.reason,
            withheld_tiyn=result.withheld_tiyn,
        )


class DirectoryAnswer(BaseModel):
    """The root's public key, certificates and denylist in base64, and the bank's clock."""

    root: str
    certificates: list[str]
    denylist: str | None
    time: int


async def _read_body(request: Request) -> bytes:
    # How long it may be is BodyLimit's business, before a byte of it is kept.
    return await request.body()


Body = Annotated[bytes, Depends(_read_body)]


def build_app(bank: ReferenceBank, operator_token: str) -> FastAPI:
    """The application over an open bank. `operator_token` opens the clerk's side."""
    app = FastAPI(title="Qalta reference bank", version="1", redoc_url=None, docs_url=None)
    app.add_middleware(BodyLimit, limit=MAX_BODY, larger={BUNDLES: MAX_BUNDLE_BYTES})
    app.add_exception_handler(BankRefused, _refused)
    app.add_exception_handler(WireError, _malformed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.include_router(_port_routes(bank))
    app.include_router(
        clerk_routes(bank),
        prefix="/v1/clerk",
        dependencies=[Depends(_bearer(operator_token))],
    )
    return app


class NotTheClerk(BankRefused):
    """No or another bearer token."""


def _bearer(token: str) -> Callable[[str], None]:
    expected = f"Bearer {token}".encode()

    def check(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), expected):
            raise NotTheClerk("This needs the operator's bearer token.")

    return check


async def _refused(_request: Request, error: Exception) -> Response:
    status = 401 if isinstance(error, NotTheClerk) else 409
    return JSONResponse({"error": str(error)}, status)


async def _malformed(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"The record cannot be read: {error}."}, 400)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": f"{place}: {first['msg']}."}, 400)


def _port_routes(bank: ReferenceBank) -> APIRouter:
    """`host_bridge.sync.port.BankPort`, call by call."""
    routes = APIRouter()

    @routes.get("/v1/directory")
    def directory() -> DirectoryAnswer:
        """Certificates, denylist and clock."""
        found = bank.directory()
        return DirectoryAnswer(
            root=_base64(found.root),
            certificates=[_base64(certificate.raw) for certificate in found.certificates],
            denylist=_base64(found.denylist.raw) if found.denylist else None,
            time=found.time,
        )

    @routes.post("/v1/challenges", response_class=Response, responses=_RECORD_ANSWER)
    def challenge() -> Response:
        """16 fresh bytes, good for one export or load."""
        return _octets(bank.challenge())

    @routes.post("/v1/sales", openapi_extra=_RECORD_BODY)
    def upload_sale(body: Body) -> SaleAnswer:
        """The tokens of one payment, one after the other."""
        return SaleAnswer.of(bank.upload_sale(parse_tokens(body)))

    @routes.post(
        "/v1/exports",
        openapi_extra=_RECORD_BODY,
        response_class=Response,
        responses=_RECORD_ANSWER,
    )
    def upload_export(body: Body) -> Response:
        """One purse's export; the answer is an acknowledgement, then maybe a policy."""
        return _octets(_sync_bytes(bank.upload_export(PurseExport.parse(body))))

    @routes.post(BUNDLES, openapi_extra=_RECORD_BODY)
    def upload_bundle(body: Body) -> list[SaleAnswer]:
        """A terminal's bundle; one answer for each sale in it."""
        return [SaleAnswer.of(result) for result in bank.upload_bundle(Bundle.parse(body))]

    @routes.get(
        "/v1/purses/{serial}/acknowledgement", response_class=Response, responses=_RECORD_ANSWER
    )
    def acknowledgement(serial: _Id) -> Response:
        """The purse's newest acknowledgement, then maybe a policy; 204 if there is none."""
        found = bank.acknowledgement(bytes.fromhex(serial))
        return Response(status_code=204) if found is None else _octets(_sync_bytes(found))

    @routes.get("/v1/payments/{payment_id}", response_model=SaleAnswer)
    def payment_state(payment_id: _Id, payee: _RecordId | None = None) -> SaleAnswer | Response:
        """The bank's word on a payment; 204 if it has none. `payee`: a certificate's RecordId."""
        wanted = None if payee is None else bytes.fromhex(payee)
        found = bank.payment_state(bytes.fromhex(payment_id), wanted)
        return Response(status_code=204) if found is None else SaleAnswer.of(found)

    return routes


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _octets(raw: bytes) -> Response:
    return Response(raw, media_type=_OCTETS)


def _sync_bytes(sync: PurseSync) -> bytes:
    return sync.acknowledgement.raw + (sync.policy.raw if sync.policy else b"")
