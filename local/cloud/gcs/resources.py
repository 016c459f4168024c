"""The properties of objects and buckets that a client may give: each is kept, or the request is refused.

https://cloud.google.com/storage/docs/json_api/v1/objects lists them. Those that only the server sets are ignored, as
Cloud Storage does: clients send back what they have read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from local.cloud.gcs.errors import RefusedError

TEXTS = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType")
EDITABLE = (*TEXTS, "customTime", "metadata")
"""What Cloud Storage calls the editable metadata of an object."""
STANDARD = "STANDARD"
_CLASSES = (STANDARD, "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY")
_MULTI_REGIONS = ("US", "EU", "ASIA")
_DUAL_REGIONS = ("ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4")
_GIVEN = {*TEXTS, "name", "bucket", "crc32c", "md5Hash"}
_OF_SERVER = {
    *("kind", "id", "selfLink", "mediaLink", "etag", "generation", "metageneration", "owner", "size"),
    *("timeCreated", "timeFinalized", "timeDeleted", "timeStorageClassUpdated", "updated", "componentCount"),
    *("softDeleteTime", "hardDeleteTime", "restoreToken", "retentionExpirationTime"),
}
_OF_SERVER_IN_BUCKETS = {
    *("kind", "id", "selfLink", "etag", "generation", "metageneration", "owner", "projectNumber", "locationType"),
    *("timeCreated", "updated", "satisfiesPZI", "satisfiesPZS", "softDeleteTime", "hardDeleteTime"),
}
_UNSERVED = {"acl", "contexts", "customerEncryption", "eventBasedHold", "kmsKeyName", "retention", "temporaryHold"}
"""What would change how an object behaves."""
_UNSERVED_IN_BUCKETS = {
    *("acl", "autoclass", "billing", "cors", "customPlacementConfig", "defaultEventBasedHold", "defaultObjectAcl"),
    *("encryption", "hierarchicalNamespace", "iamConfiguration", "ipFilter", "lifecycle", "logging"),
    *("objectRetention", "retentionPolicy", "rpo", "softDeletePolicy", "versioning", "website"),
}


def read(operation: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resource of the object or bucket that a request writes.

    Args:
        operation: what it does; see :mod:`local.cloud.gcs.parameters`.
        value: its JSON.

    Raises:
        RefusedError: it has a property that would not be kept, or one of the wrong type.
    """
    if operation == "create_bucket":
        _check_keys(value, {"name", "location", "storageClass", "labels"}, _OF_SERVER_IN_BUCKETS, _UNSERVED_IN_BUCKETS)
        _check_text(value, "location")
        _check_class(value)
        _check_texts(value, "labels")
        return dict(value)
    if operation == "compose":
        _check_keys(value, {"kind", "sourceObjects", "destination"}, set(), {"deleteSourceObjects"})
        value = value.get("destination") or {}
        if not isinstance(value, dict):
            raise RefusedError(400, "'destination' is not an object's resource; correct it")
    _check_keys(value, {*_GIVEN, "storageClass", "customTime", "metadata"}, _OF_SERVER, _UNSERVED)
    for key in _GIVEN:
        _check_text(value, key)
    _check_class(value)
    _check_time(value)
    _check_texts(value, "metadata")
    return dict(value)


def of_new_bucket(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that a bucket is created with, with the defaults of those that were not given."""
    location = (resource.get("location") or "US").upper()
    kind = "multi-region" if location in _MULTI_REGIONS else "dual-region" if location in _DUAL_REGIONS else "region"
    made = {
        "location": location,
        "locationType": kind,
        "storageClass": resource.get("storageClass") or STANDARD,
    }
    return made | ({"labels": resource["labels"]} if resource.get("labels") else {})


def _check_keys(value: Mapping[str, Any], kept: set[str], of_server: set[str], unserved: set[str]) -> None:
    for key in value:
        if key in unserved and _asks(value[key]):
            raise RefusedError(400, f"{key!r} is not served here and would have no effect; leave it out")
        if key not in kept | of_server | unserved:
            raise RefusedError(400, f"{key[:100]!r} is not known here and would have no effect; leave it out")


def _asks(value: Any) -> bool:
    """Return whether a setting is more than off and empty."""
    if isinstance(value, dict):
        return any(_asks(one) for one in value.values())
    return bool(value) and value != "0"


def _check_text(value: Mapping[str, Any], key: str) -> None:
    if not isinstance(value.get(key), str | None):
        raise RefusedError(400, f"{key[:100]!r} in the metadata is not a text; correct it")


def _check_texts(value: Mapping[str, Any], key: str) -> None:
    texts = value.get(key)
    if not isinstance(texts, dict | None):
        raise RefusedError(400, f"{key!r} is not an object of texts; correct it")
    for one in texts or ():
        _check_text(texts or {}, one)


def _check_class(value: Mapping[str, Any]) -> None:
    if (given := value.get("storageClass")) is not None and given not in _CLASSES:
        raise RefusedError(400, f"the storage class {str(given)[:100]!r} is none; use {', '.join(_CLASSES[:4])}")


def _check_time(value: Mapping[str, Any]) -> None:
    _check_text(value, "customTime")
    if (given := value.get("customTime")) is None:
        return
    try:
        has_zone = datetime.fromisoformat(given).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        raise RefusedError(400, f"customTime {given[:100]!r} is not RFC 3339; write 2021-01-31T00:00:00Z")
