"""torch.distributions against PyTorch's: one table of cases for what every distribution has."""

import jax
import numpy as np
import pytest
import torch
from distribution_parameters import COVARIANCE, LOC, LOGITS, PROBS, SCORES, SHARES, A, B, attempt, gradients, leaves, made
from twin import same, same_error

import funnn.torch as shim

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="samples are those of PyTorch's CPU generator")

# (class, parameters): lists become leaves that require a gradient
CASES = [
    ("Normal", {"loc": LOC, "scale": B}),
    ("LogNormal", {"loc": LOC, "scale": B}),
    ("Laplace", {"loc": LOC, "scale": B}),
    ("Cauchy", {"loc": LOC, "scale": B}),
    ("Gumbel", {"loc": LOC, "scale": B}),
    ("StudentT", {"df": [0.8, 5.0], "loc": LOC, "scale": B}),
    ("StudentT", {"df": [1.5, 3.0]}),
    ("VonMises", {"loc": LOC, "concentration": A}),
    ("HalfNormal", {"scale": B}),
    ("HalfCauchy", {"scale": B}),
    ("Exponential", {"rate": A}),
    ("Gamma", {"concentration": A, "rate": B}),
    ("InverseGamma", {"concentration": [0.9, 3.5], "rate": B}),
    ("Chi2", {"df": A}),
    ("Weibull", {"scale": B, "concentration": A}),
    ("Pareto", {"scale": B, "alpha": A}),
    ("GeneralizedPareto", {"loc": LOC, "scale": B, "concentration": [0.3, -0.4]}),
    ("FisherSnedecor", {"df1": [1.5, 4.0], "df2": [3.0, 6.0]}),
    ("Uniform", {"low": LOC, "high": [1.0, 0.5]}),
    ("Beta", {"concentration1": A, "concentration0": B}),
    ("Kumaraswamy", {"concentration1": A, "concentration0": B}),
    ("ContinuousBernoulli", {"probs": PROBS}),
    ("ContinuousBernoulli", {"logits": [0.001, 1.0]}),
    ("RelaxedBernoulli", {"temperature": [0.6], "probs": PROBS}),
    ("RelaxedBernoulli", {"temperature": [0.6], "logits": LOGITS}),
    ("Dirichlet", {"concentration": [[0.5, 2.0], [9.0, 7.0]]}),
    ("Dirichlet", {"concentration": [[0.5, 0.2], [2.0, 0.4]]}),
    ("LogisticNormal", {"loc": LOC, "scale": B}),
    ("RelaxedOneHotCategorical", {"temperature": [0.6], "probs": SHARES}),
    ("RelaxedOneHotCategorical", {"temperature": [0.6], "logits": SCORES}),
    ("Bernoulli", {"probs": PROBS}),
    ("Bernoulli", {"logits": LOGITS}),
    ("Geometric", {"probs": PROBS}),
    ("Geometric", {"logits": LOGITS}),
    ("Poisson", {"rate": [0.7, 30.0]}),
    ("Binomial", {"total_count": 5, "probs": PROBS}),
    ("Binomial", {"total_count": [5.0, 60.0], "logits": LOGITS}),
    ("NegativeBinomial", {"total_count": 3, "probs": PROBS}),
    ("NegativeBinomial", {"total_count": [3.0, 0.5], "logits": LOGITS}),
    ("Categorical", {"probs": SHARES}),
    ("Categorical", {"logits": SCORES}),
    ("OneHotCategorical", {"probs": SHARES}),
    ("OneHotCategoricalStraightThrough", {"logits": SCORES}),
    ("Multinomial", {"total_count": 4, "probs": SHARES}),
    ("Multinomial", {"total_count": 4, "logits": SCORES}),
    ("MultivariateNormal", {"loc": [0.1, 0.2, 0.3], "covariance_matrix": COVARIANCE}),
    ("MultivariateNormal", {"loc": [0.1, 0.2, 0.3], "precision_matrix": COVARIANCE}),
    ("MultivariateNormal", {"loc": [0.1, 0.2, 0.3], "scale_tril": [[1.0, 0, 0], [0.5, 2.0, 0], [-1.0, 0.3, 0.6]]}),
    ("LowRankMultivariateNormal", {"loc": [0.1, 0.2, 0.3], "cov_factor": [[1.0], [0.5], [-0.3]], "cov_diag": [0.5, 0.2, 1.0]}),
    ("Wishart", {"df": [4.5, 6.0], "covariance_matrix": COVARIANCE}),
    ("Wishart", {"df": [3.2, 5.0], "precision_matrix": COVARIANCE}),
    ("Wishart", {"df": 4, "scale_tril": [[1.0, 0, 0], [0.5, 2.0, 0], [-1.0, 0.3, 0.6]]}),
    ("LKJCholesky", {"dim": 3, "concentration": [0.8, 2.5]}),
    ("LKJCholesky", {"dim": 2}),
]
# Both libraries have these to fewer digits than the others: a fitted quotient in PyTorch's Bessel functions, sums that cancel, determinants.
LOOSER = {
    "VonMises": (1e-5, 1e-6),
    "ContinuousBernoulli": (2e-4, 2e-5),
    "FisherSnedecor": (1e-4, 1e-5),
    "Dirichlet": (1e-4, 1e-5),
    "Binomial": (1e-4, 1e-5),  # a difference of digammas of 60, as far from the double's in PyTorch
    "Multinomial": (1e-4, 1e-5),
    "Wishart": (2e-4, 2e-5),
}
#: Of Kumaraswamy, PyTorch's ``mode`` is NaN or 0 everywhere; see test_mode_of_kumaraswamy.
WITHOUT = {"Kumaraswamy": ("mode",)}
#: PyTorch overwrites what the gradient of its ``rsample`` needs; see test_gradient_of_wishart_draws.
NO_PATH = ("Wishart",)


def case_id(case):
    return f"{case[0]}-{'-'.join(case[1])}"


def recorded(value):
    return type(getattr(value, "grad_fn", None)).__name__


@pytest.mark.filterwarnings("ignore:Singular sample")
@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_distribution(case):
    """Text, shapes, samples of a seed, density, moments, cdf, entropy, support; with gradients; and what is not defined."""
    name, parameters = case

    def program(t):
        given = leaves(t, parameters)
        inputs = [value for value in given.values() if isinstance(value, t.Tensor)]
        d = getattr(t.distributions, name)(**given)
        print(d, d.batch_shape, d.event_shape, d.has_rsample, d.has_enumerate_support, d.support, d.arg_constraints)
        sample = d.sample((3,))
        after = t.rand(2)  # the generator has drawn as much
        found = {"sample": sample.detach(), "after": after}
        log_prob = d.log_prob(sample.detach())
        print(recorded(log_prob) if name[:3] != "Low" else "")  # a last factor of -0.5 in PyTorch's low-rank normal, a last difference here
        path = attempt(lambda: d.rsample((3,)))
        found["slopes"] = gradients(t, log_prob, inputs), name not in NO_PATH and gradients(t, path, inputs)
        value, moments = sample.detach(), [key for key in ("mean", "mode", "variance", "stddev") if key not in WITHOUT.get(name, ())]
        with t.no_grad():
            found |= {key: attempt(lambda key=key: getattr(d, key)) for key in moments}
            found |= {key: attempt(getattr(d, key)) for key in ("entropy", "perplexity")}
            found |= {"cdf": attempt(lambda: d.cdf(value)), "icdf": attempt(lambda: d.icdf(t.tensor([0.2, 0.7])))}
            found["support"] = attempt(d.enumerate_support), attempt(lambda: d.enumerate_support(False))
        return found | {"log_prob": log_prob, "rsample": path}

    same(program, LOOSER.get(name))


EXPANDED = (
    "Normal",
    "Gumbel",
    "StudentT",
    "Chi2",
    "Beta",
    "Categorical",
    "Multinomial",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "LKJCholesky",
)


@pytest.mark.parametrize("name", EXPANDED)
def test_expand(name):
    parameters = dict(CASES)[name]

    def program(t):
        d = made(t, name, parameters)
        attempt(lambda: d.variance)  # what was computed once must not stay as it was
        wide = d.expand((3, 2))
        print(wide, wide.batch_shape, wide.event_shape, type(wide).__name__)
        sample = wide.sample()
        return sample, wide.log_prob(sample).detach(), attempt(lambda: wide.mean.detach()), attempt(lambda: wide.variance.detach())

    same(program, LOOSER.get(name))


# -- numbers, and what is drawn


NUMBERS = [
    ("Normal", (0, 1)),
    ("Beta", (2.0, 3.0)),
    ("Bernoulli", (0.3,)),
    ("Gumbel", (0.0, 1.0)),
    ("StudentT", (4.0,)),
    ("Binomial", (3, 0.5)),
]
NUMBERS += [("Poisson", (4,)), ("HalfNormal", (2.0,)), ("Exponential", (1.5,))]


@pytest.mark.parametrize(("name", "arguments"), NUMBERS)
def test_numbers_as_parameters(name, arguments):
    def program(t):
        d = getattr(t.distributions, name)(*arguments)
        print(d, d.batch_shape)
        return d.sample(), d.mean, d.log_prob(t.tensor(1.0) if name != "Beta" else t.tensor(0.5))

    same(program)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_draws_by_rejection(dtype):
    """Every branch: gamma below and above 1, rates around 10, few and many trials, probabilities below and above a half."""

    def program(t):
        numbers = t.from_numpy(np.exp(np.linspace(-3, 5, 64))).to(getattr(t, dtype))
        probs = t.linspace(0.01, 0.99, 64, dtype=getattr(t, dtype))
        drawn = [t._standard_gamma(numbers), t.poisson(numbers), t.binomial((4 * numbers).round(), probs), t.randn(3)]
        return [*drawn, t.get_rng_state()[:5000]]

    same(program, tolerance=(0, 0))


def test_gradient_of_gamma_and_dirichlet_draws():
    """Every region of PyTorch's approximation."""

    def program(t):
        numbers = t.from_numpy(np.exp(np.linspace(-3, 5, 256))).requires_grad_()
        turned = t.cat([numbers[::2].flip(0) + 6, numbers[1::2]])
        drawn = t._standard_gamma(numbers), t.distributions.Beta(numbers, turned).rsample()
        return [gradients(t, values, [numbers]) for values in drawn]

    same(program, tolerance=(1e-8, 1e-10))


def test_second_derivative_of_a_gamma_draw_is_refused():
    def program(t):
        x = t.tensor([2.0], requires_grad=True)
        (slope,) = t.autograd.grad(t._standard_gamma(x).sum(), x, create_graph=True)
        slope.backward()

    same_error(program, (NotImplementedError, RuntimeError), "_standard_gamma_grad")


def test_refused_draws():
    same_error(lambda t: t.poisson(t.tensor([-1.0])), RuntimeError, "invalid Poisson rate")
    same_error(lambda t: t.binomial(t.tensor([3]), t.tensor([0.5])), ValueError, "floating-point dtypes for count")
    same_error(lambda t: t.binomial(t.tensor([3.0]), t.tensor([0.5]).double()), RuntimeError, "Found dtype")


@pytest.mark.filterwarnings("ignore:Singular sample")
def test_gradient_of_wishart_draws():
    """That of PyTorch's own Bartlett decomposition, which its ``rsample`` does twice where the first samples are definite."""

    def program(t):
        given = leaves(t, {"df": [4.5, 6.0], "scale_tril": [[1.0, 0, 0], [0.5, 2.0, 0], [-1.0, 0.3, 0.6]]})
        d = t.distributions.Wishart(**given)
        drawn = [d._bartlett_sampling((2,)) for _ in range(2)][1] if t is torch else d.rsample((2,))
        return drawn.detach(), gradients(t, drawn, list(given.values()))

    same(program)


def test_divergence_of_wishart():
    """Of a batch, PyTorch's sum over the last two dimensions takes in the batch: the single ones stacked."""

    def program(t):
        sigma = t.tensor(COVARIANCE)
        pairs = [(t.distributions.Wishart(df, sigma), t.distributions.Wishart(t.tensor(5.0), 2 * sigma)) for df in t.tensor([4.5, 7.0])]
        single = t.stack([t.distributions.kl_divergence(*pair) for pair in pairs])
        batch = t.distributions.kl_divergence(t.distributions.Wishart(t.tensor([4.5, 7.0]), sigma), pairs[0][1])
        return single, single if t is torch else batch

    same(program, (1e-4, 1e-5))


def test_mode_of_kumaraswamy():
    d = shim.distributions.Kumaraswamy(2.0, 3.0)
    below, top, above = d.log_prob(d.mode + shim.tensor([-0.01, 0.0, 0.01])).tolist()
    assert below < top > above
    assert np.isnan(float(shim.distributions.Kumaraswamy(0.5, 3.0).mode))


# -- what is refused


REFUSED = {
    "parameter outside": (lambda t, d: d.Normal(0.0, -1.0), ValueError, "Expected parameter scale"),
    "bounds crossed": (lambda t, d: d.Uniform(1.0, 0.0), ValueError, "Expected parameter low"),
    "probability": (lambda t, d: d.Bernoulli(1.5), ValueError, "Expected parameter probs"),
    "shares": (lambda t, d: d.Categorical(t.zeros(2)), ValueError, "Expected parameter probs"),
    "a number of categories": (lambda t, d: d.Categorical(t.tensor(1.0)), ValueError, "at least one-dimensional"),
    "neither": (lambda t, d: d.Bernoulli(), ValueError, "Either `probs` or `logits`"),
    "both": (lambda t, d: d.Bernoulli(0.5, 0.2), ValueError, "Either `probs` or `logits`"),
    "a string": (lambda t, d: d.Normal("a", 1.0), ValueError, "Input arguments must all be instances of Number"),
    "shapes": (lambda t, d: d.Normal(t.zeros(2), t.ones(3)), RuntimeError, "size|Shape"),
    "geometric": (lambda t, d: d.Geometric(0.0), ValueError, "probs"),
    "covariances": (lambda t, d: d.MultivariateNormal(t.zeros(2)), ValueError, "Exactly one of"),
    "not definite": (lambda t, d: d.MultivariateNormal(t.zeros(2), -t.eye(2)), ValueError, "PositiveDefinite"),
    "value is a number": (lambda t, d: d.Normal(0.0, 1.0).log_prob(1.0), ValueError, "must be a Tensor"),
    "value outside": (lambda t, d: d.Exponential(1.0).log_prob(t.tensor(-1.0)), ValueError, "within the support"),
    "value is NaN": (lambda t, d: d.Normal(0.0, 1.0).log_prob(t.tensor(float("nan"))), ValueError, "within the support"),
    "value of another event": (lambda t, d: d.Dirichlet(t.ones(2)).log_prob(t.zeros(3)), ValueError, "match event_shape"),
    "value of another batch": (lambda t, d: d.Normal(t.zeros(2), 1.0).log_prob(t.zeros(3)), ValueError, "not broadcastable"),
    "a category too many": (lambda t, d: d.Categorical(t.ones(2)).log_prob(t.tensor(2)), ValueError, "within the support"),
    "expand": (lambda t, d: d.Normal(t.zeros(2, 2), 1.0).expand((3, 2)), RuntimeError, "expand"),
    "two forms": (lambda t, d: d.Wishart(3.0, t.eye(2), t.eye(2)), AssertionError, "Exactly one of"),
    "few degrees of freedom": (lambda t, d: d.Wishart(1.0, t.eye(2)), ValueError, "greater than ndim - 1 = 1"),
    "vector of variances": (lambda t, d: d.Wishart(3.0, t.ones(2)), ValueError, "at least two-dimensional"),
    "correlation of one": (lambda t, d: d.LKJCholesky(1), ValueError, "greater than or equal to 2"),
    "too many dimensions": (lambda t, d: d.Independent(d.Normal(0.0, 1.0), 1), ValueError, "reinterpreted_batch_ndims"),
    "mixture": (lambda t, d: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(t.zeros(2), 1.0)), ValueError, "Mixture distribution"),
    "components": (lambda t, d: d.MixtureSameFamily(d.Categorical(t.ones(3)), d.Normal(t.zeros(2), 1.0)), ValueError, "does not equal"),
    "transforms": (lambda t, d: d.TransformedDistribution(d.Normal(0.0, 1.0), [3]), ValueError, "transforms must be"),
    "counts": (lambda t, d: d.Multinomial(t.tensor(2), t.ones(2)), NotImplementedError, "total_count"),
    "default": (lambda t, d: d.Distribution.set_default_validate_args(3), ValueError, None),
    "no gradient": (lambda t, d: d.Bernoulli(0.5).rsample(), NotImplementedError, None),
    "no integers": (lambda t, d: d.Normal(t.tensor([1]), t.tensor([2])).sample(), NotImplementedError, "Long"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    function, error, text = REFUSED[name]
    same_error(lambda t: function(t, t.distributions), error, text)


def test_without_validation():
    def program(t):
        d = t.distributions
        found = [d.Normal(0.0, -1.0, validate_args=False).mean, d.Exponential(1.0, validate_args=False).log_prob(t.tensor(-1.0))]
        d.Distribution.set_default_validate_args(False)
        try:
            found.append(d.Uniform(1.0, 0.0).mean)
        finally:
            d.Distribution.set_default_validate_args(True)
        return found

    same(program)


def test_every_name_and_module():
    theirs, ours = torch.distributions, shim.distributions
    assert set(theirs.__all__) == set(ours.__all__)
    for name in theirs.__all__:
        kind = getattr(theirs, name)
        if isinstance(kind, type) and issubclass(kind, theirs.Distribution):
            module = kind.__module__.removeprefix("torch.distributions.")
            found = __import__(f"funnn.torch.distributions.{module}", fromlist=[name])
            assert getattr(found, name) is getattr(ours, name), module
    for module in ("constraints", "transforms", "kl", "utils", "constraint_registry"):
        names = getattr(theirs, module).__all__
        assert [name for name in names if not hasattr(getattr(ours, module), name)] == []


# -- programs


def test_reinforce():
    def program(t):
        policy = t.nn.Sequential(t.nn.Linear(4, 8), t.nn.Tanh(), t.nn.Linear(8, 3))
        optimizer = t.optim.Adam(policy.parameters(), lr=0.1)
        for _ in range(3):
            choice = t.distributions.Categorical(logits=policy(t.randn(5, 4)))
            action = choice.sample()
            reward = (action == 1).float()
            log_prob = choice.log_prob(action)
            loss = -(log_prob * (reward - reward.mean())).mean() - 0.01 * choice.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(action, log_prob, f"{loss.item():.4f}")

    same(program)


def test_variational_autoencoder():
    def program(t):
        d = t.distributions
        encoder, decoder = t.nn.Linear(6, 4), t.nn.Linear(2, 6)
        data = t.bernoulli(t.full((5, 6), 0.3))
        optimizer = t.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.05)
        for _ in range(3):
            loc, log_scale = encoder(data).chunk(2, -1)
            posterior = d.Independent(d.Normal(loc, log_scale.exp()), 1)
            prior = d.Independent(d.Normal(t.zeros_like(loc), t.ones_like(loc)), 1)
            code = posterior.rsample()
            likelihood = d.Independent(d.Bernoulli(logits=decoder(code)), 1).log_prob(data)
            loss = (d.kl_divergence(posterior, prior) - likelihood).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(f"{loss.item():.4f}", likelihood)
        return code, decoder.weight.grad, data

    same(program)


@pytest.mark.filterwarnings("ignore:torch.compile of .step.. a value is asked for at")
def test_draws_inside_a_compiled_step():
    """The numbers that a draw depends on are asked for."""

    @shim.compile
    def step(x):
        return shim._standard_gamma(x), shim.poisson(x), shim.binomial(4 * x, x / 6)

    x = shim.full((400,), 3.0)
    first, second = step(x), step(x)
    for values, again, mean, deviation in zip(first, second, (3, 3, 6), (1.74, 1.74, 1.74), strict=True):
        assert bool((values != again).any())
        assert abs(float(values.mean()) - mean) < 0.3 * deviation and abs(float(values.std()) / deviation - 1) < 0.3
