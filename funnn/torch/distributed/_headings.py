"""What the processes of a group tell each other before an operation: by plain sockets, for which a program of XLA takes a hundred times longer.

The first process of the group gathers what each has to say, and sends all of it to all.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import time

import numpy as np

from funnn.torch.distributed._cluster import Cluster
from funnn.torch.distributed.errors import DistBackendError, killed

_TOKEN = 16  # bytes by which a connection shows that it comes from the group


class Headings:
    """Connections between the processes of a group.

    Args:
      cluster: where they find each other.
      ranks: the group, in its order; name: of the group.
    """

    def __init__(self, cluster: Cluster, ranks: list[int], name: str):
        self._cluster, self._ranks, self._key = cluster, ranks, f"headings/{name}"
        self._own = ranks.index(cluster.rank)
        self._sockets: dict[int, socket.socket] = {}  # by the number in the group

    def gather(self, own: np.ndarray, timeout: float) -> np.ndarray:
        """The bytes of all processes, of which each has as many: (n, k).

        Args:
          timeout: seconds for the first connection.

        Raises:
          DistBackendError: a process has gone, or does not come to the first operation in time.
        """
        if not self._sockets:
            self._connect(timeout)
        if self._own:
            self._send(0, own.tobytes())
            found = self._receive(0, len(self._ranks) * own.size)
        else:
            parts = [own.tobytes(), *[self._receive(number, own.size) for number in range(1, len(self._ranks))]]
            found = b"".join(parts)
            for number in self._sockets:
                self._send(number, found)
        return np.frombuffer(found, np.uint8).reshape(len(self._ranks), -1)

    def close(self) -> None:
        """End the connections."""
        for one in self._sockets.values():
            one.close()
        self._sockets = {}

    # -- connections

    def _connect(self, timeout: float) -> None:
        if self._own:
            self._join(timeout)
        else:
            self._accept(timeout)
        for one in self._sockets.values():
            one.settimeout(None)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _accept(self, timeout: float) -> None:
        """In the first process: wait for the others, which show the token that stands under the group's key."""
        end, token = time.monotonic() + timeout, secrets.token_bytes(_TOKEN)
        host = self._cluster.own_address()
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
            self._cluster.put(self._key, token + f"{server.getsockname()[1]} {host}".encode())
            while len(self._sockets) < len(self._ranks) - 1:
                server.settimeout(max(0.001, end - time.monotonic()))
                try:
                    connection, _ = server.accept()
                    connection.settimeout(max(0.001, end - time.monotonic()))
                    shown = _read(connection, _TOKEN + 4)
                except TimeoutError:
                    raise DistBackendError(
                        f"waited {timeout:g} s for {len(self._ranks) - 1 - len(self._sockets)} processes to connect"
                    ) from None
                number = int.from_bytes(shown[_TOKEN:], "big")
                if hmac.compare_digest(shown[:_TOKEN], token) and 0 < number < len(self._ranks):
                    self._sockets[number] = connection
                else:
                    connection.close()

    def _join(self, timeout: float) -> None:
        """In the others: connect to the first."""
        found = self._cluster.get(self._key, timeout, "the first operation of a group", [self._ranks[0]])
        port, _, host = found[_TOKEN:].decode().partition(" ")
        connection = socket.create_connection((host, int(port)), timeout)
        connection.sendall(found[:_TOKEN] + self._own.to_bytes(4, "big"))
        self._sockets[0] = connection

    def _send(self, number: int, data: bytes) -> None:
        try:
            self._sockets[number].sendall(data)
        except OSError:
            raise self._gone(number) from None

    def _receive(self, number: int, count: int) -> bytes:
        try:
            found = _read(self._sockets[number], count)
        except OSError:
            found = b""
        if len(found) < count:
            raise self._gone(number)
        return found

    def _gone(self, number: int) -> DistBackendError:
        return DistBackendError(killed(self._ranks[number]))


def _read(connection: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer where the connection ends."""
    found = bytearray()
    while len(found) < count and (part := connection.recv(count - len(found))):
        found += part
    return bytes(found)
