"""Classes that programs build on torch's: subclasses that draw, compute and store in their own way, and modules whose attributes are changed."""

import inspect
import types

import pytest
from twin import same, same_error

import funnn.torch as shim

# -- initial values by a method of one's own


def drawn(t):
    nn = t.nn

    class Ones(nn.Linear):
        def reset_parameters(self):
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)

    class Doubled(nn.Conv2d):
        def reset_parameters(self):
            super().reset_parameters()
            self.weight.data.mul_(2)

    class Small(nn.Embedding):
        def reset_parameters(self):
            nn.init.normal_(self.weight, std=0.1)
            self._fill_padding_idx_with_zero()

    class Orthogonal(nn.GRU):
        def reset_parameters(self):
            for parameter in self.parameters():
                nn.init.orthogonal_(parameter) if parameter.dim() > 1 else nn.init.constant_(parameter, 0.1)

    class Uniform(nn.BatchNorm1d):
        def reset_parameters(self):
            super().reset_parameters()
            nn.init.uniform_(self.weight)

    class Normal(nn.MultiheadAttention):
        def _reset_parameters(self):
            super()._reset_parameters()
            nn.init.normal_(self.in_proj_weight)

    class All(nn.Transformer):
        def _reset_parameters(self):
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    nn.init.uniform_(parameter)

    class Mixin:
        def reset_parameters(self):
            self.weight.data.fill_(0.5)

    class Mixed(Mixin, nn.PReLU):
        pass

    made = [
        Ones(2, 2),
        Doubled(1, 2, 3),
        Small(4, 2, padding_idx=1),
        Orthogonal(2, 3),
        Uniform(3),
        Normal(4, 2),
        All(4, 2, 1, 1, 8),
        Mixed(),
    ]
    plain = nn.Linear(2, 2)
    plain.reset_parameters()
    return [dict(module.named_parameters()) for module in (*made, plain)], t.rand(2)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # torch's, of a kernel that is not here
def test_constructors_call_the_reset_of_a_subclass():
    same(drawn, (1e-4, 1e-5))


def test_signature_of_a_subclass():
    class Own(shim.nn.Linear):
        def __init__(self, width, *, depth=2):
            super().__init__(width, depth)

    assert str(inspect.signature(Own)) == "(width, *, depth=2)"
    with pytest.raises(RuntimeError, match="must support a 'device' arg"):
        shim.nn.utils.skip_init(Own, 3)
    defaults = {name: p.default for name, p in inspect.signature(shim.nn.LazyInstanceNorm1d).parameters.items()}
    assert defaults["affine"] and defaults["track_running_stats"]
    assert list(inspect.signature(shim.nn.Embedding).parameters)[7:9] == ["_weight", "_freeze"]


# -- bases that torch keeps to itself


def on_private_bases(t):
    nn, F = t.nn, t.nn.functional

    class Transposed(nn.modules.conv._ConvNd):
        def __init__(self, inputs, outputs, size):
            super().__init__(inputs, outputs, size, (1,), (0,), (1,), True, (0,), 1, False, "zeros")

        def forward(self, x):
            return F.conv_transpose1d(x, self.weight)

    class Smoothed(nn.modules.loss._WeightedLoss):
        def __init__(self, weight=None, reduction="mean"):
            super().__init__(weight=weight, reduction=reduction)

        def forward(self, x):
            return -(F.log_softmax(x, -1) * self.weight).mean()

    class Squared(nn.modules.loss._Loss):
        def forward(self, x):
            return F.mse_loss(x, x * 0, reduction=self.reduction)

    class Halved(nn.modules.dropout._DropoutNd):
        def forward(self, x):
            return F.dropout(x, self.p, self.training, self.inplace) / 2

    class Pooled(nn.modules.pooling._MaxPoolNd):
        def forward(self, x):
            return F.max_pool1d(x, self.kernel_size, self.stride, self.padding)

    class Cell(nn.RNNCellBase):
        def __init__(self, inputs, hidden):
            super().__init__(inputs, hidden, bias=True, num_chunks=4)

        def forward(self, x):
            state = x.new_zeros(x.size(0), self.hidden_size)
            return t.lstm_cell(x, (state, state), self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    class Recurrent(nn.RNNBase):
        def __init__(self, inputs, hidden):
            super().__init__("GRU", inputs, hidden, bidirectional=True)

        def forward(self, x):
            state = x.new_zeros(self.get_expected_hidden_size(x, None))
            self.check_forward_args(x, state, None)
            return t.gru(x, state, self._flat_weights, self.bias, 1, 0.0, self.training, self.bidirectional, self.batch_first)

    x = t.randn(2, 3, 4)
    modules = (Transposed(3, 2, (2,)), Smoothed(t.ones(4)), Squared(reduction="sum"), Halved(0.3), Pooled(2), Recurrent(4, 2))
    results = [module(x) for module in modules] + [Cell(4, 3)(x[0])]
    print(*modules, Cell(4, 3), sorted(modules[1].state_dict()), modules[0].transposed, modules[5].mode)
    results[5][0].sum().backward()
    return results, dict(modules[5].named_parameters())


def test_bases_to_build_on():
    same(on_private_bases)
    same_error(lambda t: t.nn.RNNBase("FOO", 1, 2), ValueError, "Unrecognized RNN mode: FOO")
    same_error(lambda t: t.nn.GRU(1, 2, proj_size=1), ValueError, "proj_size argument is only supported for LSTM")
    same_error(lambda t: t.nn.LSTM(2, 3).check_input(t.ones(2, 2), None), RuntimeError, "input must have 3 dimensions, got 2")
    same_error(lambda t: t.nn.GRU(2, 3).check_hidden_size(t.ones(1), (1, 2)), RuntimeError, r"Expected hidden size \(1, 2\), got \[1\]")
    with pytest.raises(ValueError, match="hx must be a tuple of the states"):  # an IndexError in torch, of the second state
        shim.nn.LSTM(1, 2)(shim.ones(1, 3, 1), shim.ones(1, 3, 2))


# -- attributes that programs read and change


def changed(t):
    nn, F = t.nn, t.nn.functional
    x, results = t.randn(4, 3, 5, 5), []

    norm = nn.BatchNorm2d(3)
    norm.momentum, norm.eps = 0.5, 1e-2
    results.append(norm(x))
    norm.momentum = None
    results.append(norm(x))
    norm.track_running_stats = False
    results += [norm(x), norm.eval()(x), dict(norm.state_dict())]
    norm.running_mean = norm.running_var = None
    results.append(norm(x))

    conv = nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect")
    print(conv.transposed, conv.output_padding, conv._reversed_padding_repeated_twice)
    conv.padding_mode = "circular"
    results.append(conv(x))

    def sides(self, input, weight, bias):
        return F.conv2d(F.pad(input, self._reversed_padding_repeated_twice, mode="circular"), weight, bias, self.stride, 0)

    conv.padding_mode, conv._conv_forward = "zeros", types.MethodType(sides, conv)
    results.append(conv(x))

    attention = nn.MultiheadAttention(4, 2)
    attention.num_heads, attention.head_dim = 1, 4
    y = t.randn(3, 2, 4)
    results.append(attention(y, y, y))

    distance, pool = nn.PairwiseDistance(3), nn.ConvTranspose1d(1, 1, 2, stride=2)
    distance.norm = 1
    print(distance.norm, pool._output_padding(t.ones(1, 1, 3), [7], (2,), (0,), (2,), 1), nn.PReLU(init=0.1).init, nn.ReLU6().max_val)
    print(nn.ZeroPad2d(1).value, nn.Upsample(2).name, nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2]).cutoffs, nn.Linear.T_destination)
    layers = [nn.TransformerEncoderLayer(4, 2, 8, activation=function) for function in (F.relu, nn.GELU(), t.tanh)]
    print([layer.activation_relu_or_gelu for layer in layers])
    return results, distance(y, y * 2)


def test_attributes_of_modules():
    same(changed)


def dropped_weights(t):
    """The recurrent weights are computed from others before every call, as in AWD-LSTM."""
    lstm = t.nn.LSTM(2, 3, 2)
    raw = lstm.weight_hh_l0
    del lstm._parameters["weight_hh_l0"]
    lstm.register_parameter("weight_hh_l0_raw", t.nn.Parameter(raw.data))
    lstm.weight_hh_l0 = t.nn.functional.dropout(lstm.weight_hh_l0_raw, 0.5, True)
    lstm._flat_weights = [getattr(lstm, name) for name in lstm._flat_weights_names]
    x = t.randn(4, 1, 2)
    first, _ = lstm(x)
    first.sum().backward()
    lstm.weight_hh_l0 = lstm.weight_hh_l0_raw * 0
    return first, lstm.weight_hh_l0_raw, lstm(x)[0]


def test_recurrent_weights_that_are_computed():
    same(dropped_weights)


def registrations(t):
    from_module, log, handles = t.nn.modules.module, [], []
    for kind in ("buffer", "parameter", "module"):
        register = getattr(from_module, f"register_module_{kind}_registration_hook")
        handles.append(register(lambda module, name, value, kind=kind: log.append((kind, name))))
    t.nn.BatchNorm1d(2)
    t.nn.Sequential(t.nn.MultiheadAttention(2, 1))
    for handle in handles:
        handle.remove()
    t.nn.Linear(1, 1)
    print(log)


def test_hooks_on_registrations_see_the_modules_of_layers():
    same(registrations)


def test_before_the_constructor_of_module():
    def early(t):
        class Early(t.nn.Module):
            def __init__(self):
                self.register_buffer("b", t.ones(1))

        Early()

    same_error(early, AttributeError, r"cannot assign buffer before Module.__init__\(\) call")


@pytest.mark.parametrize("size", [(1,), (2,)])
def test_a_number_in_a_state_dict(size):
    """Scalars were saved as vectors of one element once."""

    def program(t):
        module = t.nn.Module()
        module.s = t.nn.Parameter(t.tensor(1.0))
        module.load_state_dict({"s": t.full(size, 4.0)})
        return module.s

    same(program) if size == (1,) else same_error(program, RuntimeError, "size mismatch for s")


def test_complex_modules_warn():
    with pytest.warns(UserWarning, match="Complex modules are a new feature"):
        assert shim.nn.Linear(1, 1).to(shim.complex64).weight.dtype is shim.complex64


def test_a_device_is_a_context():
    for name in ("cpu", "meta"):
        with shim.device(name):
            made = shim.nn.Linear(1, 1), shim.nn.Linear(1, 1, device="cpu")
        assert [str(each.weight.device) for each in made] == [name, "cpu"]
    assert str(shim.nn.Linear(1, 1).weight.device) == "cpu"  # as it was before the contexts
    assert shim.nn.Linear(1, 1, device="meta").weight.is_meta
