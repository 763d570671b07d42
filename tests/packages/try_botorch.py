"""The first example of botorch, made small."""

import warnings

import torch
from botorch.acquisition import ExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood

warnings.simplefilter("ignore")
torch.manual_seed(0)
x = torch.rand(8, 2, dtype=torch.double)
y = 1 - (x - 0.5).norm(dim=-1, keepdim=True)
gp = SingleTaskGP(train_X=x, train_Y=y)
fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
print(gp.posterior(x[:3]).mean)
acquisition = ExpectedImprovement(gp, best_f=y.max())
found, value = optimize_acqf(acquisition, bounds=torch.stack([torch.zeros(2), torch.ones(2)]).double(), q=1, num_restarts=2, raw_samples=8)
print([round(v, 3) for v in found[0].tolist()])
