"""Content codings undone as their bytes come, with bounded output."""

import sys
import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import brotli

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

# What is decoded at a time, no more than one read of a plain body: one that grows a thousandfold is handed over in such pieces.
PIECE_BYTES: Final = 64 * 1024
# RFC 9659, section 3: a content coding's frames need no larger window, and a decoder is not to give them one (8 MiB).
_ZSTD_WINDOW_LOG: Final = 23
# What undoing a coding keeps of the body: RFC 1951, section 2; RFC 7932, section 9.1; RFC 9659.
_WINDOWS: Final = {"gzip": 32 * 1024, "deflate": 32 * 1024, "br": 16 * 1024 * 1024, "zstd": 1 << _ZSTD_WINDOW_LOG}
_ZSTD_OPTIONS: Final[dict[int, int]] = {DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
# Each member's end copies the rest of a read: a read of nothing but tiny members would take seconds.
_MAX_MEMBERS: Final = 1024


class DecodeError(Exception):
    """A body is not what its Content-Encoding says; the message names the coding."""


class Decoder(Protocol):
    """Undoes one body's coding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these bytes decode to, in pieces that are never empty. Raises DecodeError."""
        ...

    def close(self) -> None:
        """The body is over. Raises DecodeError where its coding notices that a part is missing."""
        ...


def window_of(coding: str | None) -> int:
    """How many bytes of the body are kept at most, to undo its Content-Encoding."""
    return _WINDOWS.get(_named(coding), 0)


def _named(coding: str | None) -> str:
    return (coding or "").strip().lower()


def decoder_for(coding: str | None) -> Decoder | None:
    """What undoes a Content-Encoding; None for one that leaves the body as it is, or that nobody offered to take."""
    match _named(coding):
        case "gzip":
            return _Zlib("gzip", zlib.MAX_WBITS + 16)
        case "deflate":
            return _Zlib("deflate", zlib.MAX_WBITS)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
    return None


def _undecodable(coding: str) -> DecodeError:
    return DecodeError(f"the body cannot be decoded as {coding}")


class _Zlib:
    """gzip (RFC 1952), of which members may follow each other, and deflate, with its zlib header (RFC 1950) or without."""

    def __init__(self, coding: str, wbits: int) -> None:
        self._coding = coding
        self._wbits = wbits
        self._begun = False
        self._member = zlib.decompressobj(wbits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        if data and not self._begun:
            self._begun = True
            # RFC 9110, section 8.4.1.2: some send deflate without the zlib header, whose first byte ends in 8.
            if self._coding == "deflate" and data[0] & 0x0F != 8:
                self._wbits = -zlib.MAX_WBITS
                self._member = zlib.decompressobj(self._wbits)
        for _ in range(_MAX_MEMBERS):
            if self._member.eof and data:
                self._member = zlib.decompressobj(self._wbits)
            yield from self._pieces(data)
            data = self._member.unused_data
            if not (self._member.eof and data):
                return
        raise _undecodable(self._coding)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """What is there of one member."""
        while not self._member.eof:
            try:
                piece = self._member.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise _undecodable(self._coding) from None
            if piece:
                yield piece
            data = self._member.unconsumed_tail
            if not data and len(piece) < PIECE_BYTES:
                return

    def close(self) -> None:
        # As aiohttp has it: of the other codings the end may be missing.
        if self._coding == "deflate" and self._begun and not self._member.eof:
            raise _undecodable(self._coding)


class _Brotli:
    """br (RFC 7932)."""

    def __init__(self) -> None:
        self._state = brotli.Decompressor()

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                piece = self._state.process(data, output_buffer_limit=PIECE_BYTES)
            except brotli.error:
                raise _undecodable("br") from None
            if piece:
                yield piece
            data = b""
            # It may accept more data although there is more to be had of what it has.
            if self._state.is_finished() or (not piece and self._state.can_accept_more_data()):
                return

    def close(self) -> None:
        pass


class _Zstd:
    """zstd (RFC 8878), of which frames may follow each other."""

    def __init__(self) -> None:
        self._frame = ZstdDecompressor(options=_ZSTD_OPTIONS)

    def feed(self, data: bytes) -> Iterator[bytes]:
        for _ in range(_MAX_MEMBERS):
            if self._frame.eof and data:
                self._frame = ZstdDecompressor(options=_ZSTD_OPTIONS)
            yield from self._pieces(data)
            if not self._frame.eof:
                return
            data = self._frame.unused_data
            if not data:
                return
        raise _undecodable("zstd")

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """What is there of one frame."""
        while not self._frame.eof:
            try:
                piece = self._frame.decompress(data, PIECE_BYTES)
            except ZstdError:
                raise _undecodable("zstd") from None
            if piece:
                yield piece
            data = b""
            if self._frame.needs_input:
                return

    def close(self) -> None:
        pass
