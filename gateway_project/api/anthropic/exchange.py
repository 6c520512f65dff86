"""Exchanges whose answers and errors are in Anthropic's form, whatever was written into them in OpenAI's."""

from __future__ import annotations

from typing import Any

from gateway_project.api.anthropic.answers import read_answer
from gateway_project.api.anthropic.errors import error_body, error_event, status_of
from gateway_project.api.anthropic.requests import MessageRequest
from gateway_project.api.anthropic.streams import PING, MessageStream
from gateway_project.api.exchange import Exchange, HeaderList, error_headers
from gateway_project.core.errors import GatewayError, UpstreamFailed


def names_version(exchange: Exchange) -> bool:
    """Whether a client is one of Anthropic's: all of them name the version of its API."""
    return b"anthropic-version" in exchange.headers


class AnthropicExchange(Exchange):
    """Errors in Anthropic's form."""

    __slots__ = ()

    def name_request(self) -> None:
        """The request's id where Anthropic's clients look for it."""
        self.add_header(b"request-id", self.request_name.encode())

    async def send_error(self, error: GatewayError) -> None:
        """As `Exchange.send_error`."""
        if self.is_started:
            await Exchange.end_stream(self, error_event(error, self.request_name))
            return
        extra = [*error_headers(error), (b"request-id", self.request_name.encode())]
        body = error_body(error, self.request_name)
        await Exchange.send_body(self, status_of(error), body, extra=extra)


class ModelsExchange(AnthropicExchange):
    """Anthropic's form for whoever names a version of Anthropic's API."""

    __slots__ = ()

    async def send_error(self, error: GatewayError) -> None:
        """As `Exchange.send_error`."""
        if names_version(self):
            await super().send_error(error)
        else:
            await Exchange.send_error(self, error)


class MessagesExchange(AnthropicExchange):
    """What is written as OpenAI's completion, or as its chunks, goes out as a message."""

    __slots__ = ("_message_id", "_request", "_stream")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._message_id = "msg_" + self.request_id.hex
        self._request: MessageRequest | None = None
        self._stream: MessageStream | None = None

    def begin(self, request: MessageRequest, *, input_tokens: int) -> None:
        """From now on answers are messages; `input_tokens` is what streams tell until the usage is known."""
        self._request = request
        if request.is_stream:
            self._stream = MessageStream(request, message_id=self._message_id, input_tokens=input_tokens)

    async def send_body(
        self,
        status: int,
        body: bytes,
        *,
        content_type: tuple[bytes, bytes] = (b"content-type", b"application/json"),
        extra: HeaderList | None = None,
    ) -> None:
        """A plain answer."""
        if status == 200 and self._request is not None:
            try:
                body = read_answer(body, self._request, message_id=self._message_id)
            except (AttributeError, KeyError, LookupError, TypeError, ValueError) as error:
                raise UpstreamFailed("The answer is no chat completion.") from error
        await super().send_body(status, body, content_type=content_type, extra=extra)

    async def send_piece(self, piece: bytes) -> None:
        """More of the stream, if this completes something."""
        if made := self._events(piece):
            await super().send_piece(made)

    async def end_stream(self, last: bytes = b"") -> None:
        """The end of the stream."""
        await super().end_stream(self._events(last))

    def _events(self, piece: bytes) -> bytes:
        if self._stream is None:
            return piece
        try:
            return self._stream.feed(piece)
        except (AttributeError, KeyError, LookupError, TypeError, ValueError) as error:
            raise UpstreamFailed("The stream is none of a chat completion.") from error

    async def _send_heartbeat(self) -> None:
        if not self._is_complete:
            await Exchange.send_piece(self, PING)
