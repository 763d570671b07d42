"""``__torch_function__``: subclasses, stand-ins and modes, each program in both libraries."""

import pytest
from twin import same

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def name(value):
    return type(value).__name__


def subclass_of_tensor(t):
    class Marked(t.Tensor):
        pass

    return t.arange(4.0).reshape(2, 2).as_subclass(Marked)


@program
def results_are_of_the_subclass(t):
    x = subclass_of_tensor(t)
    y = t.ones(1, 2)
    print(name(x + 1), name(1 - x), name(-x), name(x @ x), name(x == x), name(x.sum()), name(x[0]), name(x[0:1]), name(x.T), name(x.data))
    print(name(x.clone()), name(x.detach()), name(x.to(t.float64)), name(x.new_zeros(2)), name(t.ones_like(x)), name(t.rand_like(x)))
    print(name(t.stack([x, x])), name(t.cat([y, x])), [name(v) for v in x.max(0)], [name(v) for v in x.split(1)], name(x.add_(1)))
    print(name(t.nn.functional.relu(x)), name(t.nn.Linear(2, 2)(x)), name(t.nn.Parameter(y) + x))
    print(name(x.shape), name(x.size()), name(x.tolist()), name(x.numpy()), name(x.grad), x, x.unsqueeze(0))


@program
def history_of_a_subclass(t):
    leaf = t.ones(2, requires_grad=True)
    x = leaf.as_subclass(type(subclass_of_tensor(t)))
    y = (x * x).sum()
    print(name(y), y, x)
    y.backward()
    return leaf.grad, t.Tensor._make_subclass(t.nn.Parameter, t.ones(2), True)


@program
def a_constructor_with_arguments_of_its_own(t):
    class Meta(t.Tensor):
        @staticmethod
        def __new__(cls, values, note):
            return super().__new__(cls, values)

        def __init__(self, values, note):
            self.note = note

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            result = super().__torch_function__(func, types, args, kwargs or {})
            if isinstance(result, Meta):
                result.note = [a.note for a in args if isinstance(a, Meta)]
            return result

    a = Meta([1.0, 2.0], "first")
    b = a + a
    print(a, a.note, b, b.note, (b * 2).note, t.add(a, 1).note)


@program
def a_class_that_is_no_tensor(t):
    handled = {}

    def implements(function):
        return lambda own: handled.setdefault(function, own)

    class Diagonal:
        def __init__(self, size, value):
            self.size, self.value = size, value

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func not in handled or not all(issubclass(kind, (t.Tensor, Diagonal)) for kind in types):
                return NotImplemented
            return handled[func](*args, **(kwargs or {}))

    implements(t.mean)(lambda input: input.value / input.size)
    implements(t.add)(lambda input, other: f"{name(input)} + {name(other)}")
    d = Diagonal(5, 2.0)
    print(t.mean(d), t.add(d, t.ones(2)), t.add(t.ones(2), d))
    with pytest.raises(TypeError, match="Multiple dispatch failed"):
        t.mul(d, 2)
    with pytest.raises(TypeError):
        t.mul(object(), 2)

    @t.overrides.wrap_torch_function(lambda a: (a,))
    def own(a):
        return "plain"

    implements(own)(lambda a: "diagonal")
    print(own(3), own(d), t.overrides.is_tensor_like(d), t.overrides.is_tensor_like(3))


@program
def modes(t):
    class Log(t.overrides.TorchFunctionMode):
        def __init__(self):
            self.seen = []

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with Log() as outer:
        x = t.ones(2) + 1
        t.nn.functional.relu(x).sum()
        x.add_(1)
        x[0] = 5
        t.stack([x, x])[0]
        with Log() as inner:
            x * 2
    x * 3
    print([seen for seen in outer.seen if seen != "__get__"], inner.seen)

    class Halved(t.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            return result / 2 if func is t.add else result

    with Halved():
        print(t.add(t.ones(2), 1), t.mul(t.ones(2), 2))


@program
def refusals(t):
    class Never(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return NotImplemented

    x = Never([1.0])
    with pytest.raises(TypeError, match="Multiple dispatch failed"):
        t.add(x, 1)
    with pytest.raises(TypeError):
        t.ones(2).as_subclass(int)
    off = t.DisableTorchFunctionSubclass if hasattr(t, "DisableTorchFunctionSubclass") else t._C.DisableTorchFunctionSubclass
    with off():
        print(name(x + 1), t.overrides.has_torch_function((x,)))
    print(t.overrides.has_torch_function((x,)), t.overrides.has_torch_function((t.ones(2), 3)), t.overrides.has_torch_function_unary(x))


@program
def the_first_answer_counts(t):
    class Base(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return f"{cls.__name__} of {[kind.__name__ for kind in types]}"

    class Derived(Base):
        pass

    class Other(t.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return NotImplemented

    base, derived, other = Base([1.0]), Derived([1.0]), Other([1.0])
    print(t.add(base, derived), t.add(derived, base), t.add(other, base), t.stack([base, derived]), t.add(base, 1), 1 + base)


@pytest.mark.parametrize("run", PROGRAMS, ids=lambda run: run.__name__)
def test_program(run):
    same(run)
