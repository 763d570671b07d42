"""torch.nn's names: which classes there are, where users import them from, what they inherit from, what their constructors take."""

import importlib
import inspect
import sys
import warnings

import pytest
import torch
from twin import same, same_error

import funnn.torch as shim

CLASSES = [
    name for name in dir(torch.nn) if inspect.isclass(getattr(torch.nn, name)) and issubclass(getattr(torch.nn, name), torch.nn.Module)
]
#: Names of torch.nn that are none of these rooms: quantisation.
ELSEWHERE = {"intrinsic", "qat", "quantizable", "quantized"}
#: Constructors whose arguments stand in ``*args`` and ``**kwargs``, in torch or here, or whose keywords alone are in another order.
OTHER_SIGNATURES = {"RNNBase", "RNNCellBase", "DataParallel", "LinearCrossEntropyLoss"}
#: What a class of torch has in its line that is no class for users.
INTERNAL = {"Generic", "Protocol", "object"}


@pytest.mark.parametrize("name", CLASSES)
def test_class(name):
    theirs, ours = getattr(torch.nn, name), getattr(shim.nn, name)
    file = theirs.__module__.replace("torch.", "funnn.torch.", 1)
    assert ours.__module__ == file and getattr(sys.modules[file], name) is ours
    assert {base.__name__ for base in theirs.__mro__} - INTERNAL <= {base.__name__ for base in ours.__mro__}
    signature = list(inspect.signature(theirs).parameters)
    if name not in OTHER_SIGNATURES and "kwargs" not in signature:
        assert list(inspect.signature(ours).parameters) == signature
    if name not in ("RNNBase", "RNNCellBase"):
        assert hasattr(ours, "reset_parameters") == hasattr(theirs, "reset_parameters")
    assert ours.__doc__


def test_every_public_name_of_torch_nn():
    public = {name for name in dir(torch.nn) if not name.startswith("_")}
    missing = {name for name in public - set(dir(shim.nn)) if name not in ELSEWHERE}
    assert not missing


def test_every_public_method_of_module():
    theirs = {name for name in dir(torch.nn.Module) if not name.startswith("_")}
    assert not theirs - set(dir(shim.nn.Module))


def test_submodules_that_users_import():
    from funnn.torch.nn.modules.batchnorm import _BatchNorm, _NormBase
    from funnn.torch.nn.modules.container import ParameterList  # noqa: F401
    from funnn.torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
    from funnn.torch.nn.modules.dropout import _DropoutNd
    from funnn.torch.nn.modules.lazy import LazyModuleMixin
    from funnn.torch.nn.modules.loss import _Loss, _WeightedLoss
    from funnn.torch.nn.modules.rnn import RNNBase
    from funnn.torch.nn.modules.transformer import _get_activation_fn, _get_clones

    nn = shim.nn
    assert isinstance(nn.ConvTranspose1d(1, 1, 1), (_ConvNd,)) and issubclass(nn.ConvTranspose1d, _ConvTransposeNd)
    assert isinstance(nn.Dropout(), _DropoutNd) and isinstance(nn.NLLLoss(), _WeightedLoss) and isinstance(nn.MSELoss(), _Loss)
    assert isinstance(nn.GRU(1, 1), RNNBase) and issubclass(nn.LazyLinear, LazyModuleMixin) and isinstance(nn.SyncBatchNorm(1), _BatchNorm)
    assert _get_activation_fn("gelu") is nn.functional.gelu and repr(_get_clones(nn.ReLU(), 2)) == repr(nn.ModuleList([nn.ReLU()] * 2))
    assert "class Conv2d(_ConvNd" in inspect.getsource(nn.Conv2d)
    with pytest.raises(NotImplementedError, match="_NormBase is only the base"):
        _NormBase()


def test_helpers_of_modules_utils():
    def program(t):
        utils = t.nn.modules.utils
        print(utils._single(3), utils._pair(3), utils._triple([1, 2, 3]), utils._quadruple(0), utils._ntuple(5)(1), utils._pair.__name__)
        print(utils._reverse_repeat_tuple((1, 2, 3), 2), utils._list_with_default([None, 3], [7, 8, 9]), utils._list_with_default(4, [1]))
        state = t.nn.ModuleDict({"module": t.nn.Sequential(t.nn.Linear(1, 1))}).state_dict()
        utils.consume_prefix_in_state_dict_if_present(state, "module.")
        print(list(state), state._metadata)

    same(program)


def test_device_and_dtype_by_position():
    def program(t):
        modules = [t.nn.Linear(2, 3, False, "cpu", t.float64), t.nn.BatchNorm1d(2, 1e-5, 0.1, True, True, None, t.float64, bias=False)]
        modules += [
            t.nn.PReLU(1, 0.3, "cpu", t.float64),
            t.nn.GRU(2, 3, dtype=t.float64),
            t.nn.MultiheadAttention(2, 1, device="cpu", dtype=t.float64),
        ]
        modules += [t.nn.Transformer(2, 1, 1, 1, 3, dtype=t.float64), t.nn.Embedding(3, 2, dtype=t.float64)]
        return [m.state_dict() for m in modules]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's advice about nested tensors
        same(program)
    for make in (lambda t: t.nn.ReLU(device="cpu"), lambda t: t.nn.MaxPool1d(2, dtype=t.float32), lambda t: t.nn.MSELoss(device="cpu")):
        same_error(make, TypeError, "unexpected keyword argument")
    same_error(lambda t: t.nn.Linear(2, 3, True, "cpu", None, 4), TypeError, "positional arguments")


def test_factory_kwargs():
    def program(t):
        print(t.nn.factory_kwargs(None), t.nn.factory_kwargs({"device": 1, "factory_kwargs": {"dtype": 2}}))

    same(program)
    same_error(lambda t: t.nn.factory_kwargs({"size": 1}), TypeError, "unexpected kwargs")
    same_error(lambda t: t.nn.factory_kwargs({"dtype": 1, "factory_kwargs": {"dtype": 2}}), TypeError, "dtype")


# -- what single classes have


def test_tables_from_elsewhere():
    def program(t):
        table = t.arange(6.0).reshape(3, 2)
        for cls in (t.nn.Embedding, t.nn.EmbeddingBag):
            own, frozen = cls.from_pretrained(table, freeze=False), cls.from_pretrained(table, padding_idx=1)
            print(
                own,
                frozen,
                own.weight.requires_grad,
                frozen.weight.requires_grad,
                own.weight.data_ptr() == table.data_ptr(),
                frozen.padding_idx,
            )
        shared = t.nn.Embedding(3, 2, _weight=table, _freeze=True)
        print(shared.weight.requires_grad)

        class Mine(t.nn.Embedding):
            pass

        return shared(t.tensor([2, 0])), type(Mine.from_pretrained(table)).__name__, t.rand(2)

    same(program)
    same_error(lambda t: t.nn.Embedding.from_pretrained(t.ones(3)), AssertionError, "Embeddings parameter is expected to be 2-dimensional")
    same_error(lambda t: t.nn.Embedding(3, 3, _weight=t.ones(3, 2)), AssertionError, "Shape of weight does not match num_embeddings")


def test_weights_of_recurrent_modules():
    def program(t):
        for net in (t.nn.LSTM(2, 3, 2, bidirectional=True, proj_size=1), t.nn.GRU(2, 3, bias=False), t.nn.RNN(1, 1, nonlinearity="relu")):
            net.flatten_parameters()
            print(net.mode, net._flat_weights_names, net._all_weights, [len(group) for group in net.all_weights])
            print(net.all_weights[0][0] is net.weight_ih_l0, [tuple(w.shape) for w in net._flat_weights])
        net.bias_hh_l0 = t.nn.Parameter(t.ones(1))
        return net(t.ones(1, 1))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remark on the speed of projections
        same(program)


def test_synchronous_batch_norm_from_another():
    def program(t):
        net = t.nn.Sequential(
            t.nn.Linear(2, 2), t.nn.Sequential(t.nn.BatchNorm1d(2, momentum=0.3), t.nn.BatchNorm2d(2, affine=False)).eval()
        )
        result = t.nn.SyncBatchNorm.convert_sync_batchnorm(net)
        print(result is net, net, net[1][0].training, type(t.nn.SyncBatchNorm.convert_sync_batchnorm(t.nn.BatchNorm3d(1))).__name__)
        return net.state_dict(), list(net.parameters())

    same(program)


def test_old_state_dicts_of_normalisations():
    def program(t):
        norm, state = t.nn.BatchNorm1d(2), {"weight": t.ones(2), "bias": t.ones(2), "running_mean": t.ones(2), "running_var": t.ones(2)}
        norm(t.randn(3, 2))
        print(norm.load_state_dict(state), norm.num_batches_tracked)
        instance = t.nn.InstanceNorm1d(2)
        try:
            instance.load_state_dict({"running_mean": t.ones(2), "running_var": t.ones(2)})
        except RuntimeError as error:
            print(str(error).partition(" with track_running_stats=False")[0])
        return norm.state_dict()

    same(program)


def test_a_norm_of_ones_own_says_what_it_takes():
    def program(t):
        class Norm(t.nn.modules.batchnorm._BatchNorm):
            def _check_input_dim(self, input):
                print("asked", input.dim())

        return Norm(3)(t.randn(2, 3, 1, 1, 1))

    same(program, (2e-5, 1e-5))


def test_a_distance_that_is_a_module():
    def program(t):
        class Distance(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = t.nn.Parameter(t.ones(1))

            def forward(self, a, b):
                return (a - b).abs().sum(-1) * self.scale

        net = t.nn.TripletMarginWithDistanceLoss(distance_function=Distance(), margin=2.0)
        print(net, [name for name, _ in net.named_parameters()], list(net.state_dict()), t.nn.TripletMarginWithDistanceLoss())
        y = net(*t.randn(3, 4, 2))
        y.backward()
        return y, net.distance_function.scale

    same(program)


def test_parts_that_subclasses_replace():
    def program(t):
        class Conv(t.nn.Conv2d):
            def forward(self, x):
                weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
                return self._conv_forward(x, weight, self.bias)

        class Layer(t.nn.TransformerEncoderLayer):
            def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
                return x * 2

            def _ff_block(self, x):
                return super()._ff_block(x) + 1

        return Conv(1, 2, 3, padding=1, padding_mode="reflect")(t.randn(1, 1, 4, 4)), Layer(4, 2, 3, dropout=0.0)(t.randn(2, 1, 4))

    same(program, (2e-5, 1e-5))


def test_cross_map_normalisation():
    def program(t):
        x = t.randn(2, 7, 2, 2)
        nets = [t.nn.CrossMapLRN2d(size, alpha=0.5, beta=0.6, k=2) for size in (1, 2, 3, 4, 5)]
        print(nets[0], nets[-1])
        return [net(x) for net in nets]

    same(program)
    same_error(lambda t: t.nn.CrossMapLRN2d(3)(t.ones(2, 2)), ValueError, "Expected input to be 4D, got 2D instead")


def test_weight_sharing():
    def program(t):
        class Net(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = t.nn.Embedding(5, 3)
                self.out = t.nn.Linear(3, 5, bias=False)
                self.out.weight = self.embed.weight

            def forward(self, x):
                return self.out(self.embed(x))

        net = Net()
        y = net(t.tensor([1, 4]))
        y.sum().backward()
        print([name for name, _ in net.named_parameters()], list(net.state_dict()))
        return y, list(net.parameters())

    same(program)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gradients_of_convolutions_as_functions(dims):
    def program(t):
        from_name = {name: getattr(t.nn.grad, f"conv{dims}d_{name}") for name in ("input", "weight")}
        t.manual_seed(0)
        x, w = t.randn(2, 4, *(7, 6, 5)[:dims]).requires_grad_(), t.randn(6, 2, *(3, 2, 3)[:dims])
        options = (2, 1, 1, 2)
        g = t.randn(getattr(t.nn.functional, f"conv{dims}d")(x, w, None, *options).shape)
        of_weight = from_name["weight"](x, w.shape, g, *options)
        of_weight.square().sum().backward()
        return from_name["input"](x.shape, w, g, *options), of_weight, x

    same(program, (2e-5, 2e-5))  # gradients of up to 60, some of whose terms cancel


def test_types_of_arguments():
    hints = vars(importlib.import_module("torch.nn.common_types"))
    names = {name for name, value in hints.items() if name.endswith("_t") and not name.startswith("__")}
    assert names <= vars(shim.nn.common_types).keys()
    assert shim.nn.common_types._size_2_t == int | tuple[int, int]


def imports(t):
    """What programs import from torch's files, though those only import it themselves."""
    for line in (
        "nn.modules.transformer: Module ModuleList MultiheadAttention Linear Dropout LayerNorm Tensor xavier_uniform_ _get_clones",
        "nn.modules.conv: F Module Parameter init _pair _single _triple _reverse_repeat_tuple _size_2_t",
        "nn.modules.batchnorm: F Parameter init _LazyNormBase",
        "nn.modules.rnn: PackedSequence Parameter apply_permutation",
        "nn.modules.module: _addindent _global_forward_hooks _EXTRA_STATE_KEY_SUFFIX _has_any_global_hook RemovableHandle",
        "nn.functional: _canonical_mask _in_projection _in_projection_packed _mha_shape_check _pair _Reduction Tensor",
        "nn.init: _no_grad_uniform_ _no_grad_normal_ _no_grad_trunc_normal_ _no_grad_fill_ _no_grad_zero_",
        "nn.utils.prune: _validate_pruning_amount_init _compute_nparams_toprune",
        "utils.hooks: RemovableHandle",
    ):
        module, _, names = line.partition(": ")
        found = importlib.import_module(f"{t.__name__}.{module}")
        print(module, [name for name in names.split() if not hasattr(found, name)])
    handle = t.nn.Linear(1, 1).register_forward_hook(print)
    print(isinstance(handle, t.utils.hooks.RemovableHandle), t.nn.modules.module._addindent("a\nb", 2))
    w = t.nn.Parameter(t.empty(2, 3))
    return t.nn.init._no_grad_trunc_normal_(w, 0.0, 1.0, -1.0, 1.0)


def test_what_torchs_files_import():
    same(imports)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        print(shim.nn.modules.conv.nothing)


def attention_parts(t):
    F, masks = t.nn.functional, ["mask", None, "other", t.float32]
    q, k, w, b = t.randn(5, 2, 4), t.randn(6, 2, 4), t.randn(12, 4), t.randn(12)
    print(F._mha_shape_check(q, k, k, None, None, 2), F._mha_shape_check(q[:, 0], k[:, 0], k[:, 0], t.ones(6), t.ones(2, 5, 6), 2))
    print(F._none_or_dtype(None), F._none_or_dtype(q), F._Reduction.get_enum("sum"), F._Reduction.legacy_get_string(None, False, False))
    attention = t.nn.MultiheadAttention(4, 2, batch_first=True)
    mask, padding = t.zeros(3, 3), t.tensor([[0.0, 0.0, -1.0]] * 2)
    merged = [attention.merge_masks(a, p, t.ones(2, 3, 4)) for a in (None, mask, mask.expand(4, 3, 3)) for p in (None, padding)]
    return (
        [
            F._in_projection_packed(q, q, q, w, b),
            F._in_projection_packed(q, k, k, w),
            F._in_projection(q, k, k, w[:4], w[4:8], w[8:], b[:4]),
        ],
        [F._canonical_mask(t.tensor([[True, False]]), *masks), F._canonical_mask(t.ones(1, 2), *masks), F._canonical_mask(None, *masks)],
        merged,
    )


def test_parts_of_attention():
    same(attention_parts)
    f = "functional"
    refused = {
        "only bool and floating types of m are supported": lambda t: getattr(t.nn, f)._canonical_mask(
            t.ones(1).long(), "m", None, "o", None
        ),
        "query should be unbatched 2D": lambda t: getattr(t.nn, f)._mha_shape_check(t.ones(1), t.ones(1), t.ones(1), None, None, 1),
        "expected `key` and `value` to be 3-D": lambda t: getattr(t.nn, f)._mha_shape_check(
            *[t.ones(1, 1, 1), t.ones(1, 1)] + [t.ones(1)], None, None, 1
        ),
        "Expected `attn_mask` shape to be": lambda t: getattr(t.nn, f)._mha_shape_check(*[t.ones(2, 4)] * 3, None, t.ones(3, 2, 2), 2),
    }
    for text, program in refused.items():
        same_error(program, AssertionError, text)


def functions_of_flat_weights(t):
    x, lstm, gru, cell = t.randn(5, 2, 3), t.nn.LSTM(3, 4, 2), t.nn.GRU(3, 4), t.nn.GRUCell(3, 4)
    y, h = t.gru(x, t.zeros(1, 2, 4), gru._flat_weights, True, 1, 0.0, True, False, False)
    y.sum().backward()
    state = (t.zeros(2, 2, 4), t.zeros(2, 2, 4))
    return (
        (y, h, gru.weight_ih_l0),
        t.lstm(x, state, lstm._flat_weights, True, 2, 0.0, False, False, False),
        t.gru_cell(x[0], t.zeros(2, 4), cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh),
        *_plain(t, x),
    )


def _plain(t, x):
    for kind in ("tanh", "relu"):
        rnn, cell = t.nn.RNN(3, 4, nonlinearity=kind), t.nn.RNNCell(3, 4, nonlinearity=kind)
        weights = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
        yield getattr(t, f"rnn_{kind}")(x, t.zeros(1, 2, 4), rnn._flat_weights, True, 1, 0.0, True, False, False)
        yield getattr(t, f"rnn_{kind}_cell")(x[0], t.ones(2, 4), *weights)
    cell = t.nn.LSTMCell(3, 4)
    yield t.lstm_cell(x[0], (t.ones(2, 4), t.ones(2, 4)), cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)


def test_recurrent_functions_of_flat_weights():
    same(functions_of_flat_weights)


@pytest.mark.parametrize("name", ["quantized", "qat", "intrinsic", "quantizable", "backends.thnn", "parallel.comm", "attention.varlen"])
def test_names_that_are_not_supported(name):
    """Read or imported, they say so, and what to do instead; ``hasattr`` and ``except ImportError`` work as for any name that is not there."""
    first = name.split(".")[-1] if name.startswith(("parallel", "attention")) else name.split(".")[0]
    owner = getattr(shim.nn, name.split(".")[0]) if first != name.split(".")[0] else shim.nn
    assert not hasattr(owner, first)
    with pytest.raises(NotImplementedError, match=rf"torch.nn\.(\w+\.)?{first} is not supported: "):
        getattr(owner, first)
    for error in (NotImplementedError, ImportError):
        with pytest.raises(error, match="is not supported: "):
            importlib.import_module(f"funnn.torch.nn.{name}")


@pytest.mark.parametrize("name", ["ao.ns", "ao.nn.qat", "ao.quantization.fx", "quantization.fx"])
def test_modules_of_torch_that_are_not_supported(name):
    with pytest.raises(NotImplementedError, match=f"torch.{name} is not supported: "):
        importlib.import_module(f"funnn.torch.{name}")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'funnn\.torch\.nothing'"):
        importlib.import_module("funnn.torch.nothing")
