"""Hostile files: the reader of .pt files gives data or a CheckpointError, in no time and in no more memory than the file has.

    python -m tests.fuzz_checkpoint --seconds 120         # coverage-guided, by atheris; new inputs go to tests/checkpoint/corpus
    python -m tests.fuzz_checkpoint --mutations 200000    # random changes of the corpus's inputs, which need nothing but Python
    python -m tests.fuzz_checkpoint --seeds               # write the corpus's first inputs, by PyTorch

``--torch`` reads with funnn.torch.load instead of load_pt.

An input's first byte says what the rest is: a file, or a pickle around which the container of one format or the other is put, because a changed zip file
rarely gets further than its checksums.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import resource
import struct
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parent / "checkpoint" / "corpus"
FILE, ZIPPED, LEGACY = range(3)
#: An input may take so many seconds, and its memory may be so many bytes and so many for each of its own.
SECONDS, ALWAYS, EACH = 2.0, 96 << 20, 64
_STORAGE = bytes(range(64))
LIST_OF_STORAGES = b"\x80\x02]q\x00X\x01\x00\x00\x000a."  # one, in the older format


def as_file(data: bytes) -> bytes:
    """The file that an input stands for."""
    kind, content = data[0] % 3 if data else FILE, data[1:]
    if kind == FILE:
        return content
    if kind == ZIPPED:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, member in {"data.pkl": content, "version": b"3\n", "data/0": _STORAGE, "data/1": _STORAGE[:8]}.items():
                archive.writestr(f"archive/{name}", member)
        return file.getvalue()
    head = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00."
    return head + content + LIST_OF_STORAGES + struct.pack("<q", 16) + _STORAGE


def check(data: bytes, by_torch: bool = False) -> str:
    """Read an input, maybe by ``funnn.torch.load``; what came of it.

    Raises:
      AssertionError: another exception than CheckpointError, or one that only the lack of memory or of stack brought.
    """
    from funnn.checkpoint import CheckpointError, load_pt

    load: Any = load_pt
    if by_torch:
        from funnn.torch import load
    file, begin = as_file(data), time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(io.BytesIO(file))
    except CheckpointError as error:
        assert not isinstance(error.__cause__, (MemoryError, RecursionError)), f"{type(error.__cause__).__name__} stopped it: {error}"
        found = error.kind
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} came through: {error}") from error
    else:
        found = "data"
    seconds = time.perf_counter() - begin
    assert seconds < SECONDS + 4e-6 * len(file), f"it took {seconds:.1f} s for {len(file)} bytes"
    return found


def mutate(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """A few changes: bytes, runs of them, parts of another input."""
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at = draw.randrange(len(content) + 1)
        change = draw.randrange(8)
        if change == 0 and content:
            content[at % len(content)] ^= 1 << draw.randrange(8)
        elif change == 1 and content:
            content[at % len(content)] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        elif change == 2:
            del content[at : at + draw.choice((1, 2, 4, 64))]
        elif change == 3:
            content[at:at] = content[at : at + draw.choice((1, 2, 8, 64))] * draw.choice((1, 2, 50))
        elif change == 4:
            other = draw.choice(others)
            start = draw.randrange(len(other) + 1)
            content[at : at + draw.choice((0, 8))] = other[start : start + draw.randrange(64)]
        elif change == 5:
            content[at : at + 4] = draw.choice((struct.pack("<I", draw.getrandbits(32)), b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
        elif change == 6:
            content[at : at + 8] = draw.choice((struct.pack("<Q", draw.getrandbits(64)), b"\xff" * 8, struct.pack("<q", 1 << 40)))
        else:
            del content[at:]
    return bytes(content)


def seeds() -> dict[str, bytes]:
    """The first inputs, as PyTorch writes them."""
    from collections import Counter, OrderedDict

    import torch

    x = torch.arange(6.0)
    objects = {
        "tensor": x,
        "view": [x.reshape(2, 3).t()[1:], x],
        "state": torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1)).state_dict(),
        "plain": [1, -1, 2**40, 10**30, 1.5, "ü", b"b", None, True, 2j, (1, (2,)), {}, set(), {1, 2}, bytearray(b"x"), Counter("aab")],
        "types": [torch.Size([2, 3]), torch.float32, torch.device("cuda", 1), torch.strided, OrderedDict(a=1)],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "others": [
            torch.ones(2).bfloat16(),
            torch.ones(2, dtype=torch.uint16),
            torch.ones(1).to(torch.float8_e5m2),
            torch.ones(1, dtype=torch.cfloat).conj(),
        ],
        "attributes": [setattr(y := torch.ones(2), "tag", {"a": 1}), y],
        "sparse": torch.ones(2).to_sparse(),
        "module": torch.nn.Linear(1, 1),
    }
    found = {}
    for name, value in objects.items():
        for old in (False, True):
            file = io.BytesIO()
            torch.save(value, file, _use_new_zipfile_serialization=not old)
            found[f"{name}-{'legacy' if old else 'zip'}"] = bytes([FILE]) + file.getvalue()
        with zipfile.ZipFile(io.BytesIO(found[f"{name}-zip"][1:])) as archive:
            pickle = archive.read("archive/data.pkl")
        found[f"{name}-pickle"] = bytes([ZIPPED]) + pickle
        found[f"{name}-old-pickle"] = bytes([LEGACY]) + pickle
    return found


def corpus() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.iterdir())]


def limit_memory() -> None:
    """Let this process take little more than it has: what asks for more fails at once."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ALWAYS + EACH * max(map(len, corpus())), -1))


def run_mutations(count: int, seed: int, by_torch: bool) -> None:
    """Random changes, and how many ended how."""
    import funnn.checkpoint  # noqa: F401  (before the memory is limited)

    inputs, draw = corpus(), random.Random(seed)
    for data in inputs:
        check(data, by_torch)
    limit_memory()
    ends: dict[str, int] = {}
    begin = time.perf_counter()
    for number in range(count):
        data = mutate(draw.choice(inputs), inputs, draw)
        try:
            end = check(data, by_torch)
        except AssertionError as error:
            path = Path(f"crash-{hashlib.sha1(data).hexdigest()}")
            path.write_bytes(data)
            sys.exit(f"mutation {number} of seed {seed}: {error}; the input is in {path}")
        ends[end] = ends.get(end, 0) + 1
    print(f"{count} mutations of {len(inputs)} inputs in {time.perf_counter() - begin:.0f} s: {ends}; nothing else came through")


def run_guided(seconds: int, by_torch: bool) -> None:
    """Changes that reach new lines, by atheris; a crash ends the process and leaves its input in the current folder."""
    import atheris

    with atheris.instrument_imports(include=["funnn.checkpoint"]):
        import funnn.checkpoint  # noqa: F401
    options = [f"-max_total_time={seconds}", f"-timeout={int(SECONDS * 5)}", "-rss_limit_mb=2048", "-max_len=20000", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(CORPUS)], lambda data: check(data, by_torch) and None)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, help="fuzz, guided by coverage")
    parser.add_argument("--mutations", type=int, help="random changes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", action="store_true", help="write the first inputs")
    parser.add_argument("--torch", action="store_true", help="read with funnn.torch.load")
    options = parser.parse_args()
    if options.seeds:
        CORPUS.mkdir(exist_ok=True)
        for name, data in seeds().items():
            (CORPUS / name).write_bytes(data)
    if options.mutations:
        run_mutations(options.mutations, options.seed, options.torch)
    if options.seconds:
        run_guided(options.seconds, options.torch)


if __name__ == "__main__":
    main()
