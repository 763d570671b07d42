"""Per-sample gradients, ensembles by stack_module_state, and clipping as in differentially private training."""

import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.func import functional_call, grad, grad_and_value, stack_module_state, vmap

torch.manual_seed(0)


class SimpleCNN(nn.Module):
    def __init__(self):
        super(SimpleCNN, self).__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1)
        self.conv2 = nn.Conv2d(4, 6, 3, 1)
        self.fc1 = nn.Linear(6 * 2 * 2, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = torch.flatten(x, 1)
        return F.log_softmax(self.fc1(x), dim=1)


def loss_fn(predictions, targets):
    return F.nll_loss(predictions, targets)


device = "cuda" if torch.cuda.is_available() else "cpu"
batch_size = 6
data = torch.randn(batch_size, 1, 8, 8, device=device)
targets = torch.randint(10, (batch_size,), device=device)
model = SimpleCNN().to(device=device)


def compute_grad(sample, target):
    sample = sample.unsqueeze(0)
    target = target.unsqueeze(0)
    loss = loss_fn(model(sample), target)
    return torch.autograd.grad(loss, list(model.parameters()))


def compute_sample_grads(data, targets):
    sample_grads = [compute_grad(data[i], targets[i]) for i in range(batch_size)]
    sample_grads = zip(*sample_grads)
    return [torch.stack(shards) for shards in sample_grads]


per_sample_grads = compute_sample_grads(data, targets)
print(per_sample_grads[0].shape)
params = {k: v.detach() for k, v in model.named_parameters()}
buffers = {k: v.detach() for k, v in model.named_buffers()}


def compute_loss(params, buffers, sample, target):
    batch = sample.unsqueeze(0)
    targets = target.unsqueeze(0)
    predictions = functional_call(model, (params, buffers), (batch,))
    return loss_fn(predictions, targets)


ft_compute_sample_grad = vmap(grad(compute_loss), in_dims=(None, None, 0, 0))
ft_per_sample_grads = ft_compute_sample_grad(params, buffers, data, targets)
for per_sample_grad, ft_per_sample_grad in zip(per_sample_grads, ft_per_sample_grads.values()):
    assert torch.allclose(per_sample_grad, ft_per_sample_grad, atol=1e-5, rtol=1e-4)

norms = torch.stack([g.flatten(1).norm(dim=1) for g in ft_per_sample_grads.values()]).norm(dim=0)
print(norms)
scale = (1.0 / (norms + 1e-6)).clamp(max=1.0)
for p, g in zip(model.parameters(), ft_per_sample_grads.values()):
    p.grad = torch.einsum("n,n...->...", scale, g) / batch_size
print(nn.utils.clip_grad_norm_(model.parameters(), 10.0))

models = [SimpleCNN().to(device) for _ in range(4)]
ensemble_params, ensemble_buffers = stack_module_state(models)
base_model = copy.deepcopy(models[0]).to("meta")


def fmodel(params, buffers, x):
    return functional_call(base_model, (params, buffers), (x,))


print([p.size(0) for p in ensemble_params.values()], next(base_model.parameters()).device)
predictions_vmap = vmap(fmodel, in_dims=(0, 0, None))(ensemble_params, ensemble_buffers, data)
print(predictions_vmap.shape, torch.allclose(predictions_vmap, torch.stack([m(data) for m in models]), atol=1e-5))
print(predictions_vmap.mean((1, 2)))

grads, values = vmap(grad_and_value(compute_loss), in_dims=(0, None, 0, 0))(
    {k: v[:, None].expand(-1, 1, *v.shape[1:]).squeeze(1) for k, v in ensemble_params.items()}, {}, data[:4], targets[:4]
)
print(values.detach(), sum(g.pow(2).sum() for g in grads.values()).sqrt())
noise = vmap(lambda x: x + torch.randn(()), randomness="different")(torch.zeros(4))
print(noise, vmap(lambda x: x + torch.randn(()), randomness="same")(torch.zeros(3)))
print(F.dropout(torch.ones(4), 0.5), vmap(torch.dot)(torch.ones(3, 5), torch.arange(15.0).view(3, 5)))
