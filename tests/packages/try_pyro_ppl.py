"""The first example of pyro-ppl, made small."""

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.optim import Adam

pyro.set_rng_seed(0)
data = torch.cat([torch.ones(6), torch.zeros(4)])


def model(data):
    f = pyro.sample("latent", dist.Beta(torch.tensor(10.0), torch.tensor(10.0)))
    with pyro.plate("data", len(data)):
        pyro.sample("obs", dist.Bernoulli(f), obs=data)


def guide(data):
    a = pyro.param("a", torch.tensor(15.0), constraint=dist.constraints.positive)
    b = pyro.param("b", torch.tensor(15.0), constraint=dist.constraints.positive)
    pyro.sample("latent", dist.Beta(a, b))


svi = SVI(model, guide, Adam({"lr": 0.005}), loss=Trace_ELBO())
print([round(svi.step(data), 4) for _ in range(20)])
print(pyro.param("a").item(), pyro.param("b").item())
mcmc = MCMC(NUTS(model), num_samples=10, warmup_steps=5, disable_progbar=True)
mcmc.run(data)
print(mcmc.get_samples()["latent"])
