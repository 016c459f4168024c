"""A mail server for the tests of notifications."""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_string, policy
from email.message import EmailMessage
from typing import Any, ClassVar, cast


class MailServer:
    """An SMTP server that asks for a login, and keeps the messages that it accepts.

    Attributes:
        messages: the messages.
        recipients: all recipients, in the order in which they were named.
        logins: the users with their passwords; any is welcome.
        first: the answers to the content of the first messages, before they are accepted.
    """

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.first: list[str] = []
        mail = self

        class Handler(socketserver.StreamRequestHandler):
            _answers: ClassVar[dict[str, str]] = {
                "EHLO": "250-test\r\n250 AUTH PLAIN",
                "AUTH": "235 welcome",
                "DATA": "354 go on",
                "QUIT": "221 bye",
            }

            def handle(self) -> None:
                self._say("220 test")
                while line := self.rfile.readline().decode().strip():
                    verb = line[:4].upper()
                    if verb == "AUTH":
                        _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                        mail.logins.append((user, password))
                    if verb == "RCPT":
                        mail.recipients.append(line.partition(":")[2].split(" ")[0])
                    self._say(self._answers.get(verb, "250 ok"))
                    if verb == "DATA":
                        self._receive()
                    elif verb == "QUIT":
                        return

            def _receive(self) -> None:
                lines = []
                while (line := self.rfile.readline().decode()) != ".\r\n":
                    lines.append(line)
                if mail.first:
                    self._say(mail.first.pop(0))
                    return
                message = message_from_string("".join(lines), policy=policy.default)
                mail.messages.append(cast("EmailMessage", message))
                self._say("250 kept")

            def _say(self, answer: str) -> None:
                self.wfile.write(f"{answer}\r\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def texts(self) -> list[str]:
        """The texts of the messages."""
        bodies = [message.get_body() for message in list(self.messages)]
        return [str(body.get_content()) for body in bodies if body is not None]

    @property
    def connection(self) -> dict[str, Any]:
        """An Airflow connection to it."""
        host, port = self.server.server_address[:2]
        extra = {"from_email": "airflow@example.com", "to": "a@example.com, b@example.com"}
        extra |= {"disable_ssl": True, "disable_tls": True}
        return {"conn_type": "smtp", "host": host, "port": port, "login": "me", "password": "secret", "extra": extra}


def served(server: socketserver.BaseServer) -> Iterator[None]:
    """Yield once, while the server runs."""
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield
    server.shutdown()
    server.server_close()
