"""torch.nn.utils.prune: the same elements are pruned, again and together, and training goes on with them at zero."""

import importlib

import pytest
from twin import same, same_error


def prune(torch):
    return importlib.import_module(f"{torch.__name__}.nn.utils.prune")


FUNCTIONS = {
    "identity": ("identity", {}),
    "random": ("random_unstructured", {"amount": 3}),
    "l1": ("l1_unstructured", {"amount": 0.4}),
    "random slices": ("random_structured", {"amount": 1, "dim": 1}),
    "slices": ("ln_structured", {"amount": 0.5, "n": 2, "dim": 0}),
    "slices, n = inf": ("ln_structured", {"amount": 1, "n": float("inf"), "dim": -1}),
    "nothing": ("random_structured", {"amount": 0, "dim": 0}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    function, options = FUNCTIONS[name]

    def program(torch):
        model, x = torch.nn.Linear(3, 4), torch.randn(2, 3)
        weight = model.weight
        print(getattr(prune(torch), function)(model, "weight", **options) is model, list(model.state_dict()), prune(torch).is_pruned(model))
        print(model, model.weight_orig is weight, [name for name, _ in model.named_parameters()], model.weight_mask)
        results = []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            results.append(model(x))
            results[-1].square().sum().backward()
            optimizer.step()
        results += [dict(model.named_parameters()), dict(model.named_buffers())]
        other = getattr(prune(torch), function)(torch.nn.Linear(3, 4), "weight", **options)
        print(other.load_state_dict(model.state_dict()))
        results.append(other(x))
        prune(torch).remove(model, "weight")
        print(list(model.state_dict()), model.weight is weight, prune(torch).is_pruned(model), len(model._forward_pre_hooks))
        return [*results, model(x), model.weight]

    same(program)


def test_one_after_the_other():
    def program(torch):
        P = prune(torch)
        model = torch.nn.Conv2d(3, 4, 2)
        P.l1_unstructured(model, "weight", 10)
        P.random_unstructured(model, "weight", amount=0.2)
        P.ln_structured(model, "weight", amount=1, n=1, dim=0)
        P.random_structured(model, "weight", amount=1, dim=-3)
        P.custom_from_mask(model, "weight", torch.arange(48).reshape(4, 3, 2, 2) % 5 > 0)
        P.l1_unstructured(model, "bias", 2, importance_scores=torch.tensor([3.0, -1.0, 0.5, 2.0]))
        hooks = list(model._forward_pre_hooks.values())
        print(
            [type(hook).__name__ for hook in hooks], [type(method).__name__ for method in hooks[0]], len(hooks[0]), hooks[0][1]._tensor_name
        )
        return dict(model.named_buffers()), model(torch.randn(2, 3, 3, 3))

    same(program)


def test_together():
    def program(torch):
        P = prune(torch)
        model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        places = [(model[0], "weight"), (model[2], "weight"), (model[0], "bias")]
        P.global_unstructured(places, P.L1Unstructured, amount=0.3)
        P.global_unstructured(places, P.RandomUnstructured, amount=5)
        P.global_unstructured(places, P.L1Unstructured, {places[0]: torch.ones(4, 3)}, amount=2)
        x = torch.randn(5, 4)
        return dict(model.named_buffers()), P.L1Unstructured(0.5).prune(x), P.LnStructured(1, 2, 0).prune(x, importance_scores=-x)

    same(program)


ERRORS = {
    "amount's type": (lambda t, P: P.L1Unstructured("1"), TypeError, "Invalid type for amount: 1"),
    "amount's range": (lambda t, P: P.RandomUnstructured(1.5), ValueError, "should either be a float in the range"),
    "amount's sign": (lambda t, P: P.RandomStructured(-1), ValueError, "should either be a float in the range"),
    "too many": (
        lambda t, P: P.l1_unstructured(t.nn.Linear(2, 2), "weight", 5),
        ValueError,
        "should be smaller than the number of parameters",
    ),
    "vectors": (lambda t, P: P.random_structured(t.nn.Linear(2, 2), "bias", 1, 0), ValueError, "can only be applied to multidimensional"),
    "dim": (lambda t, P: P.ln_structured(t.nn.Linear(2, 2), "weight", 1, 2, 2), IndexError, "Invalid index 2 for tensor of size"),
    "scores": (
        lambda t, P: P.l1_unstructured(t.nn.Linear(2, 2), "weight", 1, t.ones(2)),
        AssertionError,
        "importance_scores should have the same shape",
    ),
    "not pruned": (lambda t, P: P.remove(t.nn.Linear(2, 2), "weight"), ValueError, "has to be pruned before pruning can be removed"),
    "no attribute": (lambda t, P: P.identity(t.nn.Linear(2, 2), "w"), AttributeError, "has no attribute 'w'"),
    "global and structured": (
        lambda t, P: P.global_unstructured([(t.nn.Linear(2, 2), "weight")], P.LnStructured, amount=1, n=2),
        TypeError,
        'Only "unstr',
    ),
    "global scores": (lambda t, P: P.global_unstructured([], P.Identity, [1]), TypeError, "importance_scores must be of type dict"),
    "global parameters": (lambda t, P: P.global_unstructured(3, P.Identity), TypeError, "parameters is not an Iterable"),
    "container": (lambda t, P: P.PruningContainer().add_pruning_method(3), TypeError, "is not a BasePruningMethod subclass"),
    "another tensor": (
        lambda t, P: named(P.PruningContainer(named(P.Identity(), "a")), "b").add_pruning_method(named(P.Identity(), "c")),
        ValueError,
        "Can only add",
    ),
    "abstract": (lambda t, P: P.BasePruningMethod(), TypeError, "abstract"),
}


def named(method, name):
    method._tensor_name = name
    return method


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    make, error, text = ERRORS[name]
    same_error(lambda torch: make(torch, prune(torch)), error, text)


def test_a_failed_mask_leaves_the_parameter():
    def program(torch):
        model = torch.nn.Linear(2, 2)
        with pytest.raises(ValueError, match="multidimensional"):
            prune(torch).random_structured(model, "bias", 1, 0)
        print(list(model.state_dict()), prune(torch).is_pruned(model))

    same(program)


def test_checks_for_methods_of_ones_own():
    def program(torch):
        P = prune(torch)
        P._validate_pruning_amount_init(0.5)
        P._validate_pruning_amount(3, 10)
        P._validate_structured_pruning(torch.ones(2, 2))
        print(P._compute_nparams_toprune(0.25, 10), P._compute_nparams_toprune(3, 10))
        return P._compute_norm(torch.ones(2, 3), 2, 0), P._compute_norm(torch.ones(2, 3), 1, -1)

    same(program)
    same_error(
        lambda t: prune(t)._validate_pruning_amount(30, 10), ValueError, "should be smaller than the number of parameters to prune=10"
    )
    same_error(lambda t: prune(t)._validate_structured_pruning(t.ones(2)), ValueError, "Structured pruning can only be applied")
    same_error(lambda t: prune(t)._validate_pruning_dim(t.ones(2), 3), IndexError, "Invalid index 3 for tensor of size")
