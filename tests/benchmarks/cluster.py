"""A training step of a language model compiled for more devices than there are: what each computes, holds and sends, and what that makes of hardware.

    python -m tests.benchmarks.cluster [--models 1B 7B] [--devices 64 256] [--tokens 1048576]

The devices are fakes of the CPU, and nothing runs: XLA splits the program for them as for others. Operations, memory and what is sent are read from the
compiled program, in which loops count as often as they run. What is sent is an upper bound: XLA for CPUs writes an all-reduce where that for GPUs and
TPUs writes a reduce-scatter, which sends half, and adds up bfloat16 in float32. Times are estimates from published figures of the hardware
(``HARDWARE``): from no overlap of computing and sending to a perfect one.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

#: width, hidden, depth, heads, kv_heads
MODELS = {"1B": (2048, 5504, 24, 16, 16), "7B": (4096, 11008, 32, 32, 32), "tiny": (64, 128, 2, 4, 4)}
VOCABULARY, LENGTH = 32000, 2048


class Hardware(NamedTuple):
    """Of one device: bfloat16 operations a second, and bytes a second that it sends to others within a group of ``near``, and beyond."""

    flops: float
    near: int
    near_bytes: float
    far_bytes: float


#: H100 SXM: 989 TFLOP/s dense, NVLink 450 GB/s each way within 8, InfiniBand 400 Gb/s each (NVIDIA's data sheets of H100 and DGX H100).
#: TPU v5p: 459 TFLOP/s, interconnect 4,800 Gb/s a chip over all its links (Google Cloud's page of v5p).
HARDWARE = {"H100": Hardware(989e12, 8, 450e9, 50e9), "v5p": Hardware(459e12, 8960, 600e9, 600e9)}
_BYTES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "pred": 1, "f16": 2, "s64": 8, "u8": 1, "f64": 8}


def plans(net: Any, count: int) -> dict[str, tuple]:
    """By name: the mesh's axes, the rules and how a batch is split."""
    from jax.sharding import PartitionSpec as P

    from funnn import sharding

    tensor = sharding.tensor_parallel(net)
    return {
        "fsdp": ({"data": count}, sharding.fsdp("data"), P("data")),
        "fsdp x 8 tensor": ({"data": count // 8, "model": 8}, sharding.fsdp("data", base=tensor), P("data")),
    }


def build(name: str) -> Any:
    """The network, computed in bfloat16, whose blocks are computed again in the backward pass."""
    import jax.numpy as jnp

    from funnn import sharding
    from funnn.layers import Embedding, GroupedQueryAttention, Layer, Linear, Policy, Remat, Repeat, RMSNorm, RotaryEmbedding, SwiGLU

    width, hidden, depth, heads, kv_heads = MODELS[name]

    class Block(Layer):
        def __post_init__(self) -> None:
            self.norm1, self.norm2 = RMSNorm((width,)), RMSNorm((width,))
            self.attn = GroupedQueryAttention(width, heads, kv_heads, rotary=RotaryEmbedding(width // heads))
            self.mlp = SwiGLU(width, hidden)

        def forward(self, x: Any) -> Any:
            x = sharding.constrain(x, "data")
            x = x + self.attn(self.norm1(x))[0]
            return x + self.mlp(self.norm2(x))

    class Net(Layer):
        def __post_init__(self) -> None:
            self.embed, self.h = Embedding(VOCABULARY, width), Repeat(Remat(Block()), depth)
            self.norm, self.head = RMSNorm((width,)), Linear(width, VOCABULARY, False)

        def logical_axes(self) -> Any:
            return {"head.weight": ("vocabulary", "features")}

        def forward(self, tokens: Any) -> Any:
            return self.head(self.norm(self.h(self.embed(tokens))))

    return Net().with_policy(Policy(output=jnp.bfloat16))


def compiled(name: str, plan: str, count: int, tokens: int) -> tuple[Any, int]:
    """The compiled step, and how many parameters the network has."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding

    import funnn
    from funnn import functional as F
    from funnn import optim, sharding

    net = build(name)
    axes, rules, spec = plans(net, count)[plan]
    mesh = sharding.make_mesh(axes)

    def loss(logits: Any, target: Any) -> Any:
        return F.cross_entropy(logits.reshape(-1, VOCABULARY), target.reshape(-1))

    init, step, _ = funnn.train_step(net, loss, optim.adamw(lr=1e-4))
    shapes = jax.eval_shape(init, jax.random.key(0))
    placed = sharding.named_shardings(shapes, mesh, rules)
    state = jax.tree.map(lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), shapes, placed)
    batch = (jax.ShapeDtypeStruct((tokens // LENGTH, LENGTH), jnp.int32, sharding=NamedSharding(mesh, spec)),) * 2
    with jax.set_mesh(mesh):
        return step.lower(state, batch).compile(), sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes.params))


class Program:
    """What a compiled program's text says of each computation, and how often it runs; of a choice of several every one."""

    def __init__(self, text: str):
        self._lines: dict[str, list[str]] = {}
        name = entry = ""
        for line in text.splitlines():
            if found := re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line):
                name = found[2]
                entry = name if found[1] else entry
                self._lines[name] = []
            elif name:
                self._lines[name].append(line)
        self.times: dict[str, int] = {}
        self._count(entry, 1)

    def _count(self, name: str, times: int) -> None:
        self.times[name] = self.times.get(name, 0) + times
        for line in self._lines[name]:
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line)
            branches = re.findall(r"%?([\w.\-]+)", "".join(re.findall(r"branch_computations=\{([^}]*)\}", line)))
            for called in branches + re.findall(r"(?:body|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)", line):
                self._count(called, times * (int(trips[1]) if trips and " while(" in line else 1))

    def run(self) -> Any:
        """Every line with how often it runs."""
        for name, times in self.times.items():
            for line in self._lines[name]:
                yield line, times

    def flops(self) -> float:
        """Of matrix products, two a multiplication."""
        total = 0.0
        for name, times in self.times.items():
            shapes = {
                found[1]: found[2]
                for line in self._lines[name]
                if (found := re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = \w+\[([\d,]*)\]", line))
            }
            for line in self._lines[name]:
                found = re.search(
                    r"= \w+\[([\d,]*)\]\S* dot\((?:\w+\[[\d,]*\]\S* )?%?([\w.\-]+), .*lhs_contracting_dims=\{([\d,]*)\}", line
                )
                if found:
                    left = [int(n) for n in shapes[found[2]].split(",")]
                    inner = math.prod(left[int(axis)] for axis in found[3].split(",") if axis)
                    total += 2.0 * times * inner * math.prod(int(n) for n in found[1].split(",") if n)
        return total

    def sent(self) -> dict[int, float]:
        """Bytes that a device sends, by the size of the group it sends to."""
        totals: dict[int, float] = {}
        for line, times in self.run():
            found = re.search(r"= (\(.*?\)|\S+) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(", line)
            if not found:
                continue
            size = sum(
                _BYTES[kind] * math.prod(int(n) for n in shape.split(",") if n)
                for kind, shape in re.findall(r"(\w+)\[([\d,]*)\]", found[1])
            )
            members = _group(line)
            share = {"all-reduce": 2.0, "reduce-scatter": float(members), "collective-permute": members / max(members - 1, 1)}.get(
                found[2], 1.0
            )
            totals[members] = totals.get(members, 0.0) + times * size * share * (members - 1) / members
        return totals


def _group(line: str) -> int:
    """How many devices take part in one group of a collective operation."""
    if found := re.search(r"replica_groups=\[(\d+),(\d+)\]", line):
        return int(found[2])
    if found := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return len(found[1].split(","))
    if found := re.search(r"replica_groups=mesh\[(.*?)\] \{(.*?)\}", line):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
        return math.prod(int(sizes[name]) for name in re.findall(r"'(\w+)'", found[2]))
    return 2


def report(name: str, plan: str, count: int, tokens: int) -> str:
    """A row of the table."""
    program, parameters = compiled(name, plan, count, tokens)
    read, memory = Program(program.as_text()), program.memory_analysis()
    sent, held = read.sent(), memory.argument_size_in_bytes
    # what a user counts: products with parameters and of attention, of what a causal mask leaves, forward and backward once
    width, _, depth, *_ = MODELS[name]
    wanted = (6 * (parameters - VOCABULARY * width) + 6 * depth * width * LENGTH) * tokens / count
    cells = [name, f"{parameters / 1e9:.2f}", plan, str(count), f"{read.flops() / 1e12:.0f}", f"{wanted / 1e12:.0f}", f"{held / 2**30:.2f}"]
    cells += [f"{memory.temp_size_in_bytes / 2**30:.1f}", f"{sum(sent.values()) / 2**30:.1f}"]
    for hardware in HARDWARE.values():
        computing = read.flops() / hardware.flops
        sending = sum(size / (hardware.near_bytes if members <= hardware.near else hardware.far_bytes) for members, size in sent.items())
        shares = [wanted / hardware.flops / time for time in (computing + sending, max(computing, sending))]
        cells.append(f"{shares[0]:.0%} to {shares[1]:.0%}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["1B", "7B"], choices=MODELS)
    parser.add_argument("--devices", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--tokens", type=int, default=2**20, help="of a batch of all devices")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "PLAN"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(report(*options.one, options.devices[0], options.tokens))
        return
    heads = ["model", "10⁹ parameters", "plan", "devices", "TFLOP", "of these wanted", "GiB of state", "GiB between", "GiB sent"]
    heads += [f"utilisation, {name}" for name in HARDWARE]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads), flush=True)
    for model in options.models:
        for count in options.devices:
            for plan in ("fsdp", "fsdp x 8 tensor"):
                environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}", "JAX_PLATFORMS": "cpu"}
                command = [
                    sys.executable,
                    "-m",
                    "tests.benchmarks.cluster",
                    "--one",
                    model,
                    plan,
                    "--devices",
                    str(count),
                    "--tokens",
                    str(options.tokens),
                ]
                print(
                    subprocess.run(
                        command, env=environment, cwd=Path(__file__).parents[2], check=True, text=True, stdout=subprocess.PIPE
                    ).stdout,
                    end="",
                    flush=True,
                )


if __name__ == "__main__":
    main()
