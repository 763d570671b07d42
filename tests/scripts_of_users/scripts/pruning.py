"""Pruning by nn.utils.prune: random, by magnitude, structured, iterated, global, a method of one's own; then made permanent."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class LeNet(nn.Module):
    def __init__(self):
        super(LeNet, self).__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.fc1 = nn.Linear(8 * 2 * 2, 12)
        self.fc2 = nn.Linear(12, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, int(x.nelement() / x.shape[0]))
        x = F.relu(self.fc1(x))
        return self.fc2(x)


model = LeNet().to(device=device)
module = model.conv1
print([n for n, _ in module.named_parameters()], list(module.named_buffers()))
prune.random_unstructured(module, name="weight", amount=0.3)
print([(n, p.shape) for n, p in module.named_parameters()])
print([(n, b.sum()) for n, b in module.named_buffers()])
print(module.weight[0, 0])
print([(k, type(h).__name__) for k, h in module._forward_pre_hooks.items()])
prune.l1_unstructured(module, name="bias", amount=3)
print(list(module.named_buffers())[1], module.bias)
prune.ln_structured(module, name="weight", amount=0.5, n=2, dim=0)
for hook in module._forward_pre_hooks.values():
    if hook._tensor_name == "weight":
        break
print([type(h).__name__ for h in hook], (module.weight == 0).flatten(1).all(1))
print(model.state_dict().keys())
prune.remove(module, "weight")
print([n for n, _ in module.named_parameters()], [n for n, _ in module.named_buffers()], prune.is_pruned(model))

new_model = LeNet()
for name, module in new_model.named_modules():
    if isinstance(module, torch.nn.Conv2d):
        prune.l1_unstructured(module, name="weight", amount=0.2)
    elif isinstance(module, torch.nn.Linear):
        prune.l1_unstructured(module, name="weight", amount=0.4)
print(dict(new_model.named_buffers()).keys())

model = LeNet()
parameters_to_prune = ((model.conv1, "weight"), (model.conv2, "weight"), (model.fc1, "weight"), (model.fc2, "weight"))
prune.global_unstructured(parameters_to_prune, pruning_method=prune.L1Unstructured, amount=0.2)
for layer in (model.conv1, model.conv2, model.fc1, model.fc2):
    print("Sparsity {:.2f}%".format(100.0 * float(torch.sum(layer.weight == 0)) / float(layer.weight.nelement())))


class EveryOther(prune.BasePruningMethod):
    """Prunes every other entry."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


def every_other(module, name):
    EveryOther.apply(module, name)
    return module


model = LeNet()
every_other(model.fc2, name="bias")
print(model.fc2.bias_mask, model.fc2)
prune.custom_from_mask(model.fc1, "weight", mask=torch.arange(32 * 12).view(12, 32) % 3 > 0)
opt = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = torch.randn(8, 1, 16, 16), torch.arange(8)
for _ in range(4):
    opt.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    opt.step()
    print(f"{loss.item():.5f}", int((model.fc1.weight == 0).sum()), model.fc2.bias_orig.grad[:3])
