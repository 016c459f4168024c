"""Every parameter that is not served is refused: none is ignored."""

from __future__ import annotations

import pytest

from local.cloud.gcs.errors import RefusedError
from local.cloud.gcs.parameters import OPERATIONS, find_operation

BUCKET = "/storage/v1/b/lake"
REQUESTS = {
    "list_buckets": ("GET", "/storage/v1/b"),
    "create_bucket": ("POST", "/storage/v1/b"),
    "get_bucket": ("GET", BUCKET),
    "get_layout": ("GET", f"{BUCKET}/storageLayout"),
    "delete_bucket": ("DELETE", BUCKET),
    "list_objects": ("GET", f"{BUCKET}/o"),
    "upload": ("POST", f"/upload{BUCKET}/o"),
    "continue_upload": ("PUT", f"/upload{BUCKET}/o"),
    "cancel_upload": ("DELETE", f"/upload{BUCKET}/o"),
    "copy": ("POST", f"{BUCKET}/o/a/rewriteTo/b/lake/o/b"),
    "compose": ("POST", f"{BUCKET}/o/a/compose"),
    "get": ("GET", f"{BUCKET}/o/a"),
    "delete": ("DELETE", f"{BUCKET}/o/a"),
    "change": ("PATCH", f"{BUCKET}/o/a"),
}
ELSEWHERE = {name for operation in OPERATIONS for name in operation.parameters}
"""Every parameter that any request may have."""
UNSERVED = {
    *("destinationKmsKeyName", "destinationPredefinedAcl", "enableObjectRetention", "filter", "kmsKeyName"),
    *("maxBytesRewrittenPerCall", "overrideUnlockedRetention", "predefinedAcl", "predefinedDefaultObjectAcl"),
    *("restoreToken", "rewriteToken", "returnPartialSuccess", "copySourceAcl", "ifgenerationmatch", "unknown"),
}
"""Those of the documentation that no request may have here."""


def test_every_operation_is_asked() -> None:
    assert {operation.name for operation in OPERATIONS} == set(REQUESTS)


@pytest.mark.parametrize("name", REQUESTS)
def test_parameter_without_an_effect_is_refused(name: str) -> None:
    method, path = REQUESTS[name]
    operation, _ = find_operation(method, path, {}, {})
    assert operation.name == name
    for parameter in ELSEWHERE | UNSERVED:
        if parameter == "upload_id" and name == "upload":
            continue  # makes it another request
        if parameter in operation.parameters:
            value = {"alt": "json", "projection": "noAcl"}.get(parameter, "false")
            find_operation(method, path, {parameter: value}, {})
            continue
        with pytest.raises(RefusedError, match=f"'{parameter}' is not served with {name}") as refused:
            find_operation(method, path, {parameter: "1"}, {})
        assert refused.value.status == 400
        assert "uploadType" in str(refused.value) or name not in ("upload", "continue_upload", "cancel_upload")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("alt", "proto"), ("projection", "some"), ("softDeleted", "true"), ("includeFoldersAsPrefixes", "true")],
)
def test_value_without_an_effect_is_refused(parameter: str, value: str) -> None:
    with pytest.raises(RefusedError, match=f"{parameter}='{value}' is not served"):
        find_operation("GET", f"{BUCKET}/o", {parameter: value}, {})


@pytest.mark.parametrize(
    "header",
    [
        *("x-goog-encryption-algorithm", "x-goog-encryption-key", "x-goog-copy-source-encryption-key-sha256"),
        *("x-http-method-override", "if-modified-since", "if-unmodified-since"),
    ],
)
def test_header_without_an_effect_is_refused(header: str) -> None:
    with pytest.raises(RefusedError, match=header):
        find_operation("GET", f"{BUCKET}/o/a", {}, {header: "x"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", BUCKET),
        ("PUT", BUCKET),
        ("POST", f"{BUCKET}/o/a"),
        ("POST", f"{BUCKET}/o/a/moveTo/o/b"),
        ("POST", f"{BUCKET}/o/a/restore"),
        ("GET", f"{BUCKET}/o/a/acl"),
        ("DELETE", f"{BUCKET}/o/a/acl/allUsers"),
        ("GET", f"{BUCKET}/o/a/iam"),
        ("GET", f"{BUCKET}/iam"),
        ("GET", f"{BUCKET}/acl"),
        ("POST", f"{BUCKET}/lockRetentionPolicy"),
        ("GET", f"{BUCKET}/notificationConfigs"),
        ("POST", "/batch/storage/v1"),
        ("GET", "/lake/a"),
        ("TRACE", BUCKET),
    ],
)
def test_request_that_is_not_served_is_refused(method: str, path: str) -> None:
    with pytest.raises(RefusedError, match="not served") as refused:
        find_operation(method, path, {}, {})
    assert refused.value.status == 400
