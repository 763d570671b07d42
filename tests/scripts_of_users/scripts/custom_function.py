"""Functions of one's own: Legendre, clamped exponentials, straight-through, a fused conv-bn, gradient reversal, checks, double backward."""

import math

import numpy as np
import torch
from torch import nn
from torch.autograd import Function, gradcheck, gradgradcheck
from torch.autograd.function import once_differentiable


class LegendrePolynomial3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


dtype = torch.float
device = torch.device("cpu")
torch.manual_seed(10)
x = torch.linspace(-math.pi, math.pi, 200, device=device, dtype=dtype)
y = torch.sin(x)
a = torch.full((), 0.0, device=device, dtype=dtype, requires_grad=True)
b = torch.full((), -1.0, device=device, dtype=dtype, requires_grad=True)
c = torch.full((), 0.0, device=device, dtype=dtype, requires_grad=True)
d = torch.full((), 0.3, device=device, dtype=dtype, requires_grad=True)
learning_rate = 5e-5
for t in range(60):
    P3 = LegendrePolynomial3.apply
    y_pred = a + b * P3(c + d * x)
    loss = (y_pred - y).pow(2).sum()
    if t % 20 == 19:
        print(t, loss.item())
    loss.backward()
    with torch.no_grad():
        a -= learning_rate * a.grad
        b -= learning_rate * b.grad
        c -= learning_rate * c.grad
        d -= learning_rate * d.grad
        a.grad = None
        b.grad = None
        c.grad = None
        d.grad = None
print(f"Result: y = {a.item():.6f} + {b.item():.6f} * P3({c.item():.6f} + {d.item():.6f} x)")


class LinearFunction(Function):
    @staticmethod
    def forward(input, weight, bias):
        output = input.mm(weight.t())
        if bias is not None:
            output += bias.unsqueeze(0).expand_as(output)
        return output

    @staticmethod
    def setup_context(ctx, inputs, output):
        input, weight, bias = inputs
        ctx.save_for_backward(input, weight, bias)

    @staticmethod
    def backward(ctx, grad_output):
        input, weight, bias = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias


class MyLinear(nn.Module):
    def __init__(self, input_features, output_features, bias=True):
        super().__init__()
        self.input_features, self.output_features = input_features, output_features
        self.weight = nn.Parameter(torch.empty(output_features, input_features))
        if bias:
            self.bias = nn.Parameter(torch.empty(output_features))
        else:
            self.register_parameter("bias", None)
        nn.init.uniform_(self.weight, -0.1, 0.1)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -0.1, 0.1)

    def forward(self, input):
        return LinearFunction.apply(input, self.weight, self.bias)

    def extra_repr(self):
        return "input_features={}, output_features={}, bias={}".format(self.input_features, self.output_features, self.bias is not None)


input = (torch.randn(4, 5, dtype=torch.double, requires_grad=True), torch.randn(3, 5, dtype=torch.double, requires_grad=True), None)
print(gradcheck(LinearFunction.apply, input, eps=1e-6, atol=1e-4), MyLinear(5, 3), MyLinear(5, 3, bias=False))


class GradReverse(Function):
    @staticmethod
    def forward(ctx, x, lambd, **kwargs: None):
        ctx.lambd = lambd
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *grad_output):
        return grad_output[0] * -ctx.lambd, None


class RoundSTE(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_non_differentiable()
        return x.round()

    @staticmethod
    def backward(ctx, g):
        return g


class Top(Function):
    """Two outputs, one of which is an index; the gradient by NumPy."""

    @staticmethod
    def forward(ctx, x):
        value, index = x.max(-1)
        ctx.shape = x.shape
        ctx.save_for_backward(index)
        ctx.mark_non_differentiable(index)
        ctx.set_materialize_grads(False)
        return value, index

    @staticmethod
    @once_differentiable
    def backward(ctx, g, _):
        if g is None:
            return None
        (index,) = ctx.saved_tensors
        result = np.zeros(ctx.shape, dtype=np.float32)
        np.put_along_axis(result, index.numpy()[..., None], g.numpy()[..., None], -1)
        return torch.from_numpy(result)


x = torch.randn(3, 4, requires_grad=True)
(GradReverse.apply(x, 0.5) * torch.arange(4)).sum().backward()
print(x.grad[0])
x.grad = None
(RoundSTE.apply(x * 3) ** 2).sum().backward()
print(x.grad[1])
value, index = Top.apply(x)
print(value, index, index.requires_grad)
x.grad.zero_()
value.sum().backward()
print(x.grad)


class Exp(Function):
    @staticmethod
    def forward(ctx, i):
        result = i.exp()
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad_output):
        (result,) = ctx.saved_tensors
        return grad_output * result


class MulAdd(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y, k):
        return x * y + k

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])
        ctx.save_for_forward(*inputs[:2])

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y, g * x, None

    @staticmethod
    def jvp(ctx, dx, dy, _):
        x, y = ctx.saved_tensors
        return dx * y + x * dy


z = torch.randn(3, dtype=torch.double, requires_grad=True)
print(gradgradcheck(Exp.apply, (z,)), Exp.apply(z).grad_fn.name(), str(Exp.apply(z).grad_fn)[:48])
(g,) = torch.autograd.grad(Exp.apply(z).sum(), z, create_graph=True)
(g2,) = torch.autograd.grad(g.sum(), z)
print(torch.allclose(g2, z.exp()))
print(torch.func.vmap(MulAdd.apply, (0, None, None))(torch.ones(2, 3), torch.arange(3.0), 2))
print(torch.func.jvp(lambda a: MulAdd.apply(a, a, 1), (torch.tensor(3.0),), (torch.tensor(1.0),)))


class Inplace(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.mul_(2)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2


a = torch.ones(2, requires_grad=True)
b = a.clone()
c = Inplace.apply(b)
print(c is b, b, torch.autograd.grad(c.sum(), a))
try:
    LinearFunction.apply(torch.ones(2, 3), torch.ones(2, 4), None)
except RuntimeError as e:
    print(type(e).__name__, "cannot be multiplied (2x3 and 4x2)" in str(e))
with torch.autograd.graph.saved_tensors_hooks(lambda t: (t.shape, t.numpy()), lambda s: torch.from_numpy(s[1])):
    out = (x * x).exp().sum()
out.backward()
print(x.grad.norm())
with torch.autograd.detect_anomaly(check_nan=True):
    try:
        (x.detach().requires_grad_() * 0 / 0.0).sqrt().sum().backward()
    except RuntimeError as e:
        print(str(e).splitlines()[0])
