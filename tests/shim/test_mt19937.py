"""funnn.engine.random.mt19937 against PyTorch itself: the same seed and the same draws give the same numbers and leave the same state."""

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from funnn.engine.random import mt19937 as _mt19937
from funnn.engine.random.fma import fma32, fma64
from funnn.engine.random.mt19937 import MT19937

SIZES = (0, 1, 2, 5, 15, 16, 17, 31, 32, 33, 100, 1000)
LARGE = 10**5
SEEDS = (0, 1, 123456789, 2**32 + 5, 2**64 - 1)
NUMPY = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.float16: np.float16,
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.int64: np.int64,
    torch.int32: np.int32,
    torch.int16: np.int16,
    torch.int8: np.int8,
    torch.uint8: np.uint8,
    torch.bool: np.bool_,
    torch.uint16: np.uint16,
    torch.uint32: np.uint32,
    torch.uint64: np.uint64,
    torch.complex64: np.complex64,
    torch.complex128: np.complex128,
}
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.uint64}


def both(seed):
    return torch.Generator().manual_seed(seed), MT19937(seed)


def to_numpy(tensor):
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def assert_same_bits(ours, theirs):
    theirs = np.ascontiguousarray(to_numpy(theirs))
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    bits = BITS[ours.dtype.itemsize]
    np.testing.assert_array_equal(ours.reshape(-1).view(bits), theirs.reshape(-1).view(bits))


def assert_close(ours, theirs, ulps=4, scale=1.0):
    """Within `ulps` units in the last place of the value, or of `scale` where a sum or a zero of the sine cancels."""
    theirs = to_numpy(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if ours.dtype.kind in "biu":
        return assert_same_bits(ours, torch.from_numpy(theirs))
    eps = float(ml_dtypes.finfo(ours.dtype).eps)
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    assert np.all(np.abs(a - b) <= ulps * eps * np.maximum(np.abs(b), scale))


def assert_same_state(ours, theirs, exact=True):
    """Byte for byte; `exact=False` leaves out the kept normal, which may differ in its last bit."""
    a, b = ours.get_state(), theirs.get_state().numpy()
    if not exact:
        a[5024:5032] = b[5024:5032] = 0
    np.testing.assert_array_equal(a, b)


# --- the engine ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*SEEDS, -1, -(2**63)])
def test_seeding_gives_torchs_state(seed):
    g, m = both(seed)
    assert m.initial_seed == g.initial_seed()
    assert_same_state(m, g)


def test_default_seed_is_that_of_a_new_generator():
    assert_same_state(MT19937(), torch.Generator())


@pytest.mark.parametrize("draws", [1, 2, 623, 624, 625, 1247, 1248, 1249])
def test_state_round_trips_both_ways_at_block_edges(draws):
    g, m = both(3)
    torch.rand(draws, generator=g)
    m.uniform(draws)
    assert_same_state(m, g)
    other, other_torch = MT19937(9), torch.Generator().manual_seed(9)
    other.set_state(g.get_state().numpy())
    other_torch.set_state(torch.from_numpy(m.get_state()))
    assert other.initial_seed == other_torch.initial_seed() == 3
    assert_same_bits(other.uniform(700), torch.rand(700, generator=g))
    assert_same_bits(m.uniform(700), torch.rand(700, generator=other_torch))


def test_state_carries_the_kept_normal():
    g, m = both(4)
    torch.randn(3, generator=g)
    m.set_state(g.get_state().numpy().tobytes())
    assert_same_state(m, g)
    assert_same_bits(m.normal(2), torch.randn(2, generator=g))
    m.normal(1)
    m.seed(4)
    assert m.cached_normal is None


def test_raw_draws_are_the_words_of_mt19937():
    raw = np.random.RandomState(5).randint(0, 2**32, 6, dtype=np.uint32)
    np.testing.assert_array_equal(MT19937(5).random32(6), raw)
    np.testing.assert_array_equal(MT19937(5).random64(3), raw[::2].astype(np.uint64) << np.uint64(32) | raw[1::2])


@pytest.mark.parametrize(
    ("seed", "error", "text"),
    [(2**64, ValueError, "Overflow when unpacking long"), (-(2**63) - 1, ValueError, "Overflow"), (1.0, RuntimeError, "expected a long")],
)
def test_wrong_seeds(seed, error, text):
    with pytest.raises(error, match=text):
        torch.Generator().manual_seed(seed)
    with pytest.raises(error, match=text):
        MT19937(seed)


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        (np.zeros(10, np.uint8), RuntimeError, "Expected a CPUGeneratorImplState of size 5056"),
        (np.zeros(5056, np.uint8), RuntimeError, "Invalid mt19937 state"),
        (np.zeros(5056, np.float32), TypeError, "RNG state must be a torch.ByteTensor"),
    ],
)
def test_wrong_states(state, error, text):
    m = MT19937()
    for generator, value in ((torch.Generator(), torch.from_numpy(state)), (m, state)):
        with pytest.raises(error, match=text):
            generator.set_state(value)
    assert_same_state(m, torch.Generator())


# --- distributions ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bounds", [(0, 1), (-0.1, 0.1), (2, 5), (-0.3, 0.7), (1000, 1000.1), (1.5, 1.5)])
def test_uniform(dtype, bounds):
    for n in (*SIZES, LARGE):
        g, m = both(n)
        assert_same_bits(m.uniform(n, NUMPY[dtype], *bounds), torch.empty(n, dtype=dtype).uniform_(*bounds, generator=g))
        assert_same_state(m, g)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex(dtype, seed):
    g, m = both(seed)
    for n in (3, 4, 20):
        theirs = torch.view_as_real(torch.randn(n, dtype=dtype, generator=g))
        assert_close(m.normal(n, NUMPY[dtype]).view(NUMPY[theirs.dtype]), theirs.reshape(-1))
        assert_same_bits(m.uniform((n, 2), NUMPY[dtype]), torch.rand(n, 2, dtype=dtype, generator=g))
    assert_same_state(m, g)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("mean", "std"), [(0, 1), (0, 0.02), (0.3, 1.7), (1, 1), (1, 0)])
def test_normal(dtype, mean, std):
    for n in (*SIZES, LARGE):
        g, m = both(n)
        ours, theirs = m.normal(n, NUMPY[dtype], mean, std), torch.empty(n, dtype=dtype).normal_(mean, std, generator=g)
        if n < 16 or dtype != torch.float64:
            assert_same_bits(ours, theirs)
        else:
            assert_close(ours, theirs, scale=std)
        assert_same_state(m, g)


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_of_a_very_large_output(dtype, monkeypatch):
    monkeypatch.setattr(_mt19937, "EXACT_UP_TO", 1000)
    g, m = both(5)
    assert_close(
        m.normal((9, LARGE // 3 + 5), NUMPY[dtype], 0.1, 2.0), torch.empty(9, LARGE // 3 + 5, dtype=dtype).normal_(0.1, 2.0, generator=g)
    )
    assert_same_state(m, g)


def chosen_draws(words):
    """A torch generator whose next raw draws are the given 623 or fewer: the twister's tempering, undone."""
    y = words.astype(np.uint32)
    y ^= y >> np.uint32(18)
    y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
    x = y.copy()
    for _ in range(4):
        x = y ^ ((x << np.uint32(7)) & np.uint32(0x9D2C5680))
    y = x.copy()
    for _ in range(2):
        y = x ^ (y >> np.uint32(11))
    state = MT19937(0)
    state.random32(1)
    state = state.get_state()
    state[24 + 8 : 24 + 8 * 624].view(np.uint64)[: y.size] = y
    return torch.Generator().set_state(torch.from_numpy(state))


def test_float32_normal_is_exact_at_the_edges_of_its_polynomials():
    """Uniforms around 0, 1 and every eighth of a turn, which random draws seldom meet, fed to PyTorch through its state."""
    eighths = (np.arange(9) << 21)[:, None] + np.arange(-8, 9)
    edges = np.concatenate([eighths.ravel(), (2**24 - (1 << np.arange(24)))]) % 2**24
    rng = np.random.default_rng(0)
    for _ in range(20):
        words = rng.choice(edges, 608)
        g = chosen_draws(words)
        m = MT19937()
        m.set_state(g.get_state().numpy())
        np.testing.assert_array_equal(m.random32(608), words)
        m.set_state(g.get_state().numpy())
        assert_same_bits(m.normal(608), torch.randn(608, generator=g))


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_of_a_non_contiguous_output(dtype):
    g, m = both(2)
    for n in (3, 16, 17, 1000):
        theirs = torch.empty(n, 2, dtype=dtype)[:, 0].normal_(0.1, 2.0, generator=g)
        assert_close(m.normal(n, NUMPY[dtype], 0.1, 2.0, contiguous=False), theirs)
    assert_same_state(m, g, exact=False)


@pytest.mark.parametrize("dtype", (*FLOATS, *INTS, torch.bool))
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_bernoulli_of_a_number(dtype, p):
    for n in (*SIZES, LARGE):
        g, m = both(n)
        assert_same_bits(m.bernoulli(p, n, NUMPY[dtype]), torch.empty(n, dtype=dtype).bernoulli_(p, generator=g))
        assert_same_state(m, g)


@pytest.mark.parametrize("p_dtype", FLOATS)
def test_bernoulli_of_an_array(p_dtype):
    for n in SIZES:
        g, m = both(n)
        p = torch.linspace(0, 1, n).to(p_dtype)
        assert_same_bits(m.bernoulli(to_numpy(p), dtype=NUMPY[p_dtype]), torch.bernoulli(p, generator=g))
        assert_same_bits(m.bernoulli(to_numpy(p), (3, n), np.int8), torch.empty(3, n, dtype=torch.int8).bernoulli_(p, generator=g))
        assert_same_state(m, g)


@pytest.mark.parametrize("dtype", FLOATS)
def test_dropout_mask(dtype):
    torch.manual_seed(8)
    dropped = torch.nn.functional.dropout(torch.ones(40, 25, dtype=dtype), 0.3)
    np.testing.assert_array_equal(to_numpy(dropped) != 0, MT19937(8).bernoulli(1 - 0.3, (40, 25), np.bool_))


@pytest.mark.parametrize("dtype", (*FLOATS, *INTS, torch.bool))
def test_random_without_bounds(dtype):
    for n in (*SIZES, LARGE):
        g, m = both(n)
        assert_same_bits(m.random_(n, NUMPY[dtype]), torch.empty(n, dtype=dtype).random_(generator=g))
        assert_same_state(m, g)


@pytest.mark.parametrize("dtype", (*FLOATS, *INTS, torch.bool, torch.uint16, torch.uint32))
def test_random_from(dtype):
    g, m = both(1)
    assert_same_bits(m.random_(50, NUMPY[dtype], 1), torch.empty(50, dtype=dtype).random_(1, None, generator=g))
    assert_same_state(m, g)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16, torch.int64))
def test_random_of_all_64_bits(dtype):
    g, m = both(1)
    assert_same_bits(m.random_(50, NUMPY[dtype], -(2**63)), torch.empty(50, dtype=dtype).random_(-(2**63), None, generator=g))
    assert_same_state(m, g)


RANGES = [(0, 10), (3, 100), (-30000, 30000), (0, 2**28 - 1), (0, 2**28), (5, 2**31 - 1), (-(2**40), 2**50 + 3), (-(2**63), 2**63 - 1)]


@pytest.mark.filterwarnings("ignore:.*out of bounds:UserWarning")
@pytest.mark.parametrize("dtype", (*FLOATS, *INTS, torch.uint16, torch.uint32, torch.uint64))
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_randint(dtype, low, high):
    g, m = both(1)
    try:
        theirs = torch.randint(low, high, (1000,), dtype=dtype, generator=g)
    except RuntimeError as error:
        with pytest.raises(RuntimeError, match=str(error).splitlines()[0]):
            m.randint(low, high, 1000, NUMPY[dtype])
    else:
        assert_same_bits(m.randint(low, high, 1000, NUMPY[dtype]), theirs)
    assert_same_state(m, g)


@pytest.mark.filterwarnings("ignore:.*out of bounds:UserWarning")
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FLOATS), st.integers(-70000, 70000) | st.integers(-(2**63), 2**63 - 2), st.integers(1, 2000) | st.integers(1, 2**63))
def test_randint_of_floats_keeps_to_representable_bounds(dtype, low, width):
    high = min(low + width, 2**63 - 1)
    g, m = both(1)
    try:
        theirs = torch.empty(20, dtype=dtype).random_(low, high, generator=g)
    except RuntimeError as error:
        with pytest.raises(RuntimeError) as ours:
            m.random_(20, NUMPY[dtype], low, high)
        assert str(ours.value).startswith(str(error).splitlines()[0])
    else:
        assert_same_bits(m.random_(20, NUMPY[dtype], low, high), theirs)


def test_randint_warns_beyond_the_significand():
    with pytest.warns(UserWarning, match=r"to - 1 is out of bounds \[-\(2\^11\), 2\^11\]. Due to precision limitations c10::Half"):
        MT19937(0).randint(0, 5000, 3, np.float16)


def test_randperm():
    for n in (*SIZES, LARGE):
        g, m = both(n)
        assert_same_bits(m.randperm(n), torch.randperm(n, generator=g))
        assert_same_state(m, g)
    for dtype in (*FLOATS, *INTS):
        assert_same_bits(m.randperm(100, NUMPY[dtype]), torch.randperm(100, dtype=dtype, generator=g))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("draw", "theirs"),
    [
        (lambda m, n, d: m.exponential(n, d, 1.7), lambda t, g: t.exponential_(1.7, generator=g)),
        (lambda m, n, d: m.cauchy(n, d, 0.3, 1.7), lambda t, g: t.cauchy_(0.3, 1.7, generator=g)),
        (lambda m, n, d: m.log_normal(n, d, 0.3, 1.7), lambda t, g: t.log_normal_(0.3, 1.7, generator=g)),
        (lambda m, n, d: m.geometric(n, 0.2, d), lambda t, g: t.geometric_(0.2, generator=g)),
    ],
    ids=["exponential", "cauchy", "log_normal", "geometric"],
)
def test_transformed_uniforms(dtype, draw, theirs):
    for n in (*SIZES, LARGE):
        g, m = both(n)
        expected = theirs(torch.empty(n, dtype=dtype), g)
        ours = draw(m, n, NUMPY[dtype])
        if n <= 64 or dtype in (torch.float16, torch.bfloat16):
            assert_same_bits(ours, expected)
        else:
            assert_close(ours, expected, ulps=16 if dtype == torch.float64 else 1)
        assert_same_state(m, g, exact=False)


@pytest.mark.parametrize("dtype", INTS)
def test_geometric_of_integers(dtype):
    g, m = both(6)
    assert_same_bits(m.geometric(1000, 0.2, NUMPY[dtype]), torch.empty(1000, dtype=dtype).geometric_(0.2, generator=g))


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64, torch.bfloat16))
@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial(dtype, replacement):
    torch.manual_seed(0)
    for shape in ((50,), (3, 50)):
        p = torch.rand(shape).to(dtype)
        for k in (1, 5, 40) if dtype != torch.bfloat16 or replacement else (1,):  # topk's order among bfloat16 ties is unspecified
            g, m = both(k)
            assert_same_bits(m.multinomial(to_numpy(p), k, replacement), torch.multinomial(p, k, replacement, generator=g))
            assert_same_state(m, g)


# --- sequences -------------------------------------------------------------------------------------------------------------------


def test_uniforms_do_not_disturb_the_kept_normal():
    g, m = both(11)
    for n in (3, 1, 20, 1, 5, 16, 2):
        assert_close(m.normal(n), torch.randn(n, generator=g))
        assert_same_bits(m.uniform(2), torch.rand(2, generator=g))
        assert_same_state(m, g)


SMALL = st.integers(0, 40)
DRAWS = st.one_of(
    st.tuples(st.just("uniform"), SMALL, st.sampled_from(FLOATS)),
    st.tuples(st.just("normal"), SMALL, st.sampled_from(FLOATS)),
    st.tuples(st.just("log_normal"), SMALL, st.sampled_from(FLOATS)),
    st.tuples(st.just("exponential"), SMALL, st.sampled_from(FLOATS)),
    st.tuples(st.just("bernoulli"), SMALL, st.sampled_from((*FLOATS, *INTS))),
    st.tuples(st.just("random_"), SMALL, st.sampled_from((*FLOATS, *INTS))),
    st.tuples(st.just("randperm"), SMALL, st.sampled_from(INTS)),
    st.tuples(st.just("seed"), SMALL, st.none()),
    st.tuples(st.just("state"), SMALL, st.none()),
)


def in_torch(g, name, n, dtype):
    if name == "randperm":
        return torch.randperm(n, dtype=dtype, generator=g)
    arguments = (0.3,) if name == "bernoulli" else ()
    return getattr(torch.empty(n, dtype=dtype), f"{name.removesuffix('_')}_")(*arguments, generator=g)


def in_ours(m, name, n, dtype):
    return m.bernoulli(0.3, n, NUMPY[dtype]) if name == "bernoulli" else getattr(m, name)(n, NUMPY[dtype])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**64 - 1), st.lists(DRAWS, max_size=12))
def test_any_sequence_of_draws(seed, draws):
    g, m = both(seed)
    for name, n, dtype in draws:
        if name == "seed":
            g.manual_seed(n)
            m.seed(n)
        elif name == "state":
            m.set_state(g.get_state().numpy())
        else:
            assert_close(in_ours(m, name, n, dtype), in_torch(g, name, n, dtype))
        assert_same_state(m, g)


# --- errors ----------------------------------------------------------------------------------------------------------------------

WRONG = [
    (lambda m: m.uniform(2, low=2, high=1), lambda: torch.empty(2).uniform_(2, 1)),
    (lambda m: m.uniform(2, low=0, high=1e39), lambda: torch.empty(2).uniform_(0, 1e39)),
    (lambda m: m.uniform(2, np.float16, -1e5, 1), lambda: torch.empty(2, dtype=torch.half).uniform_(-1e5, 1)),
    (lambda m: m.uniform(2, np.float16, -65504, 65504), lambda: torch.empty(2, dtype=torch.half).uniform_(-65504, 65504)),
    (lambda m: m.uniform(2, np.int32), lambda: torch.empty(2, dtype=torch.int32).uniform_()),
    (lambda m: m.normal(2, std=-1), lambda: torch.empty(2).normal_(0, -1)),
    (lambda m: m.normal(2, np.int64), lambda: torch.empty(2, dtype=torch.int64).normal_()),
    (lambda m: m.bernoulli(2, 2), lambda: torch.empty(2).bernoulli_(2)),
    (lambda m: m.bernoulli(np.array([2.0])), lambda: torch.bernoulli(torch.tensor([2.0]).double())),
    (lambda m: m.bernoulli(np.array([2])), lambda: torch.bernoulli(torch.tensor([2]))),
    (lambda m: m.randint(5, 5, 2), lambda: torch.randint(5, 5, (2,))),
    (lambda m: m.randint(0, 300, 2, np.uint8), lambda: torch.randint(300, (2,), dtype=torch.uint8)),
    (lambda m: m.randint(-1, 3, 2, np.uint8), lambda: torch.randint(-1, 3, (2,), dtype=torch.uint8)),
    (lambda m: m.randint(0, 70000, 2, np.float16), lambda: torch.randint(0, 70000, (2,), dtype=torch.half)),
    (lambda m: m.randint(0, 2**63, 2), lambda: torch.randint(0, 2**63, (2,))),
    (lambda m: m.random_(2, np.float16, 5000), lambda: torch.empty(2, dtype=torch.half).random_(5000, None)),
    (lambda m: m.random_(2, np.uint16), lambda: torch.empty(2, dtype=torch.uint16).random_()),
    (lambda m: m.random_(2, np.int32, -(2**63)), lambda: torch.empty(2, dtype=torch.int32).random_(-(2**63), None)),
    (lambda m: m.random_(2, np.float16, -(2**63)), lambda: torch.empty(2, dtype=torch.half).random_(-(2**63), None)),
    (lambda m: m.random_(2, np.complex64, 0, 3), lambda: torch.empty(2, dtype=torch.complex64).random_(0, 3)),
    (lambda m: m.randperm(-1), lambda: torch.randperm(-1)),
    (lambda m: m.randperm(3000, np.float16), lambda: torch.randperm(3000, dtype=torch.half)),
    (lambda m: m.randperm(300, np.uint8), lambda: torch.randperm(300, dtype=torch.uint8)),
    (lambda m: m.randperm(3, np.bool_), lambda: torch.randperm(3, dtype=torch.bool)),
    (lambda m: m.exponential(2, lambd=-1), lambda: torch.empty(2).exponential_(-1)),
    (lambda m: m.exponential(2, np.int64), lambda: torch.empty(2, dtype=torch.int64).exponential_()),
    (lambda m: m.cauchy(2, sigma=-1), lambda: torch.empty(2).cauchy_(0, -1)),
    (lambda m: m.cauchy(2, np.int64), lambda: torch.empty(2, dtype=torch.int64).cauchy_()),
    (lambda m: m.log_normal(2, std=0), lambda: torch.empty(2).log_normal_(0, 0)),
    (lambda m: m.geometric(2, 1.0), lambda: torch.empty(2).geometric_(1.0)),
    (lambda m: m.geometric(2, 0.5, np.bool_), lambda: torch.empty(2, dtype=torch.bool).geometric_(0.5)),
    (lambda m: m.multinomial(np.array([0.1, 0.2]), 3), lambda: torch.multinomial(torch.tensor([0.1, 0.2]), 3)),
    (lambda m: m.multinomial(np.array([-0.1, 0.2]), 2), lambda: torch.multinomial(torch.tensor([-0.1, 0.2]), 2)),
    (lambda m: m.multinomial(np.array([-0.1, 0.2]), 2, True), lambda: torch.multinomial(torch.tensor([-0.1, 0.2]), 2, True)),
    (lambda m: m.multinomial(np.zeros(2), 2), lambda: torch.multinomial(torch.zeros(2), 2)),
    (lambda m: m.multinomial(np.array([1, 2]), 1), lambda: torch.multinomial(torch.tensor([1, 2]), 1)),
    (lambda m: m.multinomial(np.ones((1, 1, 1)), 1), lambda: torch.multinomial(torch.ones(1, 1, 1), 1)),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_wrong_arguments_raise_what_torch_raises(case):
    ours, theirs = WRONG[case]
    with pytest.raises((RuntimeError, NotImplementedError, ValueError)) as expected:
        theirs()
    with pytest.raises(expected.type) as raised:
        ours(MT19937(0))
    assert type(raised.value) is expected.type
    opening = str(expected.value).splitlines()[0].split("  (Could")[0].rstrip(".")
    assert opening in str(raised.value)


def test_overflow_is_silent_infinity_as_in_torch():
    g, m = both(0)
    for n in (5, 100):
        assert_same_bits(m.log_normal(n, np.float16, 1000.0, 1.0), torch.empty(n, dtype=torch.half).log_normal_(1000, 1, generator=g))
        assert_same_bits(m.normal(n, np.float16, 0.0, 1e30), torch.empty(n, dtype=torch.half).normal_(0, 1e30, generator=g))


# --- rounding --------------------------------------------------------------------------------------------------------------------


def exact_fma(a, b, c, dtype):
    """a·b + c rounded once, by rational arithmetic (Python rounds a fraction to float64 correctly)."""
    from fractions import Fraction

    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if dtype == np.float64:
        return float(exact)
    near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return min(around, key=lambda v: (abs(Fraction(float(v)) - exact), int(v.view(np.uint32)) & 1))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([np.float32, np.float64]), *[st.floats(-8, 8, width=32).filter(lambda v: v == 0 or abs(v) > 1e-20)] * 3)
def test_fma_rounds_once(dtype, a, b, c):
    rng = np.random.default_rng(abs(hash((a, b, c))) % 2**32)
    values = (np.float64(a) * rng.random(20)).astype(dtype)
    b, c = dtype(b * (1 + 1e-9)), dtype(c * (1 - 1e-9))
    ours = (fma32 if dtype == np.float32 else fma64)(values, b, c)
    assert ours.tolist() == [float(exact_fma(v, b, c, dtype)) for v in values]


def test_fma32_at_a_tie_that_float64_cannot_see():
    """1 + 2^-24·(1 ± 2^-40) rounds to 1 + 2^-24 in float64, a midpoint in float32; only the exact tail says up or down."""
    up, down = np.float32(1 + 2**-20), np.float32(1 - 2**-20)
    a = np.array([up * np.float32(2**-12)], np.float32)
    ours = [float(fma32(a, b * np.float32(2**-12), np.float32(1))[0]) for b in (up, down)]
    assert ours == [1 + 2**-23, 1.0]
    values = np.array([2.0**-24 * (1 + 2**-23)], np.float32)  # times 1 − 2^-23: 2^-24·(1 − 2^-46), below the midpoint by 2^-70
    assert fma32(values, np.float32(1 - 2**-23), np.float32(1))[0] == 1.0
