"""The program of the process that has JAX's coordination service; ``_service.py`` starts it.

It takes no part in the computation, so it outlives whichever process ends first, and tells the others who that was. Each process holds a connection to it, in
which it shows the token and its number, and says later that it fails, and of what, or that it leaves. A connection that closes without either is one of a
process that was killed or has crashed. The standard input closes when the process ends that started this one.

Nothing of the package is imported here, so that the process is there in a tenth of a second.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import selectors
import socket
import time
from typing import Any

#: Seconds that it stays after the process that started it has ended, for the others to hear of it.
_LINGER = 10.0


class _Member:
    """A connection of a process."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.rank: int | None = None
        self.has_left = False
        self._text = b""

    def lines(self) -> list[Any] | None:
        """What it has said since the last time; None where the connection has closed."""
        try:
            data = self.connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            return None
        *whole, self._text = (self._text + data).split(b"\n")
        return [json.loads(line) for line in whole]

    def tell(self, rank: int, reason: str) -> None:
        """Say who has ended."""
        with contextlib.suppress(OSError):  # it has ended too
            self.connection.sendall(json.dumps([rank, reason]).encode() + b"\n")


class _Watch:
    """The connections of all processes, and who has ended."""

    def __init__(self, listener: socket.socket, token: str):
        self._listener, self._token = listener, token
        self._members: list[_Member] = []
        self._ended: dict[int, str] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._selector.register(listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve, until the process that started this one has ended and the others have, too."""
        end = None
        while end is None or (self._members and time.monotonic() < end):
            for key, _ in self._selector.select(0.2):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.data, _Member):
                    self._hear(key.data)
                elif not os.read(0, 1):
                    self._selector.unregister(0)
                    end = time.monotonic() + _LINGER

    def _accept(self) -> None:
        member = _Member(self._listener.accept()[0])
        self._members.append(member)
        self._selector.register(member.connection, selectors.EVENT_READ, member)

    def _hear(self, member: _Member) -> None:
        try:
            lines = member.lines()
            for line in lines or ():
                self._take(member, line)
        except (ValueError, TypeError, LookupError):  # no process of ours
            lines, member.has_left = None, True
        if lines is None:
            self._selector.unregister(member.connection)
            member.connection.close()
            self._members.remove(member)
            if member.rank is not None and not member.has_left:
                self._tell(member.rank, "")

    def _take(self, member: _Member, line: Any) -> None:
        word, value = line
        if member.rank is None:
            if word != "rank" or not hmac.compare_digest(value[0], self._token):
                raise ValueError("another token")
            member.rank = int(value[1])
            for rank, reason in self._ended.items():
                member.tell(rank, reason)
        else:
            member.has_left = True
            if word == "failed":
                self._tell(member.rank, value)

    def _tell(self, rank: int, reason: str) -> None:
        if rank not in self._ended:
            self._ended[rank] = reason
            for member in list(self._members):
                if member.rank not in (None, rank):
                    member.tell(rank, reason)


def _listener(host: str) -> socket.socket:
    """A socket at a free port of an address, or of all addresses of the machine where it is ""."""
    if not host and socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # of a machine without IPv6
            return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server((host, 0))


def main() -> None:
    """Start the service as a line of JSON on the standard input says, print the port of the watch or what failed, and serve."""
    with open(0, "rb", buffering=0, closefd=False) as said:  # without a buffer, for the watch sees what is on the input itself
        plan = json.loads(said.readline())
    try:
        from jaxlib import _jax

        service: Any = None  # which ends with the process
        if plan["address"]:
            service = _jax.get_distributed_runtime_service(plan["address"], plan["processes"], **plan["options"])  # noqa: F841
        listener = _listener(plan["host"])
    except Exception as error:
        print(json.dumps([None, f"{type(error).__name__}: {error}"]), flush=True)
        return
    print(json.dumps([listener.getsockname()[1], ""]), flush=True)
    os.close(1)
    _Watch(listener, plan["token"]).run()


if __name__ == "__main__":
    main()
