"""Random programs over a handful of tensors: views, writes in place, gradients, random numbers, compiled functions."""

from __future__ import annotations

import random

from tests.programs.randomly._running import Statements

UNARY = (
    *(
        "{}.sin()",
        "{}.tanh()",
        "{}.relu()",
        "{}.abs()",
        "-{}",
        "{} + 1",
        "{} * 2",
        "1 - {}",
        "{} / 2",
        "{}.sigmoid()",
        "{} ** 2",
        "{}.square()",
    ),
    *(
        "{}.softmax(-1)",
        "{}.log_softmax(0)",
        "{}.cumsum(0)",
        "{}.sum()",
        "{}.mean(0)",
        "{}.sum(-1, keepdim=True)",
        "{}.clamp(-1, 1)",
        "{}.clamp(min=0)",
    ),
    *(
        "{}.exp().clamp(max=5)",
        "{}.norm()",
        "{}.max()",
        "{}.max(0).values",
        "{}.sort(-1).values",
        "{}.flip(0)",
        "{}.roll(1, 0)",
        "{}.tril()",
        "F.gelu({})",
    ),
    *(
        "{}.clone()",
        "{}.sign()",
        "{}.round()",
        "{}.float()",
        "{}.double()",
        "{}.long()",
        "{}.repeat(2, 1)",
        "{}.std()",
        "{}.var(0)",
        "{}.logsumexp(0)",
    ),
    *(
        "{}.prod()",
        "{}.amax(0)",
        "{}.argmax(0)",
        "{} > 0",
        "{}.bool()",
        "{}.mean()",
        "torch.zeros_like({})",
        "torch.full_like({}, 2)",
        "{}.new_ones(3)",
    ),
    *(
        "F.dropout({}, 0.5)",
        "torch.rand_like({})",
        "F.layer_norm({0}, {0}.shape[-1:])",
        "F.normalize({}, dim=0)",
        "torch.stack([{0}, {0} * 2])",
    ),
    *(
        "torch.outer({0}.flatten()[:3], {0}.flatten()[:3])",
        "{}.contiguous()",
        "{}.tolist()",
        "{0} @ {0}.mT",
        "{}.where({0} > 0, 0.5)".replace("{}", "{0}"),
        "{}.type(torch.float16).to({0}.dtype)".replace("{}", "{0}"),
    ),
)
BINARY = (
    *(
        "{} + {}",
        "{} - {}",
        "{} * {}",
        "{} / ({}.abs() + 1)",
        "torch.maximum({}, {})",
        "torch.where({0} > 0, {0}, {1})",
        "torch.cat([{0}, {1}])",
    ),
    *(
        "{} @ {}",
        "torch.stack([{}, {}])",
        "F.mse_loss({}, {})",
        "torch.addcmul({0}, {1}, {1}, value=0.5)",
        "{}.lerp({}, 0.3)",
        "{} == {}",
        "torch.matmul({}, {})",
    ),
    *(
        "torch.minimum({}, {})",
        "{}.atan2({})",
        "F.linear({}, {})",
        "torch.einsum('ij,kj->ik', {}, {})",
        "{}.masked_fill({} > 0, 0.5)",
        "F.l1_loss({}, {}, reduction='none')",
    ),
)
VIEWS = (
    *(
        "{}[0]",
        "{}[1:]",
        "{}[..., ::2]",
        "{}.t()",
        "{}.view(-1)",
        "{}.reshape(-1)",
        "{}.unsqueeze(0)",
        "{}.squeeze()",
        "{}.transpose(0, -1)",
        "{}.expand(2, *{}.shape)",
    ),
    *(
        "{}.data",
        "{}.detach()",
        "{}.flatten()",
        "{}.diagonal()",
        "{}.chunk(2)[0]",
        "{}.unbind(0)[1]",
        "{}.narrow(0, 1, 1)",
        "{}.select(-1, 0)",
        "{}[:, 1]",
        "{}[None]",
    ),
    *(
        "{}.view_as({})",
        "{}.permute(*range({}.dim())[::-1])",
        "{}.as_strided((2,), (1,))",
        "{}.split(2, -1)[0]",
        "{}.mT",
        "{}[:]",
        "{}.view({}.dtype)",
    ),
    *(
        "{}.swapaxes(0, -1)",
        "{}.movedim(0, -1)",
        "{}[{} > 0]",
        "{}[[0, 1]]",
        "{}[-1]",
        "{}[...]",
        "{}.expand_as({})",
        "{}.real",
        "torch.atleast_2d({})",
    ),
)
IN_PLACE = (
    *(
        "{}.add_(1)",
        "{}.mul_(0.5)",
        "{}.mul_({u})",
        "{}.add_({u}, alpha=0.5)",
        "{}.sub_({u})",
        "{}.zero_()",
        "{}.fill_(0.3)",
        "{}.copy_({u})",
        "{}.clamp_(-1, 1)",
    ),
    *(
        "{}.relu_()",
        "{}.tanh_()",
        "{}.abs_()",
        "{}.neg_()",
        "{}.sigmoid_()",
        "{}[0] = 0.25",
        "{}[0] = {u}[0]",
        "{}[{} > 0.5] = 0.1",
        "{}[1:] += 1",
        "{}[..., 0] *= 2",
    ),
    *(
        "{} += {u}",
        "{} *= 0.5",
        "{} -= {u}",
        "{} /= 2",
        "{}.t_()",
        "{}.unsqueeze_(0)",
        "{}.squeeze_(0)",
        "{}.transpose_(0, 1)",
        "{}.data = {u}",
        "{}.data.add_(1)",
    ),
    *(
        "{}.data = {u}.clone()",
        "{}.detach_()",
        "{}.requires_grad_()",
        "{}.requires_grad_(False)",
        "{}.normal_()",
        "{}.uniform_()",
        "{}.masked_fill_({u} > 0, 0.2)",
    ),
    *("{}.index_fill_(0, torch.tensor([0]), 0.7)", "{}.lerp_({u}, 0.5)", "{}.resize_(2)", "{}.fill_diagonal_(0.1)", "{}[:] = {u}"),
    *(
        "torch.add({u}, 1, out={})",
        "torch.mul({u}, {u}, out={})",
        "{}.scatter_(0, torch.zeros({}.shape, dtype=torch.long), 0.4)",
        "{}.bernoulli_(0.5)",
    ),
    *(
        "{}.t()[0].add_({u}[0])",
        "{}.view(-1)[1:].mul_(3)",
        "{}.detach().mul_(0.9)",
        "{}.index_add_(0, torch.tensor([0, 0]), {u}[:2])",
        "{}.cumsum_(0)",
        "{}.exp_()",
    ),
    *(
        "{}.grad.zero_()",
        "{}.grad = None",
        "{}.grad.mul_(0.5)",
        "{}.grad = {u}.detach()",
        "{}.grad = torch.ones_like({})",
        "{}.grad.add_({u})",
        "{0}, {u} = {u}, {0}",
        "del {}",
    ),
    *(
        "{} = copy.copy({})",
        "{} = copy.deepcopy({})",
        "{} = pickle.loads(pickle.dumps({}))",
        "{}.index_put_((torch.tensor([0]),), {u}[1])",
        "torch.sin({u}[0], out={}[0])",
    ),
    *("torch._foreach_add_([{}, {u}], 1)", "torch._foreach_mul_([{}], [{u}])", "torch.nn.init.xavier_uniform_({})", "{}.clamp_min_(0)"),
    *(
        "{} = nn.Parameter({})",
        "{} = {}.detach().requires_grad_()",
        "torch.swapaxes({}, 0, 1).zero_()",
        "torch.nn.utils.clip_grad_norm_([{}, {u}], 0.5)",
        "{}.grad.data.clamp_(-0.1, 0.1)",
    ),
)
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
)
OBSERVE = (
    *("note({})", "note({}, {u})", "note({}.is_leaf, {}.requires_grad, type({}.grad_fn).__name__, {}._base is None)"),
    *(
        "note(str({}))",
        "note({}.grad)",
        "note({}.sum().item())",
        "note({}.tolist())",
        "note({} is {u}, {}.data_ptr() == {u}.data_ptr())",
        "note(hooked)",
        "note(torch.rand(2))",
        "note({}.shape, {}.numel())",
    ),
    *(
        "seen.append({})",
        "seen.append({}.detach())",
        "note(seen[-1:])",
        "note(len({}))",
        "note(bool(({} > 0).all()))",
        "note(float({}.flatten()[0]))",
        "note(torch.is_grad_enabled())",
        "note(np.asarray({}.detach()).sum())",
    ),
    *(
        "note({}.retains_grad)",
        "note({}.untyped_storage().nbytes())",
        "note(torch.equal({}, {u}))",
        "note({}._is_view())",
        "note({}.output_nr)",
        "note({}.grad_fn.next_functions[0][0].name())",
    ),
    *(
        "note(repr({}.grad))",
        "note(type({}).__name__)",
        "note({} in [1, {u}])",
        "note(torch.isfinite({}).all().item())",
        "hooked.clear()",
        "del seen[:]",
        "gc.collect()",
    ),
)
RANDOMNESS = (
    *(
        "{n} = torch.randn(3, 3)",
        "{n} = torch.rand(3)",
        "torch.manual_seed(3)",
        "state = torch.get_rng_state()",
        "torch.set_rng_state(state)",
        "{n} = torch.randint(0, 3, (3,))",
        "{n} = torch.randperm(4)",
        "g = torch.Generator().manual_seed(5)",
    ),
    *(
        "{n} = torch.randn(3, 3, generator=g)",
        "{n} = torch.bernoulli({}.detach().clamp(0, 1))",
        "{n} = torch.multinomial(torch.ones(4), 2)",
        "{n} = torch.tensor(np.random.rand(3, 3))",
        "{n} = {} * random.random()",
        "g.set_state(g.get_state())",
    ),
    *(
        "{n} = F.dropout({}, 0.3)",
        "state = g.get_state()",
        "note(torch.initial_seed())",
        "{n} = torch.normal({}, 1.0)",
        "{n} = torch.empty(3, 3).exponential_()",
        "{n} = torch.randn(3, 3, requires_grad=True)",
        "{n} = torch.ones(3, 3, dtype=torch.float64)",
    ),
)
CONTEXTS = (
    *(
        "with torch.no_grad():",
        "with torch.enable_grad():",
        "with torch.random.fork_rng():",
        "with torch.autocast('cpu'):",
        "with torch.set_grad_enabled(False):",
        "with contextlib.suppress(RuntimeError):",
    ),
    *(
        "if {}.sum() > 0:",
        "for i in range(3):",
        "while {}.sum().item() > 2:",
        "if True:",
        "try:",
        "with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 1, lambda t: t):",
        "with torch.autograd.set_detect_anomaly(False):",
        "for row in {}:",
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
    "a = torch.randn(3, 3)",
    "b = torch.randn(3, 3, requires_grad=True)",
    "c = torch.randn(3, requires_grad=True)",
    "d = torch.arange(9.0).view(3, 3) / 9",
    "e = torch.randn(3)",
    "h = b * 2",
    "w = nn.Parameter(torch.randn(3, 3))",
)


class Writer:
    """Writes statements over names that the program may have."""

    def __init__(self, choose: random.Random):
        self.choose, self.names, self.functions = choose, ["a", "b", "c", "d", "e", "h", "w"], []

    def name(self) -> str:
        return self.choose.choice(self.names[-9:] if self.choose.random() < 0.7 else self.names)

    def new(self) -> str:
        if self.choose.random() < 0.3:
            return self.name()
        self.names.append(f"t{len(self.names)}")
        return self.names[-1]

    def filled(self, text: str) -> str:
        """A template with a name in each gap; all ``{}`` are the same name, all ``{u}`` another."""
        first, second = self.name(), self.name()
        text = text.replace("{u}", second).replace("{}", first).replace("{0}", first).replace("{1}", second)
        return text.replace("{n}", self.new()) if "{n}" in text else text

    def simple(self) -> str:
        roll, pick = self.choose.random(), self.choose.choice
        if roll < 0.2:
            text = self.filled(pick(UNARY))
            return f"{self.new()} = {text}"
        if roll < 0.3:
            text = pick(BINARY).replace("{}", "{0}", 1).replace("{}", "{1}", 1)
            text = self.filled(text)
            return f"{self.new()} = {text}"
        if roll < 0.45:
            text = self.filled(pick(VIEWS))
            return f"{self.new()} = {text}"
        if roll < 0.67:
            return self.filled(pick(IN_PLACE))
        if roll < 0.82:
            return self.filled(pick(GRADIENTS))
        if roll < 0.93:
            return self.filled(pick(OBSERVE))
        return self.filled(pick(RANDOMNESS))

    def block(self, depth: int = 0) -> str:
        roll = self.choose.random()
        if roll < 0.1 and depth < 2:
            head = self.filled(self.choose.choice(CONTEXTS))
            body = [self.block(depth + 1) for _ in range(self.choose.randint(1, 3))]
            if head.startswith("while"):
                body.append(f"{head.split()[1].partition('.')[0]}.mul_(0.4)" if self.choose.random() < 0.5 else "break")
                if body[-1] != "break":
                    body.append("break")
            text = head + "\n" + indented(body)
            return text + "\nexcept RuntimeError as error:\n    note(type(error).__name__)" if head == "try:" else text
        if roll < 0.14 and depth == 0:
            return self.function()
        if roll < 0.2 and self.functions and depth < 2:
            name, count = self.choose.choice(self.functions)
            call = f"{name}({', '.join(self.name() for _ in range(count))})"
            return f"{self.new()} = {call}" if self.choose.random() < 0.6 else f"for _ in range(5):\n    {self.new()} = {call}"
        return self.simple()

    def function(self) -> str:
        count, outer = self.choose.randint(1, 2), self.names
        names = ["x", "y"][:count]
        self.names = [*names, *names, *names, self.name()]
        body = [self.simple() for _ in range(self.choose.randint(1, 5))]
        body = [line for line in body if not line.startswith("del ")]
        inside, self.names = self.names[3 * count + 1 :], outer
        locals_ = sorted({line.partition(" = ")[0] for line in body if " = " in line and line.partition(" = ")[0].isidentifier()})
        outside = [name for name in locals_ if name not in names and name not in inside]
        if outside:
            body.insert(0, f"global {', '.join(outside)}")
        result = self.choose.choice([names[0], *(inside[-1:] * 2)])
        form = self.choose.choice([result, f"{result} * 1", result, f"{result}.sum()"])
        name = f"f{len(self.functions)}"
        self.functions.append((name, count))
        return f"@compiled\ndef {name}({', '.join(names)}):\n" + indented([*body, f"return {form}"])


def indented(lines: list[str]) -> str:
    return "\n".join("    " + line for text in lines for line in text.splitlines())


def tensors(seed: int, length: int = 30) -> Statements:
    """A random program."""
    choose = random.Random(seed)
    writer = Writer(choose)
    lines = list(SETUP)
    if choose.random() < 0.3:
        lines.insert(0, "torch.set_default_dtype(torch.float64)")
    lines += [writer.block() for _ in range(length)]
    for name in dict.fromkeys(writer.names):
        lines.append(f"note({name}, {name}.grad, {name}.requires_grad)")
    lines.append("note(seen, hooked, torch.rand(1))")
    rounded = any(text in line for line in lines[1:] for text in ("float()", "float16", "autocast"))
    exact = lines[0].startswith("torch.set_default_dtype") and not rounded
    return Statements(tuple(lines), *((1e-9, 1e-10) if exact else (1e-4, 1e-5)))
