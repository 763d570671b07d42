"""A process that compiles for one that was forked and can't (``forked``). It reads requests from stdin and writes programs to stdout, both pickled.

A request is (StableHLO as bytecode, serialised options), an answer (serialised executable, None) or (None, text of an error). It ends when stdin does.
"""

from __future__ import annotations

import os
import pickle
import sys

import jax
import jax.extend.backend
from jaxlib.xla_client import CompileOptions, DeviceList


def serve() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    client = jax.extend.backend.get_backend("cpu")
    devices = DeviceList(tuple(client.local_devices()[:1]))
    while True:
        try:
            module, options = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        program, text = None, None
        try:
            program = client.compile_and_load(module, devices, CompileOptions.ParseFromString(options)).serialize()
        except Exception as error:
            text = str(error)
        pickle.dump((program, text), answers)
        answers.flush()


if __name__ == "__main__":
    serve()
