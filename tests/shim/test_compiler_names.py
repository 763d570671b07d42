"""What users of torch.compile type: OptimizedModule, torch.compiler, torch._dynamo, torch._inductor.config, torch._logging; side by side with PyTorch."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import logging
import pickle
import subprocess
import sys
import warnings
import weakref

import pytest
import torch as theirs
import torch._dynamo
import torch._inductor.config
import torch._logging

import funnn.torch as shim
from funnn.torch._compiling import backends
from tests.shim.twin import same, same_error

EAGER = {"backend": "eager"}
#: What PyTorch's own compiler makes PyTorch say.
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"), pytest.mark.filterwarnings("ignore:The .grad attribute")]


@pytest.fixture(autouse=True)
def _as_before():
    yield
    for library in (theirs, shim):
        library.compiler.set_stance("default")
        library._dynamo.reset()


def small(torch):
    return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())


# -- what torch.compile takes


def test_signatures():
    assert str(inspect.signature(shim.compile).replace(return_annotation=None)).count("=") == 11
    for path in (
        "compile",
        "nn.Module.compile",
        *(f"compiler.{name}" for name in theirs.compiler.__all__ if name not in ("config", "set_stance")),
    ):
        names = []
        for library in (theirs, shim):
            function = library
            for part in path.split("."):
                function = getattr(function, part)
            names.append([name for name in inspect.signature(function).parameters if name not in ("args", "kwargs")])
        assert names[1] == names[0] or path in ("compiler.compile", "nn.Module.compile"), path
    assert set(inspect.signature(shim.nn.Module.compile).parameters) == {"self", *inspect.signature(theirs.compile).parameters} - {"model"}


@pytest.mark.parametrize(
    ("program", "error", "text"),
    [
        (
            lambda torch: torch.compile(len, mode="nope"),
            RuntimeError,
            "Unrecognized mode=nope, should be one of: default, lite, reduce-overhead",
        ),
        (lambda torch: torch.compile(len, mode="default", options={}), RuntimeError, "Either mode or options can be specified, but both"),
        (lambda torch: torch.compile(len, options={"nope": 1}), RuntimeError, "Unexpected optimization option nope, known options are"),
        (lambda torch: torch.compile(len, options={"max-autotune": "x"}), RuntimeError, "attr max-autotune, got str should be bool"),
        (lambda torch: torch.compile(3), AssertionError, "A callable function is expected, but <class 'int'> is provided"),
        (lambda torch: torch.compile(len, True), TypeError, r"compile\(\) takes from 0 to 1 positional arguments but 2 were given"),
        (lambda torch: torch.compile(len, foo=True), TypeError, r"compile\(\) got an unexpected keyword argument 'foo'"),
        (lambda torch: torch.compile(backend="eager")(None), RuntimeError, "Model can't be None"),
        (lambda torch: torch.nn.ReLU().compile(mode="nope"), RuntimeError, "Unrecognized mode=nope"),
        (lambda torch: torch.compiler.disable(3), AssertionError, "fn must be callable"),
        (lambda torch: torch.compiler.set_stance("force_eager", force_backend="eager"), RuntimeError, "cannot have force_backend set"),
        (lambda torch: torch.compiler.set_default_backend(3), TypeError, "backend must be a string or callable, got <class 'int'>"),
        (lambda torch: torch._dynamo.mark_dynamic(torch.ones(2), "x"), AssertionError, "Expected index to be int, list, or tuple"),
        (lambda torch: torch._dynamo.mark_static(3), TypeError, "class"),
        (lambda torch: torch._dynamo.mark_static_address(3), TypeError, "mark_static_address expects a tensor"),
        (lambda torch: torch._dynamo.allow_in_graph(3), AssertionError, "allow_in_graph expects a callable"),
        (lambda torch: torch._dynamo.optimize("eager").__enter__(), RuntimeError, "is used with a context manager"),
        (lambda torch: torch.compiler.substitute_in_graph(3), TypeError, "expects a function but got <class 'int'>"),
    ],
)
def test_errors(program, error, text):
    same_error(program, error, text)


def test_the_class_of_an_invalid_backend():
    for call in (lambda torch: torch.compile(len, backend="nope"), lambda torch: torch._dynamo.lookup_backend("nope")):
        for library in (theirs, shim):
            with pytest.raises(library._dynamo.exc.InvalidBackend, match=r"Invalid backend: 'nope', see `torch._dynamo.list_backends"):
                call(library)
    assert [kind.__name__ for kind in shim._dynamo.exc.InvalidBackend.__mro__] == [
        kind.__name__ for kind in theirs._dynamo.exc.InvalidBackend.__mro__
    ]


@pytest.mark.parametrize("mode", ["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs", None])
def test_modes_change_no_number(mode):
    assert shim.compile(lambda x: (x * 2).sin(), mode=mode, dynamic=True)(shim.ones(2)).tolist() == shim.full((2,), 2.0).sin().tolist()


def test_a_function_as_backend_is_kept_and_not_called(monkeypatch):
    monkeypatch.setattr(backends, "_TAGS", dict(backends._TAGS))
    monkeypatch.setattr(backends, "_registered", {})
    called = []
    run = shim.compile(lambda x: x + 1, backend=lambda graph, inputs: called.append(graph))
    assert run(shim.ones(1)).item() == 2.0 and not called
    shim._dynamo.register_backend(called.append, name="mine_of_this_test")
    assert shim.compile(lambda x: x + 1, backend="mine_of_this_test")(shim.ones(1)).item() == 2.0
    assert shim._dynamo.lookup_backend("mine_of_this_test") == called.append and "mine_of_this_test" in shim.compiler.list_backends()


# -- functions


def test_functions():
    def program(torch):
        @torch.compile(**EAGER)
        def f(x, *, y=1):
            "doc"
            return x * 2 + y

        bare = torch.compile(f.__wrapped__, **EAGER)
        net = torch.nn.Linear(2, 2)
        same_as = torch.compile(f, **EAGER)
        names = {"__wrapped__", "_torchdynamo_orig_callable", "_torchdynamo_wrapper_id", "get_compiler_config", "_is_torch_compile"}
        return (
            *(f.__name__, f.__doc__, f(torch.ones(2), y=3), bare(torch.ones(2)), f._torchdynamo_orig_callable is f.__wrapped__),
            *(same_as._torchdynamo_orig_callable is f.__wrapped__, f.get_compiler_config(), names <= set(vars(f))),
            *(torch.compile(net.forward, **EAGER)(torch.ones(2)).shape == (2,), torch.compile(lambda x: x + 1, **EAGER)(torch.ones(1))),
            torch.compile(torch.sin, **EAGER)(torch.ones(1)),
            *(torch.compile(f, disable=True) is f, torch._dynamo.eval_frame.innermost_fn(f) is f.__wrapped__),
        )

    same(program)


def test_classes_and_callable_objects():
    def program(torch):
        class Twice:
            def __call__(self, x):
                return x * 2, torch.compiler.is_compiling()

        class Net(torch.nn.Module):
            def forward(self, x):
                return x * 3

        obj = torch.compile(Twice(), **EAGER)
        return (
            *(obj(torch.ones(1)), torch.compile(Twice, **EAGER) is Twice, Twice()(torch.ones(1))),
            *(torch.compile(Net, **EAGER) is Net, type(Net()) is Net, Net()(torch.ones(1))),
        )

    same(program)


def test_methods_and_an_optimizers_step():
    def program(torch):
        net = small(torch)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        step = torch.compile(optimizer.step, **EAGER)
        for _ in range(2):
            net(torch.ones(1, 2)).sum().backward()
            step()
        return [p.detach().clone() for p in net.parameters()], step.__name__

    same(program)


def test_the_options_of_the_default_backend():
    config = shim.compile(len, options={"triton.cudagraphs": True, "epilogue-fusion": False}).get_compiler_config()
    assert config["triton.cudagraphs"] is True and config["epilogue_fusion"] is False
    assert shim.compile(len, mode="reduce-overhead").get_compiler_config()["triton.cudagraphs"] is True
    assert shim._inductor.list_mode_options() == theirs._inductor.list_mode_options()
    assert set(shim._inductor.list_options()) < set(theirs._inductor.list_options())


# -- Modules


def test_optimized_module():
    def program(torch):
        net = small(torch)
        run = torch.compile(net, **EAGER)
        print(run)
        print(torch.nn.Sequential(run, torch.nn.ReLU()))
        run.mine = 3
        run.eval()
        before = net.training, run.training, net[0].training
        run.train()
        run.training = False
        return (
            *(type(run).__name__, isinstance(run, torch.nn.Module), isinstance(run, torch.nn.Sequential), run._orig_mod is net),
            *(
                run.mine,
                net.mine,
                "mine" in dir(run),
                "_orig_mod" in dir(run),
                before,
                net.training,
                len(run),
                run[0] is None if False else None,
            ),
            *(list(run.state_dict()), [name for name, _ in run.named_parameters()], [name for name, _ in run.named_modules()]),
            *([name for name, _ in run.named_children()], run(torch.ones(1, 2)), net(torch.ones(1, 2))),
            *(
                all(a is b for a, b in zip(run.parameters(), net.parameters(), strict=True)),
                hasattr(run, "nope"),
                run.get_compiler_config(),
            ),
            *(
                run.train() is run,
                net.training,
                isinstance(run, torch._dynamo.OptimizedModule),
                run._torchdynamo_orig_callable == net.forward,
            ),
        )

    same(program)


def test_attributes_of_an_optimized_module_are_the_originals():
    def program(torch):
        net = torch.nn.Linear(2, 2)
        run = torch.compile(net, **EAGER)
        run.bias = torch.nn.Parameter(torch.zeros(2))
        run.weight.data.fill_(1.0)
        run.counter = torch.nn.Linear(1, 1)
        run.register_buffer("own", torch.zeros(1))
        before = list(run.state_dict())
        del run.counter
        return net.bias, run.weight, before, list(run.state_dict()), list(net.state_dict()), run.in_features, run(torch.ones(1, 2))

    same(program)


@pytest.mark.parametrize(
    ("program", "error", "text"),
    [
        (lambda run: run[0], TypeError, "'OptimizedModule' object is not subscriptable"),
        (list, TypeError, "'OptimizedModule' object is not iterable"),
        (lambda run: run.nope, AttributeError, "'Sequential' object has no attribute 'nope'"),
        (lambda run: run.load_state_dict(run._orig_mod.state_dict()), RuntimeError, '"_orig_mod.0.weight", "_orig_mod.0.bias"'),
    ],
)
def test_what_an_optimized_module_lacks(program, error, text):
    same_error(lambda torch: program(torch.compile(small(torch), **EAGER)), error, text)
    same_error(lambda torch: len(torch.compile(torch.nn.ReLU(), **EAGER)), TypeError, r"ReLU does not support len\(\)")


def test_hooks_of_an_optimized_module():
    def program(torch):
        net = torch.nn.Linear(1, 1)
        run = torch.compile(net, **EAGER)
        net.register_forward_hook(lambda module, args, output: print("inner", type(module).__name__))
        run.register_forward_pre_hook(lambda module, args: print("before", type(module).__name__))
        run.register_forward_hook(lambda module, args, output: output * 0)
        return run(torch.ones(1))

    same(program)


def test_hooks_of_all_modules_are_told_of():
    handle = shim.nn.modules.module.register_module_forward_hook(lambda *args: None)
    try:
        with pytest.warns(UserWarning, match="when there are global hooks on modules"):
            shim.compile(shim.nn.ReLU())(shim.ones(1))
    finally:
        handle.remove()


def test_copies_and_files(tmp_path):
    def program(torch):
        run = torch.compile(small(torch), **EAGER)
        x = torch.ones(1, 2)
        expected = run(x)
        copies = [copy.deepcopy(run), pickle.loads(pickle.dumps(run))]
        torch.save(run.state_dict(), tmp_path / "state.pt")
        other = torch.compile(small(torch), **EAGER)
        told = other.load_state_dict(torch.load(tmp_path / "state.pt"))
        copies.append(other)
        for made in copies:
            assert type(made) is type(run) and made._orig_mod is not run._orig_mod
        return expected, [made(x) for made in copies], str(told), [list(made.state_dict()) for made in copies]

    same(program)


def test_compiling_in_place():
    def program(torch):
        net = small(torch)
        seen = []
        net.register_forward_hook(lambda *args: seen.append(torch.compiler.is_compiling()))
        result = net.compile(backend="eager")
        y = net(torch.ones(1, 2))
        twin = copy.deepcopy(net)
        return (
            result,
            type(net).__name__,
            list(net.state_dict()),
            y,
            net._compiled_call_impl is not None,
            twin._compiled_call_impl is None,
            seen,
        )

    same(program)


def test_a_compiled_module_that_is_compiled_again():
    def program(torch):
        run = torch.compile(small(torch), **EAGER)
        again = torch.compile(run, **EAGER)
        return type(again).__name__, again.__name__, again(torch.ones(1, 2))

    same(program)


def test_a_lazy_module():
    def program(torch):
        run = torch.compile(torch.nn.LazyLinear(2), **EAGER)
        y = run(torch.ones(1, 3))
        return y.shape == (1, 2), run.in_features, list(run.state_dict())

    same(program)


def test_training_an_optimized_module():
    def program(torch):
        net = torch.compile(small(torch), **EAGER)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = net(torch.arange(4.0).reshape(2, 2)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses, net.state_dict()

    same(program)


def test_what_is_compiled_keeps_no_model_alive():
    def alive(use):
        net = small(shim)
        use(net)
        reference = weakref.ref(net)
        del net
        gc.collect()
        return reference() is not None

    def in_function(net):
        shim.compile(lambda x: net(x).sum())(shim.ones(1, 2)).backward()

    def in_place(net):
        net.compile()
        net(shim.ones(1, 2)).sum().backward()

    assert not alive(in_function) and not alive(in_place)
    assert not alive(lambda net: shim.compile(net)(shim.ones(1, 2)).sum().backward())
    step = shim.compile(lambda net, x: net(x).sum())
    assert not alive(lambda net: step(net, shim.ones(1, 2)).item())


# -- torch.compiler


def test_every_public_name_is_there():
    assert list(shim.compiler.__all__) == theirs.compiler.__all__
    assert all(hasattr(shim.compiler, name) for name in shim.compiler.__all__)
    for name in theirs._dynamo.__all__:
        if not hasattr(shim._dynamo, name):
            with pytest.raises(NotImplementedError, match=rf"torch\._dynamo\.{name} is not supported: there is no tracer"):
                getattr(shim._dynamo, name)


@pytest.mark.parametrize("name", ["save_cache_artifacts", "load_cache_artifacts", "load_compiled_function"])
def test_caches_are_not_torchs(name):
    with pytest.raises(NotImplementedError, match=rf"torch\.compiler\.{name} is not supported.*cache_compilations"):
        getattr(shim.compiler, name)(*[b""] * (not name.startswith("save")))


def test_is_compiling():
    def program(torch):
        def ask(x):
            return (
                x
                + (1 if torch.compiler.is_compiling() else 2)
                + (10 if torch._dynamo.is_compiling() else 20)
                + 100 * torch.compiler.is_dynamo_compiling()
            )

        run = torch.compile(ask, **EAGER)
        results = [ask(torch.zeros(1)), run(torch.zeros(1)), run(torch.zeros(1)), ask(torch.zeros(1))]
        return results, torch.compiler.is_exporting(), torch.jit.is_tracing(), torch.jit.is_scripting()

    same(program)


def test_an_error_inside_ends_the_compiling():
    def program(torch):
        @torch.compile(**EAGER)
        def broken(x):
            raise KeyError("mine")

        with contextlib.suppress(KeyError):
            broken(torch.ones(1))
        return torch.compiler.is_compiling()

    same(program)


def test_disabled_parts():
    def program(torch):
        @torch.compiler.disable
        def outside(x):
            return x + (1 if torch.compiler.is_compiling() else 2)

        @torch.compiler.disable(recursive=False, reason="mine")
        def also(x):
            return x * (1 if torch.compiler.is_compiling() else 3)

        @torch.compile(**EAGER)
        def f(x):
            y = also(outside(x * 2)) * 5
            return y + (100 if torch.compiler.is_compiling() else 0)

        marks = [
            (g._torchdynamo_disable, g._torchdynamo_disable_msg, torch._dynamo.is_dynamo_disable_recursive(g)) for g in (outside, also)
        ]
        x = torch.ones(2, requires_grad=True)
        f(x).sum().backward()
        return f(torch.ones(2)), x.grad, outside.__name__, marks, torch._dynamo.is_dynamo_disable_recursive(f)

    same(program)


def test_a_disabled_module_and_class():
    def program(torch):
        class Part(torch.nn.Module):
            def forward(self, x):
                return x + (1 if torch.compiler.is_compiling() else 2)

        part = torch.compiler.disable(Part())
        net = torch.nn.Sequential(part, torch.nn.ReLU())
        print(part)

        @torch.compiler.disable
        class Other:
            def __call__(self, x):
                return x + (1 if torch.compiler.is_compiling() else 2)

        other = Other()
        return torch.compile(net, **EAGER)(torch.zeros(1)), torch.compile(lambda x: other(x) * 1, **EAGER)(torch.zeros(1))

    same(program)


def test_an_error_in_a_disabled_part_leaves_the_region_as_it_was():
    @shim.compiler.disable
    def broken(x):
        raise KeyError("mine")

    @shim.compile
    def f(x):
        try:
            broken(x * 2)
        except KeyError:
            return x + shim.compiler.is_compiling()

    assert f(shim.zeros(1)).item() == 1.0 and not shim.compiler.is_compiling()


def test_fullgraph_refuses():
    off = {library: library.compiler.disable(lambda x: x) for library in (theirs, shim)}
    for function in (
        lambda torch: lambda x: x if x.sum() > 0 else -x,
        lambda torch: lambda x: (torch._dynamo.graph_break(), x + 1)[1],
        lambda torch: lambda x: off[torch](x + 1) * 2,
    ):
        for library in (theirs, shim):
            with pytest.raises(library._dynamo.exc.Unsupported) as error:
                library.compile(function(library), backend="eager", fullgraph=True)(library.ones(2))
            assert isinstance(error.value, RuntimeError)
            if library is theirs:
                first = str(error.value).partition("\n")[0]
        assert first in str(error.value) or "Data-dependent" in first
    with pytest.raises(
        shim._dynamo.exc.Unsupported, match=r"value is asked for at .*test_compiler_names\.py:\d+ .*fullgraph=True asks for one"
    ):
        shim.compile(lambda x: (x + 1).sum().item(), fullgraph=True)(shim.ones(2))


def test_fullgraph_holds_for_compiled_functions_inside():
    inner = shim.compile(lambda x: x if x.sum() > 0 else -x)
    with pytest.raises(shim._dynamo.exc.Unsupported):
        shim.compile(lambda x: inner(x * 2), fullgraph=True)(shim.ones(2))
    whole = shim.compile(lambda x: inner(x * 2), fullgraph=True)
    with pytest.raises(shim._dynamo.exc.Unsupported):
        shim.compile(lambda x: whole(x + 1))(shim.ones(2))


def test_error_on_graph_break():
    def program(torch):
        def broken(x):
            with torch._dynamo.error_on_graph_break(True):
                torch._dynamo.graph_break()
                return x + 1

        try:
            torch.compile(broken, **EAGER)(torch.ones(1))
        except torch._dynamo.exc.Unsupported as error:
            return str(error).partition("\n")[0]

    same(program)


def test_stances():
    def program(torch):
        @torch.compile(**EAGER)
        def f(x):
            return x + (1 if torch.compiler.is_compiling() else 2)

        @torch.compiler.set_stance("force_eager")
        def eager(x):
            return f(x)

        x = torch.zeros(1)
        results = [f(x), eager(x), f(x)]
        with torch.compiler.set_stance("force_eager"):
            results.append(f(x))
        results.append(f(x))
        torch.compiler.set_stance("force_eager")
        results.append(f(x))
        stance = torch.compiler.set_stance("default")
        results.append(f(x))
        print(stance.stance, eager.__name__)
        return results

    same(program)
    same_error(
        lambda torch: _with_stance(torch, "nope")(torch.ones(1)), RuntimeError, r"invalid torch.compile stance 'DynamoStance\(stance='nope'"
    )
    for library in (theirs, shim):
        library.compiler.set_stance("default")
    inside = {
        library: library.compile(lambda x, library=library: library.compiler.set_stance("default"), backend="eager")
        for library in (theirs, shim)
    }
    same_error(lambda torch: inside[torch](torch.ones(1)), AssertionError, "Attempt to trace forbidden callable <.*set_stance")


def _with_stance(torch, stance):
    run = torch.compile(lambda x: (x * 2).sin(), **EAGER)
    torch.compiler.set_stance(stance)
    return run


def test_fail_on_recompile():
    def program(torch):
        run = torch.compile(lambda x: (x * 2).sin(), **EAGER)
        run(torch.ones(7))
        with torch.compiler.set_stance("fail_on_recompile"):
            print(run(torch.ones(7)))
            try:
                run(torch.ones(7, dtype=torch.float64))
            except RuntimeError as error:
                return str(error)[:69]

    same(program)


def test_config_disable_runs_as_if_not_compiled():
    def program(torch):
        with torch._dynamo.config.patch(disable=True):
            return torch.compile(lambda x: x + (1 if torch.compiler.is_compiling() else 2), **EAGER)(
                torch.zeros(1)
            ), torch._dynamo.config.disable

    same(program)


def test_small_names_of_compiler():
    def program(torch):
        torch.compiler.cudagraph_mark_step_begin()
        torch.compiler.reset()
        kept = torch.compiler.get_default_backend()
        torch.compiler.set_default_backend("eager")
        chosen = torch.compiler.get_default_backend()
        torch.compiler.set_default_backend(None)
        before = torch.compiler.set_enable_guard_collectives(True), torch.compiler.set_enable_guard_collectives(False)

        @torch.compiler.nested_compile_region
        def part(x):
            return x * 2

        @torch.compiler.wrap_numpy
        def by_numpy(x, y=None):
            return {"sum": x + y["a"], "type": type(x).__name__}

        return (
            *(
                kept,
                chosen,
                torch.compiler.get_default_backend(),
                before,
                part(torch.ones(1)),
                torch.compiler.skip_all_guards_unsafe([1, 2]),
            ),
            *(by_numpy(torch.ones(2), y={"a": torch.ones(2)}), torch.compiler.list_backends(), torch.compiler.allow_in_graph(len) is len),
            [name for name in torch.compiler.list_backends(None) if not name.endswith("TESTING_ONLY") and "minifier" not in name],
        )

    same(program)


def test_substitutes_and_constants():
    def program(torch):
        def original(x):
            return x + 1

        @torch.compiler.substitute_in_graph(original)
        def other(x):
            return x + 1

        def constant():
            return 3

        marked = torch.compiler.assume_constant_result(constant)
        return (
            other(torch.ones(1)),
            other.__name__,
            other.__torch_dynamo_original__ is original,
            marked is constant,
            constant._dynamo_marked_constant,
        )

    same(program)


# -- torch._dynamo


def test_explain():
    def program(torch):
        def f(x):
            y = x + 1
            torch._dynamo.graph_break()
            return y * 2

        told = torch._dynamo.explain(f)(torch.ones(2))
        lines = [line.strip() for line in str(told).splitlines()]
        reason = told.break_reasons[0]
        print(lines[:5], lines[5].partition("Reason: ")[2])
        return (
            *(told.graph_count, told.graph_break_count, told.op_count, len(told.graphs), [len(ops) for ops in told.ops_per_graph]),
            *(reason.reason.partition("\n")[0], reason.user_stack[-1].lineno, reason.user_stack[-1].filename, list(vars(told))),
        )

    same(program)
    with pytest.warns(FutureWarning, match=r"use explain\(f\)\(\*args, \*\*kwargs\) instead"):
        told = shim._dynamo.explain(lambda x: (x * 2).sum(), shim.ones(2))
    assert (told.graph_count, told.op_count, told.ops_per_graph) == (1, 2, [["mul", "sum"]])


def test_explain_of_a_step_with_a_value_asked_for():
    net = shim.nn.Linear(2, 1)
    optimizer = shim.optim.SGD(net.parameters(), lr=0.1)

    def step(x):
        loss = net(x).sum()
        loss.backward()
        if loss > 1e9:
            return None
        optimizer.step()
        return loss

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = shim._dynamo.explain(step)(shim.ones(3, 2))
    assert (told.graph_count, told.graph_break_count) == (2, 1) and told.break_reasons[0].user_stack[0].filename == __file__
    assert shim._dynamo.explain(shim.compile(net))(shim.ones(3, 2)).graph_count == 1
    assert sum(shim._dynamo.utils.counters["graph_break"].values()) == 1
    shim._dynamo.reset()
    assert not shim._dynamo.utils.counters


def test_counters_count_programs():
    run = shim.compile(lambda x: (x * 2).sin() - 5)
    for size in (31, 32, 31, 32):
        run(shim.ones(size))
    assert shim._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert dict(shim._dynamo.utils.counters["frames"]) == {"total": 2, "ok": 2}


def test_graph_break_runs_what_came_before():
    def program(torch):
        @torch.compile(**EAGER)
        def f(x):
            y = x * 2
            torch._dynamo.graph_break()
            return y + 1

        torch._dynamo.graph_break("outside it does nothing")
        return f(torch.ones(2))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(program)


def test_marks():
    def program(torch):
        x, y = torch.ones(2, 3), torch.ones(2, 3)
        torch._dynamo.mark_dynamic(x, 0, min=1, max=8)
        torch._dynamo.mark_dynamic(x, [1])
        torch._dynamo.maybe_mark_dynamic(x, (0,))
        torch._dynamo.mark_static(y)
        torch._dynamo.mark_static_address(y, guard=True)

        class Net(torch.nn.Module):
            pass

        return (
            *(sorted(x._dynamo_dynamic_indices), sorted(x._dynamo_weak_dynamic_indices), sorted(y._dynamo_static_indices)),
            *(y._dynamo_static_input_type, torch._dynamo.mark_static(Net) is Net, hasattr(y, "_dynamo_dynamic_indices")),
        )

    same(program)


def test_optimize_run_and_disable():
    def program(torch):
        def f(x):
            return x + 1

        return (
            *(torch._dynamo.optimize("eager")(f)(torch.ones(1)), torch._dynamo.optimize("eager", nopython=True)(f)(torch.ones(1))),
            *(
                torch._dynamo.optimize("eager", disable=True)(f) is f,
                torch._dynamo.run(f)(torch.ones(1)),
                torch._dynamo.disable()(f)(torch.ones(1)),
            ),
            *(type(torch._dynamo.optimize("eager")(small(torch))).__name__, torch._dynamo.is_dynamo_supported()),
        )

    same(program)


def test_export_names_the_way_round():
    with pytest.raises(NotImplementedError, match=r"torch\._dynamo\.export is not supported.*jax\.export"):
        shim._dynamo.export(len)


# -- settings


@pytest.mark.parametrize("path", ["_dynamo.config", "_inductor.config", "compiler.config"])
def test_settings_have_torchs_names_and_defaults(path):
    package, _, name = path.partition(".")
    config, expected = getattr(getattr(shim, package), name), getattr(getattr(theirs, package), name)
    ours = config.get_config_copy()
    for key in ours:
        assert key in expected._config, key
        if expected._config[key].env_value_default is expected._config[key].env_value_force and not expected._config[key].alias:
            assert ours[key] == expected._config[key].default or "." in key, key
    missing = {key for key in expected._config if key not in ours and key not in config._aliases and not key.startswith("_")}
    groups = (
        "test_configs",
        "cutlass",
        "cuda.",
        "xpu.",
        "rocm",
        "halide",
        "mtia",
        "aot_inductor",
        "lookup_table",
        "eager_numerics",
        "autoheuristic",
    )
    missing = {key for key in missing if not key.startswith(groups) and "TESTING" not in key}
    assert missing <= {
        "TYPE_CHECKING",
        "base_dir",
        "debug_dir_root",
        "worker_log_path",
        "torchinductor_worker_logpath",
        "force_disable_caches",
    } | {*("use_static_triton_launcher", "strict_static_triton_launcher")}


def test_settings():
    def program(torch):
        config, inductor = torch._dynamo.config, torch._inductor.config
        kept = config.save_config()
        before = config.recompile_limit, config.suppress_errors, inductor.triton.cudagraphs, inductor.max_autotune
        config.cache_size_limit = 64
        with config.patch(verbose=True), inductor.patch("triton.cudagraphs", True), config.patch({"suppress_errors": True}):
            within = config.verbose, inductor.triton.cudagraphs, config.suppress_errors, config.recompile_limit

        @config.patch("verbose", True)
        def decorated():
            return config.verbose

        inductor.triton.unique_kernel_names = False
        after = config.verbose, inductor.triton.cudagraphs, decorated(), config.verbose, inductor.triton.unique_kernel_names
        inductor.triton.unique_kernel_names = True
        shared = torch.compiler.config.recompile_limit
        config.load_config(kept)
        return before, within, after, shared, config.recompile_limit, hasattr(config, "nope")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        same(program)


@pytest.mark.parametrize(
    "program",
    [
        lambda torch: torch._dynamo.config.nope,
        lambda torch: setattr(torch._dynamo.config, "nope", 1),
        lambda torch: setattr(torch._inductor.config.triton, "nope", 1),
        lambda torch: torch._dynamo.config.patch(nope=1).__enter__(),
    ],
)
def test_a_setting_that_is_not_there(program):
    same_error(program, AttributeError, r"torch\._(dynamo|inductor)\.config\.(triton\.)?nope does not exist")


def test_patch_takes_one_form():
    same_error(
        lambda torch: torch._dynamo.config.patch({"verbose": True}, verbose=1), AssertionError, "cannot pass both positional and keyword"
    )


def test_logs():
    def program(torch):
        try:
            torch._logging.set_logs(dynamo=logging.DEBUG, graph_breaks=True, recompiles=True, modules={"json": logging.INFO})
        finally:
            torch._logging.set_logs()

    same(program)
    assert set(inspect.signature(shim._logging.set_logs).parameters) == set(inspect.signature(theirs._logging.set_logs).parameters)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"modules": {"no_such_thing": 10}}, ValueError, "Unrecognized log or artifact name passed to set_logs: no_such_thing"),
        ({"dynamo": "x"}, ValueError, "Unrecognized log level for log dynamo: x, valid level values are: 50,40,30,20,10,0"),
        ({"bytecode": 20}, ValueError, "Expected bool to enable artifact bytecode, received 20"),
        ({"no_such_thing": True}, TypeError, "unexpected keyword argument 'no_such_thing'"),
    ],
)
def test_logs_that_are_not_there(options, error, text):
    same_error(lambda torch: torch._logging.set_logs(**options), error, text)


def test_the_variable_of_the_logs_is_checked():
    shim._logging.check_settings("+dynamo,-inductor, graph_breaks,all,json")
    with pytest.raises(ValueError, match="Invalid log settings: foo, must be a comma separated list"):
        shim._logging.check_settings("foo")


# -- imports

SCRIPT = """
import torch, torch._dynamo, torch.compiler, torch._inductor.config, torch._dynamo.config as settings
from torch._dynamo import config, explain, OptimizedModule
from torch._dynamo.config import recompile_limit
from torch._dynamo.eval_frame import OptimizedModule as same
from torch._dynamo.exc import Unsupported, BackendCompilerFailed, TorchRuntimeError
from torch._dynamo.utils import counters
from torch._inductor import config as inductor
from torch.compiler import disable, is_compiling
import torch._logging
inductor.triton.cudagraphs = True
settings.suppress_errors = True
model = torch.compile(torch.nn.Linear(2, 2))
print(config is settings is torch._dynamo.config, recompile_limit, same is OptimizedModule is type(model), list(model.state_dict()))
print(torch._inductor.config.triton.cudagraphs, torch._dynamo.config.suppress_errors, is_compiling())
"""


def test_imports_of_scripts(tmp_path):
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    expected = "True 8 True ['_orig_mod.weight', '_orig_mod.bias']\nTrue True False\n"
    for command in ([sys.executable, str(file)], [sys.executable, "-m", "funnn", "run", str(file)]):
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == expected
