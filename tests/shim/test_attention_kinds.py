"""torch.nn.attention: the choice of kernels, causal masks, flexible attention with its masks of blocks."""

import importlib
import math

import pytest
import torch
from twin import compare, same, same_error

import funnn.functional as F
import funnn.torch as shim

pytestmark = pytest.mark.filterwarnings("ignore:return_lse is deprecated")


@pytest.fixture(autouse=True)
def torch_without_compiling(monkeypatch):
    monkeypatch.setattr(flex(torch), "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


def flex(library):
    return importlib.import_module(f"{library.__name__}.nn.attention.flex_attention")


def operands(torch, heads=2, batch=2):
    return torch.randn(2, 2, 3, 4), torch.randn(batch, heads, 5, 4), torch.randn(batch, heads, 5, 2)


def test_choice_of_kernels():
    def program(torch):
        attention, q = torch.nn.attention, torch.randn(1, 2, 3, 4)
        with attention.sdpa_kernel([attention.SDPBackend.MATH, attention.SDPBackend.CUDNN_ATTENTION], set_priority=True):
            first = torch.nn.functional.scaled_dot_product_attention(q, q, q)

        @attention.sdpa_kernel(attention.SDPBackend.FLASH_ATTENTION)
        def causal():
            return torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)

        print(list(attention.SDPBackend.__members__.values()), attention.SDPBackend.MATH, int(attention.SDPBackend.ERROR))
        return first, causal()

    def refused(backends):
        def program(torch):
            with torch.nn.attention.sdpa_kernel(backends(torch.nn.attention.SDPBackend)):
                torch.nn.functional.scaled_dot_product_attention(*[torch.ones(1, 1, 2, 2)] * 3)

        return program

    same(program)
    for backends in (lambda kinds: [], lambda kinds: [kinds.ERROR], lambda kinds: ["math"]):
        same_error(refused(backends), RuntimeError, "No viable backend for scaled_dot_product_attention was found")
    same_error(refused(lambda kinds: 3), AssertionError, "Backend must be an instance of SDPBackend")


def test_causal_masks():
    def program(torch):
        bias = importlib.import_module(f"{torch.__name__}.nn.attention.bias")
        q, k, v = (x.requires_grad_() for x in operands(torch))
        results = []
        for make in (bias.causal_upper_left, bias.causal_lower_right):
            mask = make(3, 5)
            print(mask, mask.variant, mask.seq_len_q, mask.seq_len_kv, isinstance(mask, torch.Tensor))
            results.append(torch.nn.functional.scaled_dot_product_attention(q, k, v, mask))
            results[-1].sin().sum().backward()
        return results, q, k, v

    def both(torch):
        bias = importlib.import_module(f"{torch.__name__}.nn.attention.bias")
        q = torch.ones(1, 1, 2, 2)
        torch.nn.functional.scaled_dot_product_attention(q, q, q, bias.causal_upper_left(2, 2), is_causal=True)

    same(program)
    same_error(both, ValueError, "causal=True")
    same_error(
        lambda t: importlib.import_module(f"{t.__name__}.nn.attention.bias").causal_upper_left(3), AssertionError, "only supports 2D"
    )
    same_error(
        lambda t: importlib.import_module(f"{t.__name__}.nn.attention.bias").CausalBias(1, 2, 2), AssertionError, "must be a CausalVariant"
    )
    with pytest.warns(UserWarning, match="Lower right causal bias will produce NaNs"):
        importlib.import_module("funnn.torch.nn.attention.bias").causal_lower_right(5, 3)


def causal(b, h, q_idx, kv_idx):
    return q_idx >= kv_idx


def near(b, h, q_idx, kv_idx):
    return (q_idx - kv_idx).abs() <= 1 + h


def distant(score, b, h, q_idx, kv_idx):
    return score - (q_idx - kv_idx) * 0.1 * (h + 1)


#: name -> (heads of the keys, score_mod of a table of numbers, mask_mod, options)
CASES = {
    "plain": (2, None, None, {}),
    "scale": (2, None, causal, {"scale": 0.3}),
    "groups": (1, lambda table: distant, None, {"enable_gqa": True}),
    "a table": (2, lambda table: lambda s, b, h, i, j: 4 * (s / 4).tanh() + table[h, i - j + 4], near, {}),
    "nothing allowed": (2, lambda table: distant, lambda b, h, i, j: (i > 0) & (j < 9), {}),
}


def textbook(query, key, value, score_mod=None, mask_mod=None, scale=None):
    """What torch computes, from torch's operations that have derivatives on a CPU."""
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    b, h, i, j = torch.meshgrid(*map(torch.arange, scores.shape), indexing="ij")
    scores = scores if score_mod is None else score_mod(scores, b, h, i, j)
    scores = scores if mask_mod is None else scores.masked_fill(~mask_mod(b, h, i, j), -torch.inf)
    some = (scores > -torch.inf).any(-1)
    weights = torch.where(some[..., None], scores, 0.0).softmax(-1) * some[..., None]
    return weights @ value, torch.where(some, torch.where(some[..., None], scores, 0.0).logsumexp(-1), -torch.inf)


@pytest.mark.parametrize("name", CASES)
def test_flexible_attention(name):
    """Values as torch's flex_attention, gradients (which torch has not got on a CPU) as those of the formula."""
    heads, make, mask_mod, options = CASES[name]

    def values(torch):
        module, table = flex(torch), torch.randn(2, 9)
        mask = None if mask_mod is None else module.create_block_mask(mask_mod, 2, 2, 3, 5)
        args = (*operands(torch, heads), None if make is None else make(table), mask)
        out = module.flex_attention(*args, **options)
        return out, module.flex_attention(*args, **options, return_aux=module.AuxRequest(lse=True))

    def gradients(torch):
        table = torch.randn(2, 9, requires_grad=True)
        q, k, v = (x.requires_grad_() for x in operands(torch, heads))
        score_mod = None if make is None else make(table)
        if torch is shim:
            mask = None if mask_mod is None else flex(torch).create_block_mask(mask_mod, 2, 2, 3, 5)
            out = flex(torch).flex_attention(q, k, v, score_mod, mask, **options)
        else:
            wide = {key: value for key, value in options.items() if key != "enable_gqa"}
            out = textbook(q, k.repeat_interleave(2 // heads, 1), v.repeat_interleave(2 // heads, 1), score_mod, mask_mod, **wide)[0]
        (out.sin() * torch.arange(1.0, 13).reshape(3, 2, 2).sum(0)[:, None, :].mean()).sum().backward()
        return out, q, k, v, table

    same(values)
    same(gradients)


def test_gradients_of_the_logarithms():
    def program(torch):
        q, k, v = (x.requires_grad_() for x in operands(torch))
        mask = flex(shim).create_block_mask(near, 2, 2, 3, 5)
        out, lse = flex(shim).flex_attention(q, k, v, distant, mask, return_lse=True) if torch is shim else textbook(q, k, v, distant, near)
        (out.sin().sum() + lse.square().sum()).backward()
        return out, lse, q, k, v

    same(program)


def test_the_pure_function_is_the_same():
    table = shim.randn(2, 9)
    q, k, v = operands(shim)
    arrays = [x.numpy() for x in (q, k, v)]
    mask = flex(shim).create_block_mask(causal, None, None, 3, 5)
    ours = flex(shim).flex_attention(q, k, v, lambda s, b, h, i, j: s + table[h, i - j + 4], mask)
    numbers = table._export()
    pure = F.flex_attention(*arrays, lambda s, b, h, i, j: s + numbers[h, i - j + 4], lambda b, h, i, j: i >= j)
    compare(ours, torch.tensor(pure.tolist()))


def test_within_compile_and_vmap():
    q, k, v = operands(shim)
    mask = flex(shim).create_block_mask(causal, None, None, 3, 5)
    expected = flex(shim).flex_attention(q, k, v, distant, mask)
    for call in (
        shim.compile(lambda q, k, v: flex(shim).flex_attention(q, k, v, distant, mask)),
        shim.compile(flex(shim).flex_attention),
    ):
        compare(call(q, k, v) if call.__name__ == "<lambda>" else call(q, k, v, distant, mask), torch.tensor(expected.tolist()))
    rows = shim.vmap(lambda q, k, v: flex(shim).flex_attention(q[None], k[None], v[None], distant, mask)[0])(q, k, v)
    compare(rows, torch.tensor(expected.tolist()))


def test_masks_of_blocks():
    def program(torch):
        module = flex(torch)
        both = module.and_masks(causal, near)
        either = module.or_masks(causal, lambda b, h, q_idx, kv_idx: kv_idx < 3 - b)
        print(module.create_mask(both, None, 2, 4, 5))
        results = [module.create_mask(lambda s, b, h, i, j: torch.where(i >= j, s, -float("inf")), 1, None, 3, 3)]
        for mask, index in (
            (module.create_block_mask(both, 1, 2, 7, 7, BLOCK_SIZE=2), (slice(0, 1), -1)),
            (module.create_block_mask(either, 2, None, 7, 7, BLOCK_SIZE=(2, 4), separate_full_blocks=False), 0),
        ):
            part, smaller = mask[index], mask._adjust(4, 4)
            print(repr(mask), repr(part), str(smaller), len(mask.as_tuple()), len(mask.as_tuple(False)), mask.numel(), mask.sparsity())
            print(mask, mask.to_string(grid_size=2, limit=1), mask.to("cpu").shape)
            results += [list(mask.as_tuple()[2:10]), part.kv_indices, smaller.kv_num_blocks, smaller.to_dense()]
        print(module.create_block_mask(module.noop_mask, None, None, 300, 200))
        return results

    same(program)


ERRORS = {
    "scores for a mask": (lambda t, m, x: m.create_block_mask(distant, 1, 1, 3, 3), AssertionError, "requires a mask_mod function"),
    "arguments": (lambda t, m, x: m.create_mask(lambda b, h: b, 1, 1, 3, 3), AssertionError, "Expected 4 or 5 positional args"),
    "no function": (lambda t, m, x: m.and_masks(causal, 3), RuntimeError, "All inputs should be callable mask_mods"),
    "ranks": (lambda t, m, x: m.flex_attention(x[0], x[0], x[0]), NotImplementedError, "must be 4D"),
    "features": (lambda t, m, x: m.flex_attention(x, x[..., :2], x), ValueError, "same embedding dimension"),
    "heads": (lambda t, m, x: m.flex_attention(x, x[:, :1], x[:, :1]), ValueError, "Try setting enable_gqa"),
    "groups": (
        lambda t, m, x: m.flex_attention(x, t.ones(1, 3, 3, 4), t.ones(1, 3, 3, 4), enable_gqa=True),
        ValueError,
        "to be a multiple of kv heads",
    ),
    "batches": (lambda t, m, x: m.flex_attention(t.ones(2, 2, 3, 4), x, x), ValueError, "same batch size"),
    "a sliced mask": (
        lambda t, m, x: m.flex_attention(x, x, x, block_mask=m.create_block_mask(causal, 1, 1, 3, 3)[0]),
        RuntimeError,
        "Cannot use mask_mod from a sliced BlockMask",
    ),
    "a small mask": (
        lambda t, m, x: m.flex_attention(x, x, x, block_mask=m.create_block_mask(causal, 1, 1, 2, 2)),
        ValueError,
        "block_mask was created for block_mask.shape",
    ),
    "both ways of asking": (
        lambda t, m, x: m.flex_attention(x, x, x, return_lse=True, return_aux=m.AuxRequest(lse=True)),
        ValueError,
        "Cannot specify both return_lse and return_aux",
    ),
    "half a pair": (
        lambda t, m, x: m.BlockMask.from_kv_blocks(t.ones(1, 1, 1).int(), t.zeros(1, 1, 1, 1).int(), t.ones(1, 1, 1).int()),
        AssertionError,
        "must be both provided or omitted",
    ),
    "rank of a mask": (
        lambda t, m, x: m.BlockMask.from_kv_blocks(t.ones(1).int(), t.zeros(1).int()),
        RuntimeError,
        "at least 2 dimensions",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    make, error, text = ERRORS[name]
    same_error(lambda torch: make(torch, flex(torch), torch.ones(1, 2, 3, 4)), error, text)
