"""JAX's coordination service in a process of its own, and the connection by which each process hears that another one has ended."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROGRAM = Path(__file__).with_name("_service_process.py")
#: Seconds for a connection to the service's process.
_TIMEOUT = 60.0


def _in_forked(function: Callable[[], None]) -> None:
    """Call a function in processes that are forked from this one, where the system has such."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)


class Service:
    """The service's process, which this one starts; it ends some seconds after this one, or when all processes have left.

    Args:
      host, port: where the others find it; port 0: there is no service of JAX's, processes are watched only.
      processes: how many there are.
      options: of JAX's service: ``heartbeat_timeout`` and ``shutdown_timeout`` in seconds.
      bind: the address at which it listens instead, such as "[::]:1234".

    Attributes:
      place: what :class:`Watch` needs to find it, as text.

    Raises:
      RuntimeError: it can't be started.
    """

    def __init__(self, host: str, port: int, processes: int, options: dict[str, int], bind: str | None = None):
        is_local = host in ("127.0.0.1", "localhost")
        token = secrets.token_hex(16)
        plan: dict[str, Any] = {"address": "", "processes": processes, "options": options, "token": token}
        if port:
            plan["address"] = bind or f"{host if is_local else '[::]'}:{port}"
        plan["host"] = "127.0.0.1" if is_local else ""
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the keyboard is for the others
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        _in_forked(self._process.stdin.close)  # or a worker would keep it open beyond this process's end
        with self._process.stdout as said:
            self._process.stdin.write(json.dumps(plan).encode() + b"\n")  # where, unlike among the arguments, nobody else reads the token
            self._process.stdin.flush()
            line = said.readline()
        number, problem = json.loads(line) if line else (None, f"its process ended with exit code {self._process.wait()}")
        if number is None:
            self.shutdown()
            raise RuntimeError(f"the service that joins processes can't be started at {host}:{port}: {problem}")
        self.place = json.dumps([host.strip("[]"), number, token])

    def shutdown(self) -> None:
        """Let it end when the others have left, for which this waits a second."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)


class Watch:
    """A connection to the service's process, which tells which of the other processes have ended.

    Args:
      place: of a Service.
      rank: the number of this process.
      heard: called in a thread of its own with the number of a process that has failed or was killed, and with what it failed of, or "".

    Raises:
      OSError: the service can't be reached.
    """

    def __init__(self, place: str, rank: int, heard: Callable[[int, str], None]):
        host, port, token = json.loads(place)
        self._connection = socket.create_connection((host, port), _TIMEOUT)
        self._connection.settimeout(None)
        self._heard, self._lock, self._has_ended = heard, threading.Lock(), False
        _in_forked(self._forget)
        self._say("rank", [token, rank])
        threading.Thread(target=self._listen, daemon=True, name="funnn-watch").start()

    def fail(self, reason: str) -> None:
        """Tell the others that this process fails, and of what."""
        self._end("failed", reason[:2000])

    def leave(self) -> None:
        """Say that this process ends, and has not failed."""
        self._end("left", None)

    def close(self) -> None:
        """Leave, and end the connection."""
        self.leave()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _forget(self) -> None:
        """In a worker that was forked: it is no connection of its own."""
        number = self._connection.detach()
        if number >= 0:
            os.close(number)

    def _end(self, word: str, value: Any) -> None:
        with self._lock:
            has_ended, self._has_ended = self._has_ended, True
        if not has_ended:
            self._say(word, value)

    def _say(self, word: str, value: Any) -> None:
        with contextlib.suppress(OSError):  # the service's machine may have gone
            self._connection.sendall(json.dumps([word, value]).encode() + b"\n")

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._connection.makefile("r") as lines:
            for line in lines:
                rank, reason = json.loads(line)
                self._heard(rank, reason)
