"""Jacobians, Hessians and products of them with torch.func, against loops, and timed by utils.benchmark."""

from functools import partial

import torch
import torch.nn.functional as F
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils.benchmark import Timer

_ = torch.manual_seed(0)


def predict(weight, bias, x):
    return F.linear(x, weight, bias).tanh()


D = 6
weight = torch.randn(D, D)
bias = torch.randn(D)
x = torch.randn(D)
xp = x.clone().requires_grad_()
unit_vectors = torch.eye(D)


def compute_jac(xp):
    jacobian_rows = [torch.autograd.grad(predict(weight, bias, xp), xp, vec)[0] for vec in unit_vectors]
    return torch.stack(jacobian_rows)


jacobian = compute_jac(xp)
print(jacobian.shape)
print(jacobian[0])
_, vjp_fn = vjp(partial(predict, weight, bias), x)
(ft_jacobian,) = vmap(vjp_fn)(unit_vectors)
assert torch.allclose(ft_jacobian, jacobian)
print(torch.allclose(jacrev(predict, argnums=2)(weight, bias, x), jacobian, atol=1e-6))
print(torch.allclose(jacfwd(predict, argnums=2)(weight, bias, x), jacobian, atol=1e-6))
ft_jac_weight, ft_jac_bias = jacrev(predict, argnums=(0, 1))(weight, bias, x)
print(ft_jac_weight.shape, ft_jac_bias.diagonal())


def get_perf(first, first_descriptor, second, second_descriptor):
    second_res = second.times[0]
    first_res = first.times[0]
    gain = (first_res - second_res) / first_res
    assert isinstance(gain, float)
    print(f"compared {first_descriptor} with {second_descriptor}")


without_vmap = Timer(stmt="compute_jac(xp)", globals=globals())
with_vmap = Timer(stmt="jacrev(predict, argnums=2)(weight, bias, x)", globals=globals())
no_vmap_timer = without_vmap.timeit(3)
with_vmap_timer = with_vmap.timeit(3)
get_perf(no_vmap_timer, "without vmap", with_vmap_timer, "vmap")

hess_api = hessian(predict, argnums=2)(weight, bias, x)
hess_fwdfwd = jacfwd(jacfwd(predict, argnums=2), argnums=2)(weight, bias, x)
hess_revrev = jacrev(jacrev(predict, argnums=2), argnums=2)(weight, bias, x)
print(hess_api.shape, torch.allclose(hess_api, hess_fwdfwd, atol=1e-5), torch.allclose(hess_api, hess_revrev, atol=1e-5))
print(hess_api[1, 2])

compute_batch_jacobian = vmap(jacrev(predict, argnums=2), in_dims=(None, None, 0))
batch_x = torch.randn(5, D)
batch_jacobian0 = compute_batch_jacobian(weight, bias, batch_x)


def compute_batch_jacobian_naive(weight, bias, x):
    def predict_with_output_summed(weight, bias, x):
        return predict(weight, bias, x).sum(0)

    return jacrev(predict_with_output_summed, argnums=2)(weight, bias, x).movedim(1, 0)


assert torch.allclose(batch_jacobian0, compute_batch_jacobian_naive(weight, bias, batch_x), atol=1e-6)
print(batch_jacobian0.shape, batch_jacobian0.sum())


def hvp(f, primals, tangents):
    return jvp(grad(f), primals, tangents)[1]


def f(x):
    return x.sin().sum() * x.norm()


tangent = torch.randn(D)
result = hvp(f, (x,), (tangent,))
_, by_api = torch.autograd.functional.hvp(f, x, v=tangent)
print(result, torch.allclose(result, by_api, atol=1e-4), torch.autograd.functional.jacobian(f, x).shape)

net = torch.nn.Sequential(torch.nn.Linear(D, 4), torch.nn.GELU(), torch.nn.Linear(4, 2))
params = {k: v.detach() for k, v in net.named_parameters()}


def fnet_single(params, x):
    return functional_call(net, params, (x.unsqueeze(0),)).squeeze(0)


def empirical_ntk(fnet_single, params, x1, x2):
    jac1 = vmap(jacrev(fnet_single), (None, 0))(params, x1)
    jac1 = jac1.values()
    jac1 = [j.flatten(2) for j in jac1]
    jac2 = vmap(jacrev(fnet_single), (None, 0))(params, x2).values()
    jac2 = [j.flatten(2) for j in jac2]
    return torch.stack([torch.einsum("Naf,Mbf->NMab", j1, j2) for j1, j2 in zip(jac1, jac2)]).sum(0)


print(empirical_ntk(fnet_single, params, batch_x[:2], batch_x[2:])[0, 1])
