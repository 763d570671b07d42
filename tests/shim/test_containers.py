"""Sequential, ModuleList, ModuleDict, ParameterList and ParameterDict against torch's."""

import copy
from collections import OrderedDict

import pytest
from twin import same, same_error


def layers(t, n=3):
    return [t.nn.Linear(i + 1, i + 2) for i in range(n)]


def named(t):
    return t.nn.Sequential(OrderedDict([("fc", t.nn.Linear(1, 2)), ("act", t.nn.ReLU()), ("out", t.nn.Linear(2, 1))]))


CONTAINERS = {
    "Sequential": lambda t: t.nn.Sequential(*layers(t)),
    "Sequential, empty": lambda t: t.nn.Sequential(),
    "Sequential, named": lambda t: [named(t), named(t).fc, named(t)[0], named(t)[-1], named(t)[1:], named(t)(t.ones(1, 1))],
    "Sequential, slice": lambda t: [t.nn.Sequential(*layers(t))[s] for s in (slice(1, None), slice(None, -1), slice(None, None, 2))],
    "Sequential, append": lambda t: t.nn.Sequential(*layers(t)).append(t.nn.Tanh()).append(t.nn.ReLU()),
    "Sequential, append to named": lambda t: named(t).append(t.nn.Tanh()),
    "Sequential, extend": lambda t: t.nn.Sequential(*layers(t)).extend([t.nn.Tanh(), t.nn.ReLU()]),
    "Sequential, insert": lambda t: [t.nn.Sequential(*layers(t)).insert(i, t.nn.Tanh()) for i in (0, 1, 3, -1)],
    "Sequential, pop": lambda t: (lambda s: [s.pop(1), s, len(s), s.pop(slice(0, 1)), s])(t.nn.Sequential(*layers(t))),
    "Sequential, set": lambda t: (lambda s: [s.__setitem__(1, t.nn.Tanh()), s, s.__setitem__(-1, t.nn.ReLU()), s])(
        t.nn.Sequential(*layers(t))
    ),
    "Sequential, delete": lambda t: (lambda s: [s.__delitem__(0), s, s.__delitem__(slice(0, 1)), s])(t.nn.Sequential(*layers(t))),
    "Sequential, delete from named": lambda t: (lambda s: [s.__delitem__(1), s])(named(t)),
    "Sequential, +": lambda t: t.nn.Sequential(*layers(t)) + t.nn.Sequential(t.nn.Tanh()),
    "Sequential, +=": lambda t: t.nn.Sequential(*layers(t)).__iadd__(t.nn.Sequential(t.nn.Tanh())),
    "Sequential, *": lambda t: [
        t.nn.Sequential(t.nn.Tanh(), t.nn.ReLU()) * 2,
        2 * t.nn.Sequential(t.nn.Tanh()),
        t.nn.Sequential(t.nn.Tanh()).__imul__(3),
    ],
    "Sequential, shared": lambda t: (lambda m: (lambda s: [s, s.__delitem__(0), s, len(s)])(t.nn.Sequential(m, m, m)))(t.nn.Tanh()),
    "Sequential, iterate": lambda t: [list(t.nn.Sequential(*layers(t))), len(t.nn.Sequential(*layers(t))), bool(t.nn.Sequential())],
    "Sequential, add_module": lambda t: (lambda s: [s.add_module("last", t.nn.Tanh()), s, s.last])(t.nn.Sequential(*layers(t))),
    "Sequential, nested": lambda t: t.nn.Sequential(t.nn.Sequential(*layers(t)), t.nn.Sequential(t.nn.Flatten())),
    "Sequential, dir": lambda t: "0" in dir(t.nn.Sequential(t.nn.Tanh())),
    "ModuleList": lambda t: [t.nn.ModuleList(layers(t)), t.nn.ModuleList(), t.nn.ModuleList(iter(layers(t)))],
    "ModuleList, repeated": lambda t: t.nn.ModuleList(
        [t.nn.Linear(2, 2) for _ in range(3)] + [t.nn.ReLU()] + [t.nn.Sequential(t.nn.Tanh())] * 2
    ),
    "ModuleList, slice": lambda t: [t.nn.ModuleList(layers(t))[s] for s in (slice(1, None), slice(None, -1), slice(None, None, 2))],
    "ModuleList, index": lambda t: [t.nn.ModuleList(layers(t))[i] for i in (0, -1, True)],
    "ModuleList, +": lambda t: [t.nn.ModuleList(layers(t)) + [t.nn.Tanh()], t.nn.ModuleList(layers(t)) + t.nn.ModuleList([t.nn.Tanh()])],
    "ModuleList, +=": lambda t: t.nn.ModuleList(layers(t)).__iadd__([t.nn.Tanh()]),
    "ModuleList, append": lambda t: t.nn.ModuleList(layers(t)).append(t.nn.Tanh()),
    "ModuleList, extend": lambda t: t.nn.ModuleList(layers(t)).extend(t.nn.Sequential(t.nn.Tanh())),
    "ModuleList, insert": lambda t: (lambda m: [m.insert(1, t.nn.Tanh()), m, m.insert(4, t.nn.ReLU()), m])(t.nn.ModuleList(layers(t))),
    "ModuleList, pop": lambda t: (lambda m: [m.pop(-1), m, m.pop(0), m, list(m.state_dict())])(t.nn.ModuleList(layers(t))),
    "ModuleList, delete": lambda t: (lambda m: [m.__delitem__(slice(None, None, 2)), m])(t.nn.ModuleList(layers(t))),
    "ModuleList, in": lambda t: (lambda m: [m in t.nn.ModuleList([m]), t.nn.Tanh() in t.nn.ModuleList([m])])(t.nn.Tanh()),
    "ModuleDict": lambda t: [
        t.nn.ModuleDict({"a": t.nn.Tanh(), "b": t.nn.ReLU()}),
        t.nn.ModuleDict([["x", t.nn.ReLU()]]),
        t.nn.ModuleDict(),
    ],
    "ModuleDict, of another": lambda t: t.nn.ModuleDict(t.nn.ModuleDict({"a": t.nn.Tanh()})),
    "ModuleDict, items": lambda t: (lambda m: [list(m), list(m.keys()), list(m.values()), list(m.items()), len(m), "a" in m, "z" in m])(
        t.nn.ModuleDict({"a": t.nn.Tanh(), "b": t.nn.ReLU()})
    ),
    "ModuleDict, change": lambda t: (
        lambda m: [m.update({"b": t.nn.ReLU()}), m.__setitem__("c", t.nn.Tanh()), m, m.pop("a"), m.__delitem__("b"), m, m.clear(), m]
    )(t.nn.ModuleDict({"a": t.nn.Tanh()})),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name):
    def program(t):
        result = CONTAINERS[name](t)
        for item in result if isinstance(result, list) else [result]:
            print(item, list(item.state_dict().items()) if isinstance(item, t.nn.Module) else "")

    same(program)


# -- parameters


def p(t, *sizes):
    return [t.nn.Parameter(t.ones(n)) for n in sizes]


def pd(t):
    return t.nn.ParameterDict({"b": t.nn.Parameter(t.ones(2, 3)), "a": t.zeros(1, dtype=t.float64), "n": 3, "c": None})


def steps(make, *calls):
    """The results of calls on one container, each with what it then is."""

    def run(t):
        held = make(t)
        return [item for call in calls for item in (call(held, t), held)]

    return run


HOLDERS = {
    "list": lambda t: [t.nn.ParameterList(), t.nn.ParameterList(p(t, 1, 2)), t.nn.ParameterList([t.ones(2, 2), 3, "text", t.nn.ReLU()])],
    "list, slices": lambda t: [t.nn.ParameterList(p(t, 1, 2, 3))[s] for s in (slice(1, None), slice(None, None, -1), slice(0, 0))],
    "list, items": lambda t: [t.nn.ParameterList(p(t, 1, 2, 3))[i].shape for i in (0, -1, True)],
    "list, changes": steps(
        lambda t: t.nn.ParameterList(p(t, 1)),
        lambda m, t: m.append(t.ones(4)),
        lambda m, t: m.extend(p(t, 2, 2)),
        lambda m, t: m.__iadd__([t.zeros(7)]),
        lambda m, t: m.__setitem__(-1, t.nn.Parameter(t.ones(3, 3))),
        lambda m, t: [len(m), [x.shape for x in m], dict(m.named_parameters()), "0" in dir(m)],
    ),
    "dict": lambda t: [t.nn.ParameterDict(), pd(t), t.nn.ParameterDict(OrderedDict([("z", t.ones(1)), ("y", t.ones(2))]))],
    "dict, read": lambda t: (lambda m: [list(m), list(reversed(m)), list(m.keys()), len(m), "a" in m, "q" in m, m.get("q", 5), m.get("n")])(
        pd(t)
    ),
    "dict, changes": steps(
        pd,
        lambda m, t: m.__setitem__("new", t.ones(5)),
        lambda m, t: m.pop("a"),
        lambda m, t: m.popitem(),
        lambda m, t: m.setdefault("late", t.ones(1)),
        lambda m, t: m.setdefault("late", t.ones(9)),
        lambda m, t: m.update([("x", t.ones(1)), ("a", 4)]),
        lambda m, t: m.__delitem__("b"),
        lambda m, t: [dict(m.items()), list(m.values()), m.state_dict()],
        lambda m, t: m.copy(),
        lambda m, t: m.fromkeys(["u", "v"], 1),
        lambda m, t: m.clear(),
    ),
    "dict, |": lambda t: [pd(t) | t.nn.ParameterDict({"z": t.ones(1)}), pd(t).__ior__(t.nn.ParameterDict({"a": t.ones(7)}))],
    "dict, | with a dict": lambda t: [pd(t) | {"z": t.ones(1)}, {"z": 1} | pd(t)],
    "Container": lambda t: [contained(t)],
}


def contained(t):
    with pytest.warns(FutureWarning):
        return t.nn.Container(a=t.nn.ReLU(), b=t.nn.Tanh())


@pytest.mark.parametrize("name", HOLDERS)
def test_parameter_holders(name):
    def program(t):
        result = HOLDERS[name](t)
        for item in result:
            print(item, list(item.state_dict().items()) if isinstance(item, t.nn.Module) else "")

    same(program)


ERRORS = {
    "list's index": (lambda t: t.nn.ParameterList()[0], IndexError, "index 0 is out of range"),
    "list called": (lambda t: t.nn.ParameterList()(1), RuntimeError, "ParameterList should not be called"),
    "list of a tensor": (
        lambda t: t.nn.ParameterList(t.ones(2)),
        TypeError,
        "ParameterList.extend should be called with an iterable, but got",
    ),
    "dict called": (lambda t: t.nn.ParameterDict()(1), RuntimeError, "ParameterDict should not be called"),
    "dict's key": (lambda t: t.nn.ParameterDict()["a"], AttributeError, "'ParameterDict' object has no attribute 'a'"),
    "dict's key of another type": (lambda t: t.nn.ParameterDict({1: t.ones(1)}), TypeError, r"is not a string \(type is 'int'\)"),
    "dict of a number": (
        lambda t: t.nn.ParameterDict(3),
        TypeError,
        "update should be called with an iterable of key/value pairs, but got int",
    ),
    "dict of no pairs": (lambda t: t.nn.ParameterDict([3]), TypeError, "ParameterDict update sequence element #0 should be Iterable"),
    "dict of triples": (lambda t: t.nn.ParameterDict([(1, 2, 3)]), ValueError, "element #0 has length 3; 2 is required"),
    "empty popitem": (lambda t: t.nn.ParameterDict().popitem(), KeyError, "empty"),
    "ModuleDict of a number": (
        lambda t: t.nn.ModuleDict(3),
        TypeError,
        "ModuleDict.update should be called with an iterable of key/value pairs",
    ),
    "ModuleDict of triples": (lambda t: t.nn.ModuleDict([(1, 2, 3)]), ValueError, "ModuleDict update sequence element #0 has length 3"),
    "ModuleDict of no pairs": (lambda t: t.nn.ModuleDict([3]), TypeError, "ModuleDict update sequence element #0 should be Iterable"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(*ERRORS[name])


def test_parameters_in_a_list_train():
    def program(t):
        class Net(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.weights = t.nn.ParameterList([t.randn(2, 2) for _ in range(2)])
                self.named = t.nn.ParameterDict({"scale": t.tensor(2.0)})

            def forward(self, x):
                for weight in self.weights:
                    x = x @ weight
                return x * self.named["scale"]

        net = Net()
        net(t.ones(1, 2)).sum().backward()
        print(net, [name for name, _ in net.named_parameters()])
        return list(net.parameters()), copy.deepcopy(net).state_dict()

    same(program)


def refused_insertion(t):
    net, listed = t.nn.Sequential(t.nn.ReLU(), t.nn.Tanh()), t.nn.ModuleList([t.nn.ReLU()])
    with pytest.raises(AssertionError, match="module should be of type"):
        net.insert(0, 3)
    print(net, net(input=t.ones(1)))
    print(net._get_item_by_idx(net._modules.values(), -1), listed._get_abs_string_index(-1))


def test_a_refused_insertion_changes_nothing():
    same(refused_insertion)
    same_error(lambda t: t.nn.Sequential({"a": t.nn.ReLU()}), TypeError, "dict is not a Module subclass")
