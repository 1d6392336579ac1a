"""Content codings undone: whatever the pieces, the same bytes; whatever the bytes, bounded pieces or an error that names the coding."""

import gzip
import random
import sys
import zlib

import brotli
import pytest

from sse_check.transport.decoding import DecodeError, decoder_for

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b"id: %d\ndata: {}\n\n" % number for number in range(40))


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the header that it should have, as some servers send it."""
    state = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return state.compress(data) + state.flush()


CASES = [
    pytest.param("gzip", gzip.compress, id="gzip"),
    pytest.param("GZip ", gzip.compress, id="gzip in other letters"),
    pytest.param("gzip", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]), id="gzip in two members"),
    pytest.param("deflate", zlib.compress, id="deflate"),
    pytest.param("deflate", raw_deflate, id="deflate without its header"),
    pytest.param("br", brotli.compress, id="br"),
    pytest.param("zstd", zstd.compress, id="zstd"),
    pytest.param("zstd", lambda data: zstd.compress(data[:99]) + zstd.compress(data[99:]), id="zstd in two frames"),
]
ONE_OF_EACH = [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstd.compress)]


def decoded(coding: str, *pieces: bytes) -> list[bytes]:
    """What a body that comes in these pieces is decoded to."""
    decoder = decoder_for(coding)
    assert decoder is not None
    out = [part for piece in pieces for part in decoder.feed(piece)]
    decoder.close()
    return out


@pytest.mark.parametrize(("coding", "encode"), CASES)
def test_a_body_is_the_same_however_it_is_cut(coding, encode):
    """
    Whole, byte by byte, and cut at every offset.
    """
    body = encode(TEXT)
    assert b"".join(decoded(coding, body)) == TEXT
    assert b"".join(decoded(coding, *(body[at : at + 1] for at in range(len(body))))) == TEXT
    for at in range(len(body)):
        assert b"".join(decoded(coding, body[:at], b"", body[at:])) == TEXT


@pytest.mark.parametrize(("coding", "encode"), ONE_OF_EACH)
@pytest.mark.parametrize("shape", ["zeros", "noise"])
def test_pieces_are_bounded(coding, encode, shape):
    """
    A body that grows a thousandfold comes in pieces of a bounded size, none of them empty.
    """
    data = bytes(20_000_000) if shape == "zeros" else random.Random(1).randbytes(1000) * 5000
    pieces = decoded(coding, encode(data))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 1024 * 1024
    assert min(map(len, pieces)) > 0


@pytest.mark.parametrize(("coding", "encode"), ONE_OF_EACH)
def test_what_cannot_be_decoded_names_its_coding(coding, encode):
    """
    Plain text, and anything after the end of what was encoded, is an error.
    """
    with pytest.raises(DecodeError, match=coding):
        decoded(coding, TEXT)
    with pytest.raises(DecodeError, match=coding):
        decoded(coding, encode(TEXT), b"data: and more\n\n")


def test_a_body_of_very_many_members_is_refused():
    """
    Thousands of members in one read would keep the loop busy: they are no stream.
    """
    with pytest.raises(DecodeError):
        decoded("gzip", gzip.compress(b"") * 5000)
    with pytest.raises(DecodeError):
        decoded("zstd", zstd.compress(b"") * 5000)


def test_a_part_that_is_missing_at_the_end_is_noticed_by_deflate_alone():
    """
    As aiohttp has it over HTTP/1.1; what had come is handed over in each case.
    """
    for coding, encode in ONE_OF_EACH:
        decoder = decoder_for(coding)
        assert decoder is not None
        assert TEXT.startswith(b"".join(decoder.feed(encode(TEXT)[:-2])))
        if coding == "deflate":
            with pytest.raises(DecodeError):
                decoder.close()
        else:
            decoder.close()


@pytest.mark.parametrize("coding", [None, "", "identity", "gzip, br", "exi", "x-gzip"])
def test_other_codings_are_left_as_they_are(coding):
    """
    What nobody offered to take is not touched.
    """
    assert decoder_for(coding) is None
