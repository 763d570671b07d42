"""Graphs of torch.fx: fusing convolutions with batch norms, an interpreter, replaced patterns, a shape report, weights folded in place."""

import copy
import operator

import torch
import torch.fx as fx
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

torch.manual_seed(16)


class WrappedBatchNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.mod = nn.BatchNorm2d(1)

    def forward(self, x):
        return self.mod(x)


class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 1, 1)
        self.bn1 = nn.BatchNorm2d(1)
        self.conv2 = nn.Conv2d(1, 1, 1)
        self.nested = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1))
        self.wrapped = WrappedBatchNorm()

    def forward(self, x):
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.conv2(x)
        x = self.nested(x)
        x = self.wrapped(x)
        return F.relu(x) + x.sigmoid()


model = M()
for _ in range(3):
    model(torch.randn(4, 1, 3, 3) * 2 + 1)
model.eval()


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    if conv_b is None:
        conv_b = torch.zeros_like(bn_rm)
    if bn_w is None:
        bn_w = torch.ones_like(bn_rm)
    bn_var_rsqrt = torch.rsqrt(bn_rv + bn_eps)
    conv_w = conv_w * (bn_w * bn_var_rsqrt).reshape([-1] + [1] * (len(conv_w.shape) - 1))
    conv_b = (conv_b - bn_rm) * bn_var_rsqrt * bn_w + bn_b
    return torch.nn.Parameter(conv_w), torch.nn.Parameter(conv_b)


def fuse_conv_bn(conv, bn):
    fused_conv = copy.deepcopy(conv)
    fused_conv.weight, fused_conv.bias = fuse_conv_bn_weights(
        fused_conv.weight, fused_conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused_conv


def _parent_name(target):
    *parent, name = target.rsplit(".", 1)
    return parent[0] if parent else "", name


def fuse(model):
    model = copy.deepcopy(model)
    fx_model = fx.symbolic_trace(model)
    modules = dict(fx_model.named_modules())
    for node in fx_model.graph.nodes:
        if node.op != "call_module":
            continue
        if (
            type(modules[node.target]) is nn.BatchNorm2d
            and node.args[0].op == "call_module"
            and type(modules[node.args[0].target]) is nn.Conv2d
        ):
            if len(node.args[0].users) > 1:
                continue
            fused_conv = fuse_conv_bn(modules[node.args[0].target], modules[node.target])
            parent_name, name = _parent_name(node.args[0].target)
            setattr(modules[parent_name], name, fused_conv)
            node.replace_all_uses_with(node.args[0])
            fx_model.graph.erase_node(node)
    fx_model.graph.lint()
    fx_model.recompile()
    return fx_model


fused_model = fuse(model)
print(fused_model.code)
x = torch.randn(5, 1, 1, 2)
print(torch.allclose(fused_model(x), model(x), atol=1e-5), len(list(fused_model.graph.nodes)))
print(torch.allclose(fuse_conv_bn_eval(model.conv1, model.bn1)(x), model.bn1(model.conv1(x)), atol=1e-5))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.param = nn.Parameter(torch.rand(3, 4))
        self.linear = nn.Linear(4, 5)

    def forward(self, x, scale: float = 2.0):
        y = self.linear(x + self.param).clamp(min=0.0, max=1.0)
        return torch.topk(torch.sum(y * scale, dim=-1), 2)[0], y.size(0)


traced = fx.symbolic_trace(Small())
print(traced.graph)
for node in traced.graph.nodes:
    print(
        node.op,
        node.name,
        node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target),
        node.args,
        dict(node.kwargs),
    )


class ShapeProp(fx.Interpreter):
    def run_node(self, n):
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            n.meta["shape"] = tuple(result.shape)
            print(f"{n.name:>10} {n.meta['shape']}")
        return result


ShapeProp(traced).run(torch.rand(3, 4))


def pattern(a, b):
    return torch.relu(a) * b


def replacement(a, b):
    return torch.nn.functional.gelu(a) + b


def function(x):
    return torch.relu(x) * x - torch.neg(x)


graph = fx.symbolic_trace(function)
before = graph(torch.ones(2))
matches = fx.replace_pattern(graph, pattern, replacement)
for node in graph.graph.nodes:
    if node.op == "call_function" and node.target in (operator.sub, torch.sub):
        with graph.graph.inserting_after(node):
            new = graph.graph.call_function(torch.add, node.args)
            node.replace_all_uses_with(new)
        graph.graph.erase_node(node)
graph.recompile()
print(len(matches), before, graph(torch.ones(2)), graph.code.strip(), sep="\n")
try:
    fx.symbolic_trace(lambda x: x if x.sum() > 0 else -x)
except fx.proxy.TraceError as e:
    print(type(e).__name__, str(e)[:53])
