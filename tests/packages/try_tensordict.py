"""The first example of tensordict, made small."""

import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule

torch.manual_seed(0)
data = TensorDict({"a": torch.randn(3, 4), "b": {"c": torch.arange(3)}}, batch_size=[3])
print(data)
print(data[1]["b", "c"], data.reshape(3, 1).shape, torch.stack([data, data]).batch_size)
module = TensorDictModule(torch.nn.Linear(4, 2), in_keys=["a"], out_keys=["out"])
print(module(data)["out"])
