"""Reading a body: hypothesis cuts it in any way, and none is too large, too slow or too broken for an exact answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive

from serve_app.errors import BodyTooLarge, BodyTooSlow, ClientGone, InvalidRequest
from serve_app.settings import Settings
from serve_app.web.body import read_body
from serve_app.web.error_replies import error_reply
from serve_app.web.request_parser import RequestParser
from serve_app.web.unfinished import UnfinishedBodies

LIMIT = 64
FREE = UnfinishedBodies()
LIMITS = Settings(max_texts=5, max_text_chars=20)
PARSER = RequestParser(LIMITS)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text() | st.just("text"), inner, max_size=4),
)


def sends(parts: list[bytes], *, then: Message) -> Receive:
    messages: Iterator[Message] = iter(
        [*({"type": "http.request", "body": part, "more_body": True} for part in parts), then]
    )

    async def receive() -> Message:
        return next(messages)

    return receive


END: Message = {"type": "http.request", "body": b"", "more_body": False}


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_a_body_is_whole_however_it_is_cut_or_one_byte_too_large(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    try:
        body = asyncio.run(read_body([], sends(parts, then=END), LIMIT, 5, FREE))
    except BodyTooLarge:
        assert len(whole) > LIMIT
    else:
        assert body == whole
        assert len(whole) <= LIMIT


@given(st.binary(max_size=30))
def test_any_content_length_is_survived(length: bytes) -> None:
    try:
        body = asyncio.run(read_body([(b"content-length", length)], sends([b"abc"], then=END), LIMIT, 5, FREE))
    except BodyTooLarge:
        assert int(length) > LIMIT
    else:
        assert body == b"abc"


@pytest.mark.parametrize("parts", [[], [b'{"text":["a"]}'], [b"ab", b"c"]])
async def test_a_part_of_a_body_whose_client_goes_is_no_body(parts: list[bytes]) -> None:
    with pytest.raises(ClientGone):
        await read_body([], sends(parts, then={"type": "http.disconnect"}), LIMIT, 5, FREE)


async def test_a_body_that_drips_is_408_though_each_part_is_quick() -> None:
    async def drip() -> Message:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(BodyTooSlow) as caught:
        await read_body([], drip, LIMIT, 0.2, FREE)
    assert error_reply(caught.value).status == 408


def refused(body: bytes) -> bool:
    try:
        texts = PARSER.texts(body)
    except InvalidRequest as error:
        reply = error_reply(error)
        assert reply.status == 422
        assert all(set(entry) == {"type", "loc", "msg"} for entry in json.loads(reply.body)["detail"])
        return True
    assert len(texts) <= LIMITS.max_texts
    for text in texts:
        assert len(text) <= LIMITS.max_text_chars
        text.encode()  # a lone surrogate could not be
    return False


@given(st.binary())
def test_any_bytes_are_a_request_or_422(body: bytes) -> None:
    refused(body)


@given(JSON)
def test_any_json_is_a_request_or_422(value: object) -> None:
    refused(json.dumps(value).encode())


@given(st.dictionaries(st.just("text"), JSON | st.lists(st.text() | JSON, max_size=7)))
def test_anything_under_text_is_a_request_or_422(value: dict[str, object]) -> None:
    texts = value.get("text")
    good = (
        isinstance(texts, list)
        and len(texts) <= LIMITS.max_texts
        and all(isinstance(text, str) and len(text) <= LIMITS.max_text_chars for text in texts)
    )
    assert refused(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) is not good


@given(st.lists(st.text(max_size=20), max_size=5))
def test_good_texts_come_through_unchanged(texts: list[str]) -> None:
    assert PARSER.texts(json.dumps({"text": texts}).encode()) == texts
