"""Decodes a predict request's body, by type, so that any JSON costs about the same."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from pydantic import ValidationError

from serve_app.errors import InvalidRequest
from serve_app.settings import Settings
from serve_app.web.schemas import predict_request

MAX_FAULTS = 10
LARGE_BYTES = 64 << 10
"""A larger body gets one fault in `detail`, and its texts are counted before they are decoded."""
_MAX_EXPLAINED = 4096
"""A body with more brackets, braces and commas gets one fault: pydantic would build all of it to find others."""
_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Errors of the decoder. It raises RecursionError for deep nesting in a part that it skips."""
_PLACE = re.compile(r" - at `\$(?:\.text)?(?:\[(\d+)\])?`$")


class RequestParser:
    """Turns bodies into texts within the limits of the settings.

    The decoder stops at the first wrong type, unknown field or other fault, so nesting and unknown fields cost nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self.model = predict_request(settings)
        self._max_texts = settings.max_texts
        self._messages = {
            "json_invalid": "Invalid JSON",
            "model_type": "Input should be an object",
            "missing": "Field required",
            "extra_forbidden": "Extra inputs are not permitted",
            "list_type": "Input should be a valid array",
            "too_long": f"List should have at most {settings.max_texts} items",
            "string_type": "Input should be a valid string",
            "string_too_long": f"String should have at most {settings.max_text_chars} characters",
        }
        text = Annotated[str, msgspec.Meta(max_length=settings.max_text_chars)]
        texts = Annotated[list[text], msgspec.Meta(max_length=settings.max_texts)]
        self._texts: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_shape(texts))
        self._raw: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_shape(msgspec.Raw))

    def texts(self, body: bytes) -> list[str]:
        """The texts of a request's body.

        Raises:
            InvalidRequest: the body is not JSON, or does not match the model.
        """
        try:
            if len(body) > LARGE_BYTES:
                self._check_count(body)
            texts: list[str] = self._texts.decode(body).text
        except _FAULTS as error:
            raise InvalidRequest(detail=self._all_faults(body) or [self._fault(error)]) from None
        return texts

    def _check_count(self, body: bytes) -> None:
        """Refuse too long a list of short texts, which would otherwise be decoded before its length is checked.

        Raises:
            InvalidRequest: `text` has too many strings.
            msgspec.MsgspecError, UnicodeDecodeError, RecursionError: the body is wrong in another way.
        """
        if _quotes(body) <= 2 * (self._max_texts + 1):  # with the field's name
            return
        try:
            self._texts.decode(body[:LARGE_BYTES])
        except msgspec.ValidationError:
            raise
        except _FAULTS:  # cut off, and valid so far
            if _strings(bytes(self._raw.decode(body).text)) > self._max_texts:
                raise InvalidRequest(detail=[self._entry("too_long", ["text"])]) from None

    def _all_faults(self, body: bytes) -> list[dict[str, Any]]:
        """FastAPI's entries for the first faults of a small body; none for a large one, or one that pydantic accepts.

        They hold no input. An unknown field's name is the caller's text, so it is left out too.
        """
        if len(body) > LARGE_BYTES or sum(map(body.count, (b"[", b"{", b","))) > _MAX_EXPLAINED:
            return []
        try:
            self.model.model_validate_json(body)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False, include_context=False)[:MAX_FAULTS]
            return [
                {
                    "type": fault["type"],
                    "loc": ["body", *(fault["loc"][:-1] if fault["type"] == "extra_forbidden" else fault["loc"])],
                    "msg": fault["msg"],
                }
                for fault in faults
            ]
        return []

    def _fault(self, error: Exception) -> dict[str, Any]:
        """FastAPI's entry for the decoder's first fault, without the decoder's message, which may name a field."""
        if not isinstance(error, msgspec.ValidationError):
            return self._entry("json_invalid", [])
        words = str(error)
        if words.startswith("Object contains unknown field"):
            return self._entry("extra_forbidden", [])
        if words.startswith("Object missing required field"):
            return self._entry("missing", ["text"])
        place = _PLACE.search(words)
        if place is None:
            return self._entry("model_type", [])
        too_long = "of length" in words
        if place[1] is None:
            return self._entry("too_long" if too_long else "list_type", ["text"])
        return self._entry("string_too_long" if too_long else "string_type", ["text", int(place[1])])

    def _entry(self, kind: str, loc: list[str | int]) -> dict[str, Any]:
        return {"type": kind, "loc": ["body", *loc], "msg": self._messages[kind]}


def _shape(text: Any) -> Any:
    return msgspec.defstruct("PredictRequest", [("text", text)], forbid_unknown_fields=True)


def _quotes(json: bytes) -> int:
    # bytes.count takes three times as long if there are many
    return len(json) - len(json.translate(None, b'"'))


def _strings(json: bytes) -> int:
    """The number of strings in JSON, in which a backslash occurs only within strings."""
    return _quotes(json.replace(b"\\\\", b"").replace(b'\\"', b"")) // 2
