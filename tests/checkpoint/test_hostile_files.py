"""Files that want more than to be data: each is refused, in no time and in no memory."""

import io
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

import funnn.torch as shim
from funnn.checkpoint import CheckpointError, load_pt
from funnn.checkpoint._source import Source
from funnn.checkpoint._zip_file import TorchZip
from tests import fuzz_checkpoint

REBUILD, REBUILD_TYPED = b"ctorch._utils\n_rebuild_tensor_v2\n(", b"ctorch._utils\n_rebuild_tensor_v3\n("


def text(word):
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def number(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def storage(kind="FloatStorage", count=2):
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text("0") + text("cpu") + number(count) + b"tQ"


def tensor(offset=0, size=(2,), stride=(1,), rest=b"\x89}", kind="FloatStorage", count=2, call=REBUILD):
    sizes = b"".join(b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (size, stride))
    return call + storage(kind, count) + number(offset) + sizes + rest + b"tR"


def frozensets(slot):
    """A frozenset that holds two others, which hold the same two, and so on."""
    put, get = b"q" + bytes([slot]), b"h" + bytes([slot])
    return b"(" * 61 + b"K\x01\x91" + (put + b"(" + get + b"\x91\x91") * 60


def minus_one_or_two(bits):
    """Fourteen numbers, each -1 or -2, which have the same hash."""
    return b"".join(b"J" + (-1 - (bits >> place & 1)).to_bytes(4, "little", signed=True) for place in range(14))


def turned(*names):
    """A tensor that is to be conjugated, or negated."""
    return tensor(size=(1,), rest=b"\x89}}" + b"".join(text(name) + b"\x88s" for name in names), kind="ComplexFloatStorage", count=1)


def huge_sizes():
    """Sixty sizes and strides whose product takes long."""
    sizes = b"\x8b" + (1_000_000).to_bytes(4, "little") + b"\x7f" * 1_000_000 + b"q\0(" + b"h\0" * 60 + b"tq\1"
    return sizes + REBUILD + storage() + b"K\0h\1h\1\x89}tR"


def sparse(count):
    """A sparse vector all of whose elements are one number."""
    layout = b"ctorch.serialization\n_get_layout\n" + text("torch.sparse_coo") + b"\x85R"
    parts = (
        tensor(size=(1, count), stride=(0, 0), kind="LongStorage", count=1),
        tensor(size=(count,), stride=(0,), kind="LongStorage", count=1),
    )
    return b"ctorch._utils\n_rebuild_sparse_tensor\n(" + layout + b"(" + b"".join(parts) + number(10) + b"\x85ttR"


HOSTILE = {
    "a class of tensors is called": b"ctorch\nTensor\n" + number(2) + b"\x85" + text("T") + b"\x86R",
    "a class of parameters is called": b"ctorch.nn.parameter\nParameter\n" + number(2) + b"\x85" + text("V100000") + b"\x86R",
    "a dtype is called": b"ctorch\nfloat64\n" + number(2) + b"\x85R",
    "a class of storages is called": b"ctorch\nFloatStorage\n" + number(2) + b"\x85R",
    "numbers of any type": tensor(call=REBUILD_TYPED, rest=b"\x89}" + text("V100000")),
    "numbers that are objects": tensor(call=REBUILD_TYPED, rest=b"\x89}" + text("O")),
    "a storage that is no storage": REBUILD + number(1) + number(0) + b"))\x89}tR",
    "a storage of 373 GiB": tensor(count=100 * 2**30),
    "a storage of a negative number": tensor(count=-1),
    "a size of 2**64": tensor(size=(2**64, 0), stride=(0, 0)),
    "a product of 2**80": tensor(size=(2**40, 2**40, 0), stride=(0, 0, 0)),
    "a stride of 2**63": tensor(size=(1,), stride=(2**63,)),
    "a size that is no integer": REBUILD + storage() + number(0) + b"G\x3f\xf0\0\0\0\0\0\0\x85" + number(1) + b"\x85\x89}tR",
    "an offset that is a truth value": REBUILD + storage() + b"\x88" + number(1) + b"\x85" + number(1) + b"\x85\x89}tR",
    "65 dimensions": tensor(size=(1,) * 65, stride=(1,) * 65),
    "a parameter of text": b"ctorch._utils\n_rebuild_parameter\n" + text("x") + b"\x89}\x87R",
    "a bytearray of 100 GB": b"c__builtin__\nbytearray\n" + number(10**11) + b"\x85R",
    "a set of a number": b"c__builtin__\nset\n" + number(10**11) + b"\x85R",
    "a Counter of a text": b"ccollections\nCounter\n" + text("x" * 100) + b"\x85R",
    "a key that doubles sixty times": b"}" + number(1) + b"\x85" + b"q\x00h\x00\x86" * 60 + number(1) + b"s",
    "a key of a huge number": b"}" + number(2**62) + number(1) + b"s",
    "lists in lists in lists": b"]" * 5000 + b"a" * 4999,
    "two million sets": b"\x8f" * 2_000_000,
    "an OrderedDict without items()": b"ccollections\nOrderedDict\n)R}" + text("items") + number(1) + b"sb",
    "a mark as an object": b"]((ae",
    "an array of 7**10 numbers is called": tensor(size=(7,) * 10, stride=(0,) * 10) + b")R",
    "an OrderedDict of a doubling tuple is called": b"ccollections\nOrderedDict\n)R" + text("a") + b")" + b"q\0h\0\x86" * 60 + b"s)R",
    "sizes of a million bytes": huge_sizes(),
    "frozensets that double": b"}" + frozensets(0) + b"K\x01s" + frozensets(1) + b"K\x01s",
    "a key of a thousand parts, over and over": b"}(" + b"K\x01" * 900 + b"tq\0K\x01s" + b"h\0K\x01s" * 100_000,
    "sets of one list, over and over": b"](" + b"K\x01" * 2000 + b"eq\0c__builtin__\nset\nq\1h\0\x85q\2R" + b"h\1h\2R" * 20_000,
    "tuples that have one hash": b"}(" + b"".join(b"(" + minus_one_or_two(number) + b"tK\x01" for number in range(2**14)) + b"u",
    "a sparse tensor of 2**40 numbers at one place": sparse(2**40),
    "a storage in three ways": b"](" + b"".join(turned(*names) for names in (["conj"], ["neg"], ["conj", "neg"])) + b"e",
}


def zipped(pickle, *storages, how=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, member in {"data.pkl": pickle, "version": b"3\n"}.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), member)
        for key, member in enumerate(storages):
            archive.writestr(f"archive/data/{key}", member)
    return io.BytesIO(file.getvalue())


@pytest.mark.parametrize("load", [load_pt, shim.load], ids=["load_pt", "torch.load"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(name, load):
    with pytest.raises(CheckpointError, match=r"the file: .*byte \d+") as caught:
        load(zipped(b"\x80\x04" + HOSTILE[name] + b".", bytes(8)))
    assert not isinstance(caught.value.__cause__, (MemoryError, RecursionError))
    legacy = bytes([fuzz_checkpoint.LEGACY]) + b"\x80\x04" + HOSTILE[name] + b"."
    with pytest.raises(CheckpointError):
        load(io.BytesIO(fuzz_checkpoint.as_file(legacy)))


def test_the_same_calls_with_honest_arguments():
    for rest, expected in ((b"\x89}", [0, 1]), (b"\x89}}" + text("neg") + b"\x88s", [-0.0, -1])):
        for load in (load_pt, shim.load):
            loaded = load(zipped(b"\x80\x02" + tensor(rest=rest) + b".", np.arange(2, dtype=np.float32).tobytes()))
            array = loaded.numpy(force=True) if isinstance(loaded, shim.Tensor) else np.asarray(loaded)
            np.testing.assert_array_equal(array, expected)


def test_a_window_that_is_larger_than_its_storage_takes_no_memory():
    """An expanded tensor may have more elements than there is memory; its flags are looked at in the storage."""
    flags = b"\x89}}" + text("neg") + b"\x88s"
    for load in (load_pt, shim.load):
        loaded = load(zipped(b"\x80\x02" + tensor(size=(2**40,), stride=(0,), rest=flags) + b".", np.ones(2, np.float32).tobytes()))
        assert tuple(loaded.shape) == (2**40,) and float(loaded[5]) == -1


@pytest.mark.parametrize("load", [load_pt, shim.load], ids=["load_pt", "torch.load"])
def test_hostile_containers(load):
    honest = zipped(b"\x80\x02" + tensor() + b".", bytes(8)).getvalue()
    deflated = zipped(b"\x80\x02" + tensor(count=1 << 26) + b".", bytes(1 << 28), how=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match=r"data/0 is compressed or encrypted, .*zip -0"):
        load(deflated)
    legacy = fuzz_checkpoint.as_file(bytes([fuzz_checkpoint.LEGACY]) + b"\x80\x02" + tensor(count=16) + b".")
    assert np.asarray(load(io.BytesIO(legacy))).shape == (2,)
    moved = bytearray(honest)
    directory = moved.index(b"PK\1\2")
    moved[directory + 42 : directory + 46] = b"\xff\xff\xff\x7f"  # where a member begins
    for content in (
        honest[:40],
        honest[:-30],
        bytes(moved),
        b"PK\x03\x04",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02",
        b"x" * 600,
        bytes(257) + b"ustar",
        legacy.replace(fuzz_checkpoint.LIST_OF_STORAGES, b"\x80\x02])" + b"q\0h\0\x86" * 60 + b"a."),
        legacy.replace(fuzz_checkpoint.LIST_OF_STORAGES, b"\x80\x02](X\x01\0\0\x000X\x01\0\0\x000e."),
        legacy.replace(fuzz_checkpoint.LIST_OF_STORAGES, b"\x80\x02N."),
    ):
        with pytest.raises(CheckpointError):
            load(io.BytesIO(content))
    flipped = bytearray(honest)
    flipped[flipped.index(bytes(8), flipped.index(b"archive/data/0"))] = 1
    with pytest.raises(CheckpointError, match="data/0 has another checksum"):
        load(io.BytesIO(bytes(flipped)))


def test_members_at_one_place_are_not_read_again_and_again():
    """A zip file may say that a hundred members are the same bytes; no more is read than the file has."""
    content = zipped(b"\x80\x02N.", bytes(1 << 20)).getvalue()
    archive, dtype = TorchZip(Source(io.BytesIO(content))), np.dtype(np.float32)
    position, size, _ = archive._find("data/0")
    archive.source.array(position, dtype, size // 4, "data/0")
    with pytest.raises(CheckpointError, match="data/1 is said to have 1048576 bytes, more than there are"):
        archive.source.array(position, dtype, size // 4, "data/1")


def test_big_endian_files_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02N.")
        archive.writestr("archive/byteorder", b"big")
    with pytest.raises(CheckpointError, match="big-endian machine, which is not supported; convert it with PyTorch"):
        load_pt(io.BytesIO(file.getvalue()))


def test_checksums_are_compared_on_demand(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(torch.zeros(1 << 20), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert load_pt(path).any() and load_pt(path, mmap=True).any()  # as PyTorch, which compares none
    for mmap in (False, True):
        with pytest.raises(CheckpointError, match="data/0 has another checksum"):
            load_pt(path, verify=True, mmap=mmap)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(torch.ones(3), path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_pt(path, verify=True).tolist() == [1, 1, 1]


@pytest.mark.parametrize("by_torch", [False, True])
def test_mutations(by_torch):
    """Random changes of the fuzzer's corpus, in a process that may take little memory."""
    command = [sys.executable, "-m", "tests.fuzz_checkpoint", "--mutations", "6000", *(["--torch"] if by_torch else [])]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "nothing else came through" in result.stdout and "'data'" in result.stdout and "'pickle'" in result.stdout
