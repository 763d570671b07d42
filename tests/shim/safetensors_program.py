"""No test: what ``test_safetensors_torch.py`` runs with PyTorch and with ``python -m funnn run``, in a folder of its own."""

import ctypes

import safetensors.torch
import torch
from safetensors import safe_open

NAMES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 uint16 uint32 uint64 bool complex64"
FILE = "tensors.safetensors"


def describe(tensors):
    for name in sorted(tensors):
        x = tensors[name]
        values = x.to(torch.float32 if "float" in str(x.dtype) else x.dtype).tolist()
        print(name, x.dtype, tuple(x.shape), x.stride(), x.untyped_storage().nbytes(), values)


def attempt(function):
    try:
        print("result", function())
    except Exception as error:
        print(type(error).__name__, str(error).strip())


# every type, a scalar, an empty one, a part of another's memory
tensors = {name: torch.arange(6).remainder(3).to(getattr(torch, name)).reshape(2, 3) for name in NAMES.split()}
tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4), "part": torch.arange(10.0)[4:8]}
safetensors.torch.save_file(tensors, FILE, metadata={"format": "pt", "by": "me"})
with open(FILE, "rb") as stream:
    content = stream.read()
print(safetensors.torch.save(tensors, metadata={"format": "pt", "by": "me"})[:8] == content[:8])
describe(safetensors.torch.load_file(FILE))
describe(safetensors.torch.load(content))
describe(safetensors.torch.load_file(FILE, backend="pread"))

# one by one, and slices
with safe_open(FILE, framework="pt") as file:
    print(sorted(file.keys()), sorted(file.metadata().items()))
    part = file.get_slice("float32")
    print(part.get_shape(), part.get_dtype(), part[:, 1:], part[1], part[..., 0], part[:1, :2].dtype)
    print(file.get_slice("bfloat16")[1:])
    print(file.get_tensor("part"))
    attempt(lambda: file.get_tensor("missing"))

# what was read is ordinary memory
loaded = safetensors.torch.load_file(FILE)
loaded["float32"].mul_(2)
loaded["int16"][0] = 7
print(loaded["float32"], loaded["int16"], loaded["float32"].sum(), safetensors.torch.load_file(FILE)["float32"])

# tied weights
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
net[1].weight = net[0].weight
attempt(lambda: safetensors.torch.save_file(net.state_dict(), "net.safetensors"))
safetensors.torch.save_model(net, "net.safetensors", metadata={"format": "pt"})
with safe_open("net.safetensors", framework="pt") as file:
    print(sorted(file.keys()), sorted(file.metadata().items()))
other = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
other[1].weight = other[0].weight
print(
    safetensors.torch.load_model(other, "net.safetensors"),
    all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True)),
)
attempt(lambda: safetensors.torch.load_model(torch.nn.Linear(3, 3), "net.safetensors"))

# what cannot be saved, or is no such file
square = torch.arange(6.0).reshape(2, 3)
attempt(lambda: safetensors.torch.save_file({"t": square.t()}, "no.safetensors"))
attempt(lambda: safetensors.torch.save_file({"a": square, "b": square[1:]}, "no.safetensors"))
attempt(lambda: safetensors.torch.save_file({"a": square.numpy()}, "no.safetensors"))
attempt(lambda: len(safetensors.torch.save({"a": square[:1], "b": square[1:]})))
with open("damaged.safetensors", "wb") as stream:
    stream.write(content[:-5])
attempt(lambda: safetensors.torch.load_file("damaged.safetensors"))

# addresses stay, and what lies there follows
x = torch.zeros(3)
first = x.data_ptr()
x.add_(1)
print(x.data_ptr() == first, (ctypes.c_float * 2).from_address(x[1:].data_ptr())[:], torch.zeros(0).data_ptr(), first % 64)
