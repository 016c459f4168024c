"""A Secret Manager on this machine, for Google's own client as it is: gRPC, TLS, and Google's host name.

No variable gives the client another endpoint. But gRPC takes a proxy and certificates from the environment: the proxy
leads ``secretmanager.googleapis.com`` here, where a certificate of the tests' own answers for that name.
"""

from __future__ import annotations

import datetime
import socket
import socketserver
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.cloud.secretmanager_v1 import AccessSecretVersionRequest, AccessSecretVersionResponse

HOST = "127.0.0.1"
NAME = "secretmanager.googleapis.com"
ACCESS = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion"


@dataclass
class SecretManager:
    """A running Secret Manager.

    Attributes:
        secrets: the latest version of each secret, by ``projects/<project>/secrets/<id>``; may be changed at any time.
        refused: ids of secrets that the caller may not read.
        asked: the names of the versions that were asked for.
        accounts: the ``authorization`` of each call.
        variables: what leads a process to it.
    """

    secrets: dict[str, str]
    refused: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    variables: Mapping[str, str] = field(default_factory=dict)

    def access(self, request: Any, context: grpc.ServicerContext) -> AccessSecretVersionResponse:
        """Answer one call of AccessSecretVersion."""
        self.asked.append(request.name)
        self.accounts += [str(value) for name, value in context.invocation_metadata() if name == "authorization"]
        secret, _, version = request.name.partition("/versions/")
        if secret in self.refused:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "secretmanager.versions.access is denied")
        if secret not in self.secrets or version != "latest":
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} is not found")
        return AccessSecretVersionResponse(name=request.name, payload={"data": self.secrets[secret].encode()})


@contextmanager
def secret_manager(folder: Path, secrets: Mapping[str, str]) -> Iterator[SecretManager]:
    """Serve secrets during the block; the folder takes the certificate."""
    running = SecretManager(dict(secrets))
    certificate, key = _certificate()
    (folder / "roots.pem").write_bytes(certificate)
    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        running.access,
        request_deserializer=AccessSecretVersionRequest.deserialize,
        response_serializer=AccessSecretVersionResponse.serialize,
    )
    service, method = ACCESS.strip("/").split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_secure_port(f"{HOST}:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    with _proxy(port) as proxy:
        running.variables = {
            "grpc_proxy": f"http://{HOST}:{proxy}",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(folder / "roots.pem"),
        }
        try:
            yield running
        finally:
            server.stop(None).wait()


def _certificate() -> tuple[bytes, bytes]:
    """Return a certificate for Google's name that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


@contextmanager
def _proxy(port: int) -> Iterator[int]:
    """Serve CONNECT for Google's name alone, and lead it to ``port``; yields the proxy's own port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline().split()
            while self.rfile.readline().strip():
                pass
            if line[:2] != [b"CONNECT", f"{NAME}:443".encode()]:
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with socket.create_connection((HOST, port)) as server:
                back = threading.Thread(target=_relay, args=(server, self.connection))
                back.start()
                _relay(self.connection, server)
                back.join()

    with socketserver.ThreadingTCPServer((HOST, 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            serving.join()


def _relay(source: socket.socket, target: socket.socket) -> None:
    """Hand on bytes until one side ends."""
    try:
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
