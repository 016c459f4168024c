"""The checksums of uploads: of the content in a multipart body alone."""

from __future__ import annotations

import pytest

from local.cloud.gcs.checksums import Content, MultipartContent
from local.cloud.gcs.errors import RefusedError


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("content", [b"", b"x", b"a\r\n--other\n\n--\r\n\r\n"])
@pytest.mark.parametrize("header", [b"", b"Content-Type: a/b\n", b"x: y\nCONTENT-TYPE:a/b\nz: y\n"])
def test_content_is_found_wherever_the_body_is_cut(newline: bytes, content: bytes, header: bytes) -> None:
    first = b"--b\n\n{}".replace(b"\n", newline)
    rest = (b"\n--b\n%b\n" % header).replace(b"\n", newline) + content + newline + b"--b--" + newline
    declared = {"crc32c": "", "md5Hash": "wrong", "contentType": "a/b"}
    expected = Content(declared, ())
    expected.add(content)
    for cut in range(len(first + rest)):
        found = MultipartContent(declared, (), boundary="b", newline=newline, skip=len(first))
        found.add((first + rest)[:cut])
        copied = found.copy()
        copied.add((first + rest)[cut:])
        with pytest.raises(RefusedError) as refused:
            copied.check()
        with pytest.raises(RefusedError) as right:
            expected.check()
        assert str(refused.value) == str(right.value)


def test_both_checksums_are_compared_the_crc_first() -> None:
    content = Content({"crc32c": "AAAAAA==", "md5Hash": "x"}, [(b"x-goog-hash", b"md5=y"), (b"other", b"z")])
    content.add(b"content")
    with pytest.raises(RefusedError, match='Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "Ya91Mw=="'):
        content.check()
    content.declare([(b"x-goog-hash", b"crc32c=Ya91Mw==")])
    with pytest.raises(RefusedError, match='Provided MD5 hash "y" doesn\'t match'):
        content.check()
    content.declare([(b"x-goog-hash", b"crc32c=Ya91Mw==, md5=mgNkuembtIDdJeHwKEyFVQ==")])
    content.check()
    with pytest.raises(RefusedError, match="X-Goog-Hash 'sha1=x' is not served"):
        content.declare([(b"x-goog-hash", b"sha1=x")])
