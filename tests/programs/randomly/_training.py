"""Random training programs: a model, an optimizer, a step with what people put in it, and what happens between steps."""

from __future__ import annotations

import random

from tests.programs.randomly._events import EVENTS
from tests.programs.randomly._models import CLASSES, MODELS, OPTIMIZERS, SCHEDULERS
from tests.programs.randomly._running import Statements
from tests.programs.randomly._steps import AFTER, BACKWARD, BEFORE, FORWARD, GRADIENTS, LOSS, PARTS, RETURNS, UPDATE


def indented(text: str, by: int = 1) -> str:
    return "\n".join("    " * by + line for line in text.splitlines())


def step(choose: random.Random, name: str = "plain_step", closure: bool = False) -> str:
    """The text of a step."""
    pick = choose.choice
    body = [pick(BEFORE) for _ in range(choose.choice([0, 0, 1, 1, 2]))]
    body += [pick(FORWARD), pick(LOSS), pick(BACKWARD), pick(GRADIENTS), pick(UPDATE)]
    body += [pick(AFTER) for _ in range(choose.choice([0, 1, 1, 2]))]
    scaled = any("scaler.scale" in part for part in body)
    body = [part for part in body if scaled or not part.startswith("scaler.step")] if any("scaler.step" in part for part in body) else body
    if closure:
        body = [
            pick(FORWARD[:4]),
            "def closure():\n    o.zero_grad()\n    loss = F.cross_entropy(m(x), y)\n    loss.backward()\n    return loss",
            "loss = o.step(closure)",
        ]
    result = pick(RETURNS)
    if "del z" in body and "z" in result.replace("loss", ""):
        result = "loss"
    return f"def {name}(x, y):\n" + indented("\n".join([*filter(None, body), f"return {result}"]))


def training(seed: int, steps: int = 12) -> Statements:
    """A random program."""
    choose = random.Random(seed)
    model, lines = choose.choice(MODELS), [PARTS]
    optimizer = choose.choice(OPTIMIZERS)
    if choose.random() < 0.3 or "LBFGS" in optimizer:  # which is chaotic
        lines.insert(0, "torch.set_default_dtype(torch.float64)")
    if (name := model.partition("(")[0]) in CLASSES:
        lines.append(CLASSES[name])
    lines += [
        "state, history, norms, ema, total = {'n': 0}, [], [], {}, torch.zeros(())",
        f"m = {model}",
        f"o = torch.optim.{optimizer}".replace("{p}", "m.parameters()"),
        f"s = torch.optim.lr_scheduler.{choose.choice(SCHEDULERS)}".replace("{o}", "o"),
        "scaler, average, inner = torch.amp.GradScaler('cpu', init_scale=4.0, growth_interval=3), copy.deepcopy(m), m",
        "average_model = torch.optim.swa_utils.AveragedModel(m)",
        "data = [(torch.randn(8, 6), torch.randint(0, 3, (8,))) for _ in range(4)]",
        step(choose, closure="LBFGS" in optimizer),
        "step = compiled(plain_step)",
    ]
    if choose.random() < 0.2:
        lines.append("inner = compiled(m)")
    if choose.random() < 0.15:
        lines = [line.replace("z = m(x)", "z = inner(x)") for line in lines if not line.startswith(("step = ", "inner = "))]
        lines.append("step, inner = plain_step, compiled(m)")
    done = 0
    while done < steps:
        for _ in range(choose.choice([1, 1, 2, 4, 5])):
            lines.append(
                f"note(step(*[t.clone() for t in data[{done % 4}]]))"
                if choose.random() < 0.7
                else f"history.append(step(*data[{done % 4}]))"
            )
            done += 1
        lines += [choose.choice(EVENTS) for _ in range(choose.choice([0, 1, 1, 2]))]
    lines += [
        "note(m)",
        "note([p.grad for p in m.parameters()])",
        "note(o.state_dict(), state, total, ema, average_model, average)",
        "note(history)",
        "note(norms, torch.rand(1), random.random(), np.random.rand())",
    ]
    return Statements(tuple(lines), rtol=1e-3, atol=1e-4)
