"""What distributions are composed with, against PyTorch's: mixtures, transforms, constraints, the divergence of each pair of families."""

import jax
import pytest
import torch
from distribution_parameters import COVARIANCE, LOC, LOGITS, SCORES, SHARES, A, B, attempt, made
from twin import same, same_error

import funnn.torch as shim

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="samples are those of PyTorch's CPU generator")


# -- made of others


def test_independent_and_mixture():
    def program(t):
        d = t.distributions
        weights, loc = t.tensor(LOGITS, requires_grad=True), t.tensor(LOC, requires_grad=True)
        mixture = d.MixtureSameFamily(d.Categorical(logits=weights), d.Normal(loc, t.tensor(B)))
        several = d.Independent(d.Normal(t.tensor([LOC, LOC, B]), 1.0), 1)
        vectors = d.MixtureSameFamily(d.Categorical(t.tensor([0.2, 0.5, 0.3])), several)
        print(mixture, several, vectors, mixture.support, several.support, vectors.batch_shape, vectors.event_shape, several.has_rsample)
        sample = mixture.sample((3,))
        log_prob = mixture.log_prob(sample)
        found = [sample, log_prob, mixture.cdf(sample), mixture.mean, mixture.variance, *t.autograd.grad(log_prob.sum(), [weights, loc])]
        points = vectors.sample((3,))
        found += [points, vectors.log_prob(points), vectors.mean, vectors.variance, several.entropy(), several.mean, several.rsample()]
        wide = vectors.expand((3,))
        return [*found, wide.sample(), wide.log_prob(points), several.expand((2, 3)).log_prob(points[0])]

    same(program)


def test_transformed():
    def program(t):
        d = t.distributions
        scale = t.tensor(B, requires_grad=True)
        base = d.Normal(t.tensor(LOC), scale)
        squashed = d.TransformedDistribution(base, [d.AffineTransform(0.5, -2.0), d.TanhTransform(cache_size=1)])
        print(squashed, squashed.support, squashed.has_rsample, squashed.batch_shape)
        sample = squashed.rsample((3,))
        log_prob = squashed.log_prob(sample)
        shares = d.TransformedDistribution(base, d.StickBreakingTransform())
        print(shares.batch_shape, shares.event_shape, shares.support)
        point = shares.sample((3,))
        found = [sample, log_prob, *t.autograd.grad(log_prob.sum(), scale), point, shares.log_prob(point)]
        return [*found, squashed.cdf(sample), squashed.icdf(t.tensor([0.1, 0.7])), squashed.expand((3, 2)).sample()]

    same(program, tolerance=(1e-4, 1e-5))  # atanh near 1


# -- divergence

FAMILIES = {
    "Bernoulli": ({"probs": [0.2, 0.7]}, {"logits": [0.3, -0.5]}),
    "Beta": ({"concentration1": A, "concentration0": B}, {"concentration1": B, "concentration0": A}),
    "Binomial": ({"total_count": 3, "probs": [0.2, 0.7]}, {"total_count": 3, "probs": [0.4, 0.6]}),
    "Categorical": ({"probs": SHARES}, {"logits": SCORES}),
    "Cauchy": ({"loc": LOC, "scale": B}, {"loc": B, "scale": A}),
    "ContinuousBernoulli": ({"probs": [0.2, 0.7]}, {"probs": [0.6, 0.5]}),
    "Dirichlet": ({"concentration": [A, B]}, {"concentration": [B, A]}),
    "Exponential": ({"rate": A}, {"rate": B}),
    "Gamma": ({"concentration": A, "rate": B}, {"concentration": B, "rate": A}),
    "Geometric": ({"probs": [0.2, 0.7]}, {"probs": [0.4, 0.6]}),
    "Gumbel": ({"loc": LOC, "scale": B}, {"loc": B, "scale": A}),
    "HalfNormal": ({"scale": A}, {"scale": B}),
    "Laplace": ({"loc": LOC, "scale": B}, {"loc": B, "scale": A}),
    "LogNormal": ({"loc": LOC, "scale": B}, {"loc": B, "scale": A}),
    "LowRankMultivariateNormal": (
        {"loc": [0.1, 0.2, 0.3], "cov_factor": [[1.0], [0.5], [-0.3]], "cov_diag": [0.5, 0.2, 1.0]},
        {"loc": [0.4, 0.0, 0.3], "cov_factor": [[0.3], [0.5], [0.7]], "cov_diag": [1.5, 0.7, 1.0]},
    ),
    "MultivariateNormal": (
        {"loc": [0.1, 0.2, 0.3], "covariance_matrix": COVARIANCE},
        {"loc": [0.4, 0.0, 0.3], "scale_tril": [[1.0, 0, 0], [0.5, 2.0, 0], [-1.0, 0.3, 0.6]]},
    ),
    "Normal": ({"loc": LOC, "scale": B}, {"loc": B, "scale": A}),
    "OneHotCategorical": ({"probs": SHARES}, {"logits": SCORES}),
    "Pareto": ({"scale": [0.4, 0.6], "alpha": [2.5, 1.5]}, {"scale": [0.3, 0.7], "alpha": B}),
    "Poisson": ({"rate": A}, {"rate": B}),
    "Uniform": ({"low": [0.5, 0.1], "high": [0.8, 0.9]}, {"low": [-0.5, 0.2], "high": [1.5, 3.0]}),
}
PAIRS = sorted(
    (p.__name__, q.__name__)
    for p, q in torch.distributions.kl._KL_REGISTRY
    if p.__name__ not in ("Independent", "TransformedDistribution", "ExponentialFamily")
)
PAIRS.append(("LogNormal", "LogNormal"))


@pytest.mark.parametrize("p_name", FAMILIES)
def test_divergence(p_name):
    """Every pair that PyTorch registers, by the first type."""
    pairs = [q for p, q in PAIRS if p == p_name]
    assert pairs

    def program(t):
        with t.no_grad():
            p = made(t, p_name, FAMILIES[p_name][0])
            return {name: t.distributions.kl_divergence(p, made(t, name, FAMILIES[name][1])) for name in pairs}

    same(program, (1e-4, 1e-5))  # differences of terms that cancel, summed in another order


def test_uniform_at_the_bounds_of_a_continuous_bernoulli():
    """PyTorch gives infinity where the bounds are equal; the divergence is finite, as for Beta(1, 1), which is the same distribution."""
    d = shim.distributions
    half = d.ContinuousBernoulli(shim.tensor(0.3))
    for uniform in (d.Uniform(0.0, 1.0), d.Beta(1.0, 1.0)):
        assert abs(float(d.kl_divergence(uniform, half)) - 0.0290) < 1e-3
    assert abs(float(d.kl_divergence(half, d.Uniform(0.0, 1.0))) + float(half.entropy())) < 1e-6


def test_divergence_of_compositions_and_of_new_types():
    def program(t):
        d = t.distributions

        class Mine(d.Normal):
            pass

        class Other(d.Distribution):
            arg_constraints = {}  # noqa: RUF012

        @d.register_kl(Mine, Other)
        def divergence(p, q):
            return p.scale * 2

        p, q = d.Normal(t.tensor(LOC), 1.0), d.Normal(0.0, t.tensor(B))
        of_vectors = d.kl_divergence(d.Independent(p, 1), d.Independent(q, 1))
        as_family = d.kl_divergence(d.Exponential(t.tensor(A)), d.Exponential(t.tensor(B)))
        return of_vectors, as_family, d.kl_divergence(Mine(0.0, 3.0), Other()), d.kl_divergence(Mine(0.0, 1.0), q)

    same(program)
    same_error(lambda t: t.distributions.kl_divergence(*[t.distributions.StudentT(2.0)] * 2), NotImplementedError, "KL")
    same_error(
        lambda t: t.distributions.kl_divergence(t.distributions.Bernoulli(0.5), t.distributions.Normal(0.0, 1.0)), NotImplementedError, "KL"
    )
    same_error(lambda t: t.distributions.register_kl(3, t.distributions.Normal), TypeError, "type_p|issubclass")


def test_exponential_family():
    """Entropy and divergence from the log normaliser alone."""

    def program(t):
        class Rate(t.distributions.ExponentialFamily):
            arg_constraints = {"rate": t.distributions.constraints.positive}  # noqa: RUF012
            _mean_carrier_measure = 0

            def __init__(self, rate):
                self.rate = rate
                super().__init__(rate.shape)

            @property
            def _natural_params(self):
                return (-self.rate,)

            def _log_normalizer(self, x):
                return -t.log(-x)

        p, q = Rate(t.tensor(A)), Rate(t.tensor(B))
        print(p)
        return p.entropy(), t.distributions.kl_divergence(p, q)

    same(program)


# -- constraints and transforms

VECTOR, MATRIX = [0.2, 0.3, 0.5], [[1.0, 0.0], [0.6, 0.8]]
CHECKS = {
    "boolean": [0.0, 1.0, 2.0],
    "positive": [0.0, 1.0],
    "nonnegative": [-1.0, 0.0],
    "nonnegative_integer": [0.0, 1.5, -1.0],
    "positive_integer": [0.0, 1.0],
    "real": [1.0, float("nan")],
    "real_vector": [[1.0, 2.0], [float("nan"), 0.0]],
    "unit_interval": [0.0, 1.0, 1.1],
    "simplex": [VECTOR, [0.5, 0.6, -0.1]],
    "one_hot": [[0.0, 1.0], [1.0, 1.0]],
    "lower_triangular": [MATRIX, [[1.0, 1.0], [0.0, 1.0]]],
    "lower_cholesky": [MATRIX, [[-1.0, 0.0], [0.0, 1.0]]],
    "corr_cholesky": [MATRIX, [[1.0, 0.0], [0.6, 0.9]]],
    "square": [MATRIX],
    "symmetric": [[[1.0, 0.5], [0.5, 1.0]]],
    "positive_semidefinite": [[[1.0, 0.5], [0.5, 1.0]], [[1.0, 2.0], [2.0, 1.0]]],
    "positive_definite": [[[1.0, 0.5], [0.5, 1.0]], [[1.0, 2.0], [2.0, 1.0]]],
}
BOUNDED = {
    "greater_than": (1.0,),
    "greater_than_eq": (1.0,),
    "less_than": (1.0,),
    "interval": (0.0, 1.0),
    "half_open_interval": (0.0, 1.0),
    "integer_interval": (0, 1),
}


def test_constraints():
    def program(t):
        c = t.distributions.constraints
        found = {}
        for name, value in CHECKS.items():
            constraint = getattr(c, name)
            print(constraint, constraint.is_discrete, constraint.event_dim)
            found[name] = constraint.check(t.tensor(value))
        for name, bounds in BOUNDED.items():
            print(getattr(c, name)(*bounds))
            found[name] = getattr(c, name)(*bounds).check(t.tensor([-0.5, 0.0, 0.5, 1.0, 1.5]))
        found["multinomial"] = c.multinomial(2).check(t.tensor([[1.0, 1.0], [2.0, 1.0]]))
        found["independent"] = c.independent(c.positive, 1).check(t.tensor([[1.0, 1.0], [2.0, -1.0]]))
        found["cat"] = c.cat([c.positive, c.real], 0, [1, 2]).check(t.tensor([-1.0, -1.0, 1.0]))
        found["stack"] = c.stack([c.positive, c.real], -1).check(t.tensor([[-1.0, -1.0], [1.0, 1.0]]))
        print(c.dependent, c.is_dependent(c.dependent), c.is_dependent(t.distributions.Uniform.support), c.dependent(event_dim=1).event_dim)
        return found

    same(program)
    same_error(lambda t: t.distributions.constraints.dependent.check(t.ones(1)), ValueError, "dependent")
    same_error(lambda t: t.distributions.constraints.dependent.event_dim, NotImplementedError, "event_dim")
    same_error(lambda t: t.distributions.constraints.independent(t.distributions.constraints.real, 1).check(t.ones(())), ValueError, "dim")


TRANSFORMS = {
    "exp": (lambda d: d.ExpTransform(), SCORES),
    "power": (lambda d: d.PowerTransform(1.5), SHARES),
    "sigmoid": (lambda d: d.SigmoidTransform(), SCORES),
    "softplus": (lambda d: d.SoftplusTransform(), SCORES),
    "tanh": (lambda d: d.TanhTransform(), SCORES),
    "affine": (lambda d: d.AffineTransform(0.5, -2.0), SCORES),
    "affine of vectors": (lambda d: d.AffineTransform(0.5, d.Normal(0.0, 1.0).expand((3,)).mean - 2.0, event_dim=1), SCORES),
    "abs": (lambda d: d.AbsTransform(), SCORES),
    "softmax": (lambda d: d.SoftmaxTransform(), SCORES),
    "stick breaking": (lambda d: d.StickBreakingTransform(), SCORES),
    "lower cholesky": (lambda d: d.LowerCholeskyTransform(), COVARIANCE),
    "positive definite": (lambda d: d.PositiveDefiniteTransform(), COVARIANCE),
    "correlation": (lambda d: d.CorrCholeskyTransform(), SCORES),
    "distribution": (lambda d: d.CumulativeDistributionTransform(d.Normal(0.2, 1.5)), SCORES),
    "independent": (lambda d: d.IndependentTransform(d.ExpTransform(), 1), SCORES),
    "reshape": (lambda d: d.ReshapeTransform((2, 3), (6,)), SCORES),
    "cat": (lambda d: d.CatTransform([d.ExpTransform(), d.AffineTransform(1.0, 2.0)], -1, [2, 1]), SCORES),
    "stack": (lambda d: d.StackTransform([d.ExpTransform(), d.SigmoidTransform()], 0), SCORES),
    "composed": (lambda d: d.ComposeTransform([d.AffineTransform(0.1, 0.5), d.ExpTransform(), d.PowerTransform(2.0).inv]), SCORES),
    "numbers, then vectors": (lambda d: d.ComposeTransform([d.SigmoidTransform(), d.StickBreakingTransform()]), SCORES),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform(name):
    make, value = TRANSFORMS[name]

    def program(t):
        transform = make(t.distributions)
        x = t.tensor(value)
        print(transform, transform.inv, transform.bijective, transform.domain, transform.codomain, attempt(lambda: transform.sign))
        y = transform(x)
        print(
            transform.forward_shape(x.shape),
            transform.inverse_shape(y.shape),
            transform.inv.inv is transform,
            transform == make(t.distributions),
        )
        slope = attempt(lambda: transform.log_abs_det_jacobian(x, y))
        back = attempt(lambda: transform.inv.log_abs_det_jacobian(y, x))
        return y, transform.inv(y), slope, back

    same(program, (1e-4, 1e-5))  # logarithms of differences


def test_cache_of_transforms():
    def program(t):
        for transform in (t.distributions.ExpTransform(cache_size=1), t.distributions.ExpTransform().with_cache()):
            x = t.randn(2, 3)
            y = transform(x)
            print(transform.inv(y) is x, transform(x) is y, transform.inv.inv is transform, transform.with_cache(0).inv(y) is x)

    same(program)
    same_error(lambda t: t.distributions.ExpTransform(cache_size=2), ValueError, "cache_size")


def test_transforms_to_constraints():
    def program(t):
        c, d = t.distributions.constraints, t.distributions
        regions = [
            c.real,
            c.positive,
            c.greater_than(2.0),
            c.less_than(1.0),
            c.unit_interval,
            c.interval(-1.0, 2.0),
            c.simplex,
            c.real_vector,
        ]
        regions += [c.independent(c.positive, 1), c.cat([c.real, c.positive], 0), c.stack([c.real, c.positive], 0)]
        found = []
        for registry in (d.biject_to, d.transform_to):
            for region in regions:
                transform = registry(region)
                print(region, transform)
                found.append(transform(t.tensor(SCORES)))
        return [*found, d.transform_to(c.positive_definite)(t.tensor(COVARIANCE)), d.biject_to(c.corr_cholesky)(t.tensor(SCORES))]

    same(program)
    same_error(lambda t: t.distributions.biject_to(t.distributions.constraints.boolean), NotImplementedError, "_Boolean")
