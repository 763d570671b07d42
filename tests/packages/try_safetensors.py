"""The first example of safetensors, made small."""

import tempfile

import torch
from safetensors.torch import load_file, load_model, save_file, save_model

torch.manual_seed(0)
folder = tempfile.mkdtemp()
save_file({"a": torch.randn(2, 3), "b": torch.arange(3)}, f"{folder}/x.safetensors")
print(load_file(f"{folder}/x.safetensors"))
net, twin = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
save_model(net, f"{folder}/net.safetensors")
print(load_model(twin, f"{folder}/net.safetensors"), torch.equal(net.weight, twin.weight))
