"""Models, optimizers and schedulers of random training programs."""

from __future__ import annotations

MODELS = (
    "nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))",
    "nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))",
    "nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, 3))",
    "nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3, bias=False))",
    "nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 8)), nn.ELU(), nn.Linear(8, 3))",
    "nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)), nn.SiLU(), nn.Linear(8, 3))",
    "nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))",
    "nn.Sequential(nn.Linear(6, 6), nn.PReLU(), nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 3))",
    "Residual()",
    "Recurrent()",
    "Counting()",
    "Deep()",
    "Experts()",
    "Tied()",
    "Cached()",
    "Memory()",
    "Threaded()",
    "Split()",
)
CLASSES = {
    "Memory": """class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.head, self.at = nn.Linear(6, 6), nn.Linear(6, 3), 0
        self.register_buffer("slots", torch.zeros(4, 6))

    def forward(self, x):
        self.slots[self.at % 4] = x.detach().mean(0)
        self.at += 1
        slots = self.slots.clone()
        return self.head(self.a(x).relu() + (x @ slots.t()).softmax(-1) @ slots)""",
    "Threaded": """class Threaded(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head, self.kept = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3), None

    def forward(self, x):
        out, state = self.lstm(x.view(len(x), 3, 2), self.kept if self.kept and self.kept[0].shape[1] == len(x) else None)
        self.kept = tuple(part.detach() for part in state)
        return self.head(out[:, -1])""",
    "Split": """class Split(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(9, 6) * 0.3)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        q, k, v = self.weight.split(3)
        h = torch.zeros(len(x), 6)
        h[:, :3] = x @ q.t()
        h[:, 3:] += x @ k.t()
        h.relu_()
        return torch.addmm(self.bias, h, v.t())""",
    "Residual": """class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(2))
        self.scale = nn.Parameter(torch.ones(6))
        self.head = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        x = x - self.mean
        for block in self.blocks:
            x = x + block(x).tanh() * self.scale
        return self.head(x)""",
    "Recurrent": """class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(2, 5)
        self.head = nn.Linear(5, 3)
        self.h = None

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 5) if self.h is None or len(self.h) != len(x) else self.h.detach()
        for part in x.split(2, -1):
            h = self.cell(part, h)
        self.h = h
        return self.head(h)""",
    "Counting": """class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(4, 3)
        self.register_buffer("steps", torch.tensor(0))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.steps += 1
        h = self.a(x).relu()
        if self.calls % 3 == 0:
            h = h * 0.5
        return self.b(h) + self.steps * 0.01 + self.calls * 0.001""",
    "Deep": """class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def go(self, x, n):
        return x if n == 0 else self.go(self.layer(x).tanh(), n - 1)

    def forward(self, x):
        return self.head(self.go(x, 1 + random.randrange(3)))""",
    "Experts": """class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(6, 2)
        self.experts = nn.ModuleDict({"a": nn.Linear(6, 3), "b": nn.Linear(6, 3)})

    def forward(self, x):
        p = self.gate(x).softmax(-1)
        best, out = p.argmax(-1), torch.zeros(len(x), 3)
        for i, name in enumerate(self.experts):
            rows = best == i
            if rows.any():
                out[rows] = self.experts[name](x[rows]) * p[rows, i, None]
        return out""",
    "Tied": """class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        x.requires_grad_()
        return self.head(self.b(self.a(x).sigmoid()))""",
    "Cached": """class Cached(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.head, self.cache, self.last = nn.Linear(6, 6), nn.Linear(6, 3), {}, None

    def forward(self, x):
        if len(x) not in self.cache:
            self.cache[len(x)] = torch.linspace(0, 1, len(x))[:, None] * torch.rand(1)
        h = self.a(x) + self.cache[len(x)]
        self.last = h
        return self.head(h.relu())""",
}
OPTIMIZERS = (
    *(
        "SGD({p}, lr=0.1)",
        "SGD({p}, lr=0.05, momentum=0.9)",
        "SGD({p}, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01)",
        "SGD({p}, lr=0.1, foreach=False)",
        "SGD({p}, lr=torch.tensor(0.1))",
    ),
    *(
        "Adam({p}, lr=0.02)",
        "Adam({p}, lr=0.02, amsgrad=True)",
        "Adam({p}, lr=0.02, foreach=True)",
        "Adam({p}, lr=0.02, fused=True)",
        "Adam({p}, lr=torch.tensor(0.02))",
        "AdamW({p}, lr=0.02, weight_decay=0.1)",
    ),
    *(
        "RMSprop({p}, lr=0.01, momentum=0.5, centered=True)",
        "Adagrad({p}, lr=0.05, lr_decay=0.1)",
        "Adadelta({p}, lr=1.0)",
        "Adamax({p}, lr=0.02)",
        "NAdam({p}, lr=0.02)",
        "RAdam({p}, lr=0.02)",
        "ASGD({p}, lr=0.05)",
        "Rprop({p}, lr=0.01)",
    ),
    *(
        "SGD([{'params': list({p})[:1], 'lr': 0.01}, {'params': list({p})[1:]}], lr=0.1)",
        "AdamW([{'params': [q for q in {p} if q.dim() > 1], 'weight_decay': 0.1}, {'params': [q for q in {p} if q.dim() <= 1]}], lr=0.02)",
    ),
    *(
        "Adafactor({p}, lr=0.02)",
        "SGD({p}, lr=0.1, maximize=False, dampening=0.1, momentum=0.5)",
        "Adam({p}, lr=0.02, capturable=False, differentiable=False, weight_decay=0.01)",
        "LBFGS({p}, lr=0.1, max_iter=3)",
        "LBFGS({p}, lr=0.5, max_iter=4, line_search_fn='strong_wolfe')",
        "SGD({p}, lr=0.1, fused=True)",
    ),
)
SCHEDULERS = (
    *(
        "StepLR({o}, 2, 0.5)",
        "ExponentialLR({o}, 0.9)",
        "CosineAnnealingLR({o}, 5)",
        "LambdaLR({o}, lambda n: 1 / (n + 1))",
        "OneCycleLR({o}, 0.2, total_steps=40)",
        "CyclicLR({o}, 0.01, 0.1, step_size_up=2, cycle_momentum=False)",
    ),
    *(
        "MultiStepLR({o}, [2, 5], 0.3)",
        "LinearLR({o})",
        "PolynomialLR({o}, 8)",
        "CosineAnnealingWarmRestarts({o}, 3)",
        "SequentialLR({o}, [torch.optim.lr_scheduler.ConstantLR({o}, 0.5, 3), torch.optim.lr_scheduler.ExponentialLR({o}, 0.8)], [3])",
    ),
    *(
        "ReduceLROnPlateau({o}, patience=0)",
        "MultiplicativeLR({o}, lambda n: 0.9)",
        "ChainedScheduler([torch.optim.lr_scheduler.ExponentialLR({o}, 0.9), torch.optim.lr_scheduler.StepLR({o}, 2)])",
    ),
)
