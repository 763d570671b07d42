"""The first example of peft, made small."""

import torch
from peft import LoraConfig, get_peft_model

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
net = get_peft_model(net, LoraConfig(target_modules=["0", "2"], r=2, lora_alpha=4))
net.print_trainable_parameters()
x = torch.randn(3, 4)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    optimizer.zero_grad()
    loss = net(x).square().mean()
    loss.backward()
    optimizer.step()
    print(round(loss.item(), 6))
print(net.merge_and_unload()(x))
