"""Statements of random programs that ask for gradients, and what all such programs begin with; gaps as in ``_tensor_statements``."""

from __future__ import annotations

GRADIENTS = (
    *(
        "{}.sum().backward()",
        "{}.square().sum().backward()",
        "({} * {u}).sum().backward(retain_graph=True)",
        "{}.backward(torch.ones_like({}))",
        "{}.backward()",
        "{}.mean().backward(retain_graph=True)",
    ),
    *(
        "{n} = torch.autograd.grad({}.sum(), {u}, allow_unused=True)[0]",
        "{n} = torch.autograd.grad({}.square().sum(), {u}, create_graph=True, allow_unused=True)[0]",
        "{n} = torch.autograd.grad({}.sum(), {u})[0]",
    ),
    *(
        "{n} = torch.autograd.grad({}, {u}, torch.ones_like({}), retain_graph=True, allow_unused=True, materialize_grads=True)[0]",
        "{}.square().sum().backward(create_graph=True)",
        "{}.sum().backward(inputs=[{u}])",
    ),
    *(
        "{}.retain_grad()",
        "{}.register_hook(lambda g: g * 2)",
        "{}.register_hook(lambda g: hooked.append(g.sum()))",
        "{}.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(0.5))",
        "{n} = {}.grad",
    ),
    *(
        "{n} = torch.func.grad(lambda v: (v * {u}).sin().sum())({})",
        "{n} = torch.func.vmap(lambda v: v * 2 + v.sum())({})",
        "{n} = torch.func.jvp(lambda v: v.tanh(), ({},), ({u},))[1]",
        "{n} = torch.func.jacrev(lambda v: v.square())({}.flatten()[:3]).clone()",
    ),
    *(
        "{n} = torch.utils.checkpoint.checkpoint(lambda v: (v * 2).tanh() * {u}, {}, use_reentrant=False)",
        "{n} = Doubled.apply({})",
        "{n} = Doubled.apply({})[0]",
        "{n} = Written.apply({})",
        "{n} = Same.apply({})",
    ),
    *(
        "torch.autograd.backward([{}.sum(), {u}.sum()])",
        "torch.autograd.backward([{}, {u}], [torch.ones_like({}), torch.ones_like({u})], retain_graph=True)",
        "{n} = torch.autograd.functional.vjp(lambda v: v.sin() * {u}, {}.detach(), torch.ones_like({}))[1]",
    ),
    *(
        "{}.register_hook(failing)",
        "{n} = Failing.apply({})",
        "{n} = Two.apply({}, {u})[0]",
        "{n} = Two.apply({}, {u})[1]",
        "{n} = Cubed.apply({})",
        "{n} = Separate.apply({})",
        "{n} = Written.apply({}.view(-1))",
        "{n} = Written.apply({}[1:])",
        "Written.apply({}[0])",
        "{n} = torch.func.vmap(Separate.apply)({})",
        "{n} = torch.func.grad(lambda v: ({u}.add_(1) * v).sum())({})",
        "{n} = torch.func.vmap(lambda v: v.clone().mul_(2).sum())({})",
        "{n} = torch.func.vmap(torch.func.grad(lambda v: v.sin().sum()))({})",
        "{n} = torch.func.hessian(lambda v: v.pow(3).sum())({}.flatten()[:2]).clone()",
        "{n} = torch.func.grad_and_value(lambda v: v.square().sum())({})[1]",
        "{n} = torch.func.vjp(lambda v: v * {u}, {})[1](torch.ones_like({}))[0]",
        "{n} = torch.func.jacfwd(lambda v: v.square() * 2)({}.flatten()[:3]).clone()",
        "for i in range(3):\n    {n} = torch.func.grad(lambda v: (v * i).sin().sum())({})",
        "for i in range(3):\n    {n} = torch.func.vmap(lambda v: v * i + {u}.sum())({})",
        "{n} = torch.func.functional_call(layer, {'weight': {}}, ({u},))",
        "layer({}).sum().backward()",
        "note(layer.weight.grad)",
        "{n} = torch.utils.checkpoint.checkpoint(lambda v: (v * 2).tanh(), {}, use_reentrant=True)",
        "{}.grad_fn.register_prehook(lambda go: tuple(g * 0.5 if g is not None else None for g in go))",
        "{n} = torch.autograd.functional.jacobian(lambda v: v.square(), {}.flatten()[:2])",
        "with fw.dual_level():\n    {n} = fw.unpack_dual(fw.make_dual({}.detach(), torch.ones_like({}.detach())).tanh()).tangent",
    ),
)
SETUP = (
    "hooked, seen = [], []",
    """class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2 + ctx.saved_tensors[0] * 0.1""",
    """class Written(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(0.5)

    @staticmethod
    def backward(ctx, g):
        return g * 0.5""",
    """class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -g""",
    """class Failing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        raise ValueError("no gradient")""",
    """class Two(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        ctx.shapes = x.shape, y.shape
        return x * 2, y.sum() + x.sum()

    @staticmethod
    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        return g * 2 + h + 0 * x, h.expand(ctx.shapes[1]) + 0 * y""",
    """class Cubed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x**3
        ctx.save_for_backward(x, y)
        ctx.mark_non_differentiable(y.sign())
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return None if g is None else g * 3 * x**2 * ctx.needs_input_grad[0] + 0 * y""",
    """class Separate(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].cos() * 2""",
    """def failing(*gradients):
    raise ValueError("a hook")""",
    """import collections, dataclasses

@dataclasses.dataclass
class Pair:
    first: object
    second: object

class Bag(dict):
    pass""",
    "layer, fw = nn.Linear(3, 3), torch.autograd.forward_ad",
    "a = torch.randn(3, 3)",
    "b = torch.randn(3, 3, requires_grad=True)",
    "c = torch.randn(3, requires_grad=True)",
    "d = torch.arange(9.0).view(3, 3) / 9",
    "e = torch.randn(3)",
    "h = b * 2",
    "w = nn.Parameter(torch.randn(3, 3))",
)
