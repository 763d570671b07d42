"""The cells of the five documents that users start from, run under both namespaces: printed text, results and gradients must agree.

The numbers in this file are the documents' (``002`` is the third of them). Random numbers agree because both libraries draw PyTorch's.
"""

from math import prod

import numpy as np
import pytest
from twin import cells, same

# -- 000: a reference guide


def c000_functional_linear(torch):
    F = torch.nn.functional
    N, nX, nY = 1, 2, 3
    X, W, B = torch.ones(N, nX), torch.ones(nY, nX), torch.ones(nY)
    print(F.linear(X, W, B), X.mm(W.t()) + B, torch.addmm(B, X, W.t()))


def c000_linear_class(torch):
    fc = torch.nn.Linear(2, 3)
    X = torch.ones(1, 2)
    Y = fc(X)
    print(Y, fc.bias, fc.bias.is_leaf, fc.bias.grad)
    L = torch.sum(Y * Y)
    L.backward()
    print(fc.bias.grad, L)
    with torch.no_grad():
        fc.weight.copy_(torch.ones(3, 2))
        fc.bias.copy_(torch.zeros(3))
    fc.weight.requires_grad = False
    print(fc.weight, fc.bias, fc(X))


def c000_linear_by_hand(torch):
    def linear(X, weight, bias=None):
        if X.dim() == 2 and bias is not None:
            ret = torch.addmm(bias, X, weight.t())
        else:
            output = X.matmul(weight.t())
            if bias is not None:
                output += bias
            ret = output
        return ret

    w, b = torch.randn(3, 2, requires_grad=True), torch.randn(3, requires_grad=True)
    x = torch.randn(4, 5, 2)
    linear(x, w, b).sum().backward()
    linear(x[0], w, b).sum().backward()
    print(w.grad, b.grad)


def c000_embedding(torch):
    emb = torch.nn.Embedding(5, 2)
    X = torch.tensor([0, 2, 1])
    print(emb(X))
    print(emb.weight)
    emb(X).sum().backward()
    print(emb.weight.grad, emb)


def c000_conv(torch):
    X = torch.zeros(1, 1, 3, 4)
    X[0, 0, :, :2] = 1
    print(X)
    conv = torch.nn.Conv2d(1, 1, kernel_size=2, bias=False)
    print(conv)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]))
    print(conv.weight)
    print(conv.bias)
    print(conv(X))


def c000_flatten(torch):
    print(tuple(torch.nn.Flatten()(torch.ones(2, 5, 4, 3)).shape))


def c000_dropout(torch):
    m = torch.nn.Dropout(p=0.2)
    print(m(torch.ones(10)))
    x = torch.randn(100, 100)
    m.eval()
    y = m(x)
    print((x == y).float().mean())
    m.train()
    y = m(x)
    print(x.abs().mean(), (x * x < 1e-10).float().mean())
    print(y.abs().mean(), (y * y < 1e-10).float().mean())


def c000_batch_norm(torch):
    m = torch.nn.BatchNorm1d(2)
    x = torch.randn(1000, 2)
    x = 2 * x + 3
    print(x.mean(dim=0), x.var(dim=0))
    y = m(x)
    with torch.no_grad():
        print(y.mean(dim=0).abs() < 1e-5, y.var(dim=0))
    for k, v in m.state_dict().items():
        print(f"{k:20s}: {tuple(v.shape)}")
    print(m.running_mean, m.running_var, m.num_batches_tracked)


def c000_softmax(torch):
    X = torch.tensor([[1.0, 2.0, 3]])
    print(torch.nn.Softmax(dim=1)(X), torch.nn.LogSoftmax(dim=1)(X))


def c000_mse(torch):
    loss = torch.nn.MSELoss()
    y, yb = torch.rand(10, 2), torch.rand(10, 2)
    print(loss(y, yb), ((y - yb) ** 2).mean())


def c000_cross_entropy(torch):
    nn = torch.nn
    B, C, L = 10, 5, 4
    w = torch.rand(C)
    CE_loss = nn.CrossEntropyLoss(weight=w, ignore_index=1)
    y = torch.randn(B, C, L)
    yb = torch.empty(B, L, dtype=torch.long).random_(C)
    print(CE_loss(y, yb))
    y = -nn.Softmax(dim=1)(y).log()
    loss, norm = 0, 0
    for b in range(B):
        for l in range(L):
            c = yb[b, l]
            if c != 1:
                loss += w[c] * y[b, c, l]
                norm += w[c]
    print(loss / norm)


# -- 001: layers


def c001_linear_and_algebra(torch):
    linear = torch.nn.Linear(in_features=5, out_features=3)
    X = torch.rand(10, 5)
    print(linear(X))
    print(X @ linear.weight.T + linear.bias)


def c001_dropout(torch):
    torch.manual_seed(111)
    dropout_layer = torch.nn.Dropout(p=0.3)
    tensor = (torch.arange(3 * 3, dtype=float) + 1).reshape((3, 3))
    print("Original tensor:")
    print(tensor)
    print()
    print("Dropout result:")
    print(dropout_layer(tensor))


def c001_batch_norm(torch):
    example = torch.arange(20, dtype=torch.float).reshape(4, 5)
    print(example)
    print(torch.nn.BatchNorm1d(num_features=5)(example))


def c001_conv1d(torch):
    show_conv = torch.nn.Conv1d(in_channels=1, out_channels=1, kernel_size=2)
    with torch.no_grad():
        show_conv.weight = torch.nn.Parameter(
            torch.arange(prod(show_conv.weight.shape), dtype=torch.float).reshape_as(show_conv.weight) + 1
        )
        show_conv.bias = torch.nn.Parameter(torch.tensor([0.0]))
    print(show_conv.weight)
    print(show_conv.bias)
    data = torch.arange(5 * 1 * 5, dtype=torch.float).reshape([5, 1, 5])
    print(data)
    print(show_conv(data))


def c001_max_pool(torch):
    input = torch.arange(10, dtype=torch.float16)[None, :]
    print(input)
    print(torch.nn.MaxPool1d(kernel_size=3)(input))


def c001_activation(torch):
    simple_activation, inplace_activation = torch.nn.ReLU(), torch.nn.ReLU(inplace=True)
    input = torch.randn(3, 3)
    print(input)
    simple_activation(input)
    print(input)
    inplace_activation(input)
    print(input, inplace_activation)


def c001_flatten_unflatten(torch):
    input = torch.arange(81).reshape([3, 3, 3, 3])
    x = torch.nn.Flatten()(input)
    output = torch.nn.Unflatten(dim=1, unflattened_size=(3, 3, 3))(x)
    print(input.shape, x.shape, output.shape)


def c001_parameters(torch):
    layer = torch.nn.Linear(2, 2)
    kernel = next(iter(layer.parameters()))
    kernel.data = torch.tensor([[3, 1], [1, 5]], dtype=torch.float).reshape_as(kernel.data)
    print(next(iter(layer.parameters())).data)


# -- 002: notes and a cookbook


def c002_custom_model(torch):
    nn = torch.nn

    class MyModel(torch.nn.Module):
        def __init__(self):
            super(MyModel, self).__init__()  # noqa: UP008
            self.A = nn.Parameter(torch.randn((1), requires_grad=True))
            self.B = nn.Parameter(torch.randn((1), requires_grad=True))

        def forward(self, input):
            return self.A * input[:, 0] * torch.log(input[:, 1]) + self.B * input[:, 1] * input[:, 1]

    model = MyModel()
    output = model(torch.rand(5, 2) + 1)
    output.sum().backward()
    print(model, list(model.parameters()), output, model.A.grad, model.B.grad)


def c002_xor(torch):
    nn, F = torch.nn, torch.nn.functional

    class MyModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.in_to_hid = torch.nn.Linear(2, 2)
            self.hid_to_out = torch.nn.Linear(2, 1)

        def forward(self, input):
            hidden = torch.tanh(self.in_to_hid(input))
            return torch.sigmoid(self.hid_to_out(hidden))

    net = MyModel()
    print(net)
    input = torch.Tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    expected = torch.Tensor([[0], [1], [1], [0]])
    optimiser = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9, weight_decay=0.0001)
    for _ in range(5):
        optimiser.zero_grad()
        loss = torch.sum((net(input) - expected) ** 2)
        loss.backward()
        optimiser.step()
        print(f"{loss.item():.4f}")
    optimiser = torch.optim.Adam(net.parameters(), eps=0.000001, lr=0.01, betas=(0.5, 0.999), weight_decay=0.0001)
    for _ in range(5):
        optimiser.zero_grad()
        loss = F.mse_loss(net(input), expected)
        loss.backward()
        optimiser.step()
    print(loss)
    return list(net.parameters())


def c002_sequential(torch):
    nn = torch.nn

    class MyModel(nn.Module):
        def __init__(self, num_input, num_hidden, num_out):
            super().__init__()
            self.main = nn.Sequential(nn.Linear(num_input, num_hidden), nn.Tanh(), nn.Linear(num_hidden, num_out), nn.Sigmoid())

        def forward(self, input):
            return self.main(input)

    net = MyModel(3, 4, 2)
    print(net, net(torch.rand(2, 3)))


def c002_tensors(torch):
    x = torch.rand((2, 3))
    print("===== Original tensor =====")
    print(x)
    print("Size: {}".format(x.size()))  # noqa: UP032
    x = x.transpose(0, 1)
    print(x)
    x = x.reshape((1, 6))
    print(x)
    x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0])
    print("x = {}".format(x))  # noqa: UP032
    print(f"x + y = {x + y}", f"x - y = {x - y}", f"x * y = {x * y}", f"x / y = {x / y}")


def c002_numpy(torch):
    x = torch.tensor([1, 2, 3])
    print(f"Torch tensor: {x}")
    x = x.numpy()
    print(f"Numpy array:  {x}")
    x = np.array([1, 2, 3])
    x = torch.from_numpy(x)
    print(f"Torch tensor: {x}")


def c002_cuda(torch):
    x = torch.ones(1, 3)
    if torch.cuda.is_available():
        x = x.to(torch.device("cuda"))
    print(x.to("cpu", torch.double))


def c002_autograd(torch):
    x = torch.ones(2, 2, requires_grad=True)
    print(f"x = {x}")
    y = x + 2
    print(f"y = {y}")
    print(f"y.grad_fn = {y.grad_fn}")
    z = y * y * 3
    print(f"z = {z}")
    print(f"z.grad_fn = {z.grad_fn}")
    theta = z.mean()
    print(f"Theta of z = {theta}")
    print(f"Theta.grad_fn = {theta.grad_fn}")
    theta.backward()
    print(f"dθ/dx = {x.grad}")


def c002_retain_graph(torch):
    A = torch.randn(2, requires_grad=True)
    loss = (A.detach() * A).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    print(A.grad)


def lenet(torch, kernel=5, flat=16 * 5 * 5, second=5):
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, kernel)
            self.conv2 = nn.Conv2d(6, 16, second)
            self.fc1 = nn.Linear(flat, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.view(-1, self.num_flat_features(x))
            x = F.relu(self.fc1(x))
            x = F.relu(self.fc2(x))
            return self.fc3(x)

        def num_flat_features(self, x):
            size = x.size()[1:]
            num_features = 1
            for s in size:
                num_features *= s
            return num_features

    return Net()


def c002_lenet(torch):
    net = lenet(torch, 3, 16 * 6 * 6, 3)
    print(net)
    for each_layer in net.parameters():
        print("    {}".format(each_layer.size()))  # noqa: UP032
    input = torch.randn(1, 1, 32, 32)
    out = net(input)
    print("Output layer:", out)
    net.zero_grad()
    out.backward(torch.randn(1, 10))
    output = net(input)
    target = torch.randn(10).view(1, -1)
    criterion = torch.nn.MSELoss()
    loss = criterion(output, target)
    print(loss)
    net.zero_grad()
    print(net.conv1.bias.grad)
    loss.backward()
    print(net.conv1.bias.grad)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    optimiser.zero_grad()
    loss = criterion(net(input), target)
    loss.backward()
    optimiser.step()
    print(net.conv1.bias)
    return criterion(net(input), target).detach()


def c002_eval(torch):
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(3))
    with torch.no_grad():
        net.eval()
        print(net(torch.ones(2, 3)))
        net.train()
    print(net.training, net(torch.rand(4, 3)).requires_grad)


# -- 003: a video's text


def c003_tiny_model(torch):
    class TinyModel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear1 = torch.nn.Linear(100, 200)
            self.activation = torch.nn.ReLU()
            self.linear2 = torch.nn.Linear(200, 10)
            self.softmax = torch.nn.Softmax()

        def forward(self, x):
            return self.softmax(self.linear2(self.activation(self.linear1(x))))

    tinymodel = TinyModel()
    print(tinymodel)
    print(tinymodel.linear2)
    for param in tinymodel.parameters():
        print(param)


def c003_linear(torch):
    lin = torch.nn.Linear(3, 2)
    x = torch.rand(1, 3)
    print(x)
    for param in lin.parameters():
        print(param)
    print(lin(x))


def c003_lenet(torch):
    net = lenet(torch, 5, 16 * 6 * 6, 3)
    print(net, [tuple(p.shape) for p in net.parameters()])
    return net(torch.randn(2, 1, 32, 32)).detach()


def c003_max_pool(torch):
    my_tensor = torch.rand(1, 6, 6)
    print(my_tensor)
    print(torch.nn.MaxPool2d(3)(my_tensor))


def c003_normalization(torch):
    my_tensor = torch.rand(1, 4, 4) * 20 + 5
    print(my_tensor)
    print(my_tensor.mean())
    normed_tensor = torch.nn.BatchNorm1d(4)(my_tensor)
    print(normed_tensor)
    print(normed_tensor.mean().abs() < 1e-6)


def c003_dropout(torch):
    my_tensor = torch.rand(1, 4, 4)
    dropout = torch.nn.Dropout(p=0.4)
    print(dropout(my_tensor))
    print(dropout(my_tensor))


# -- 004: an older tutorial


def c004_lenet(torch):
    Variable = torch.autograd.Variable
    net = lenet(torch)
    print(net)
    params = list(net.parameters())
    print(len(params), params[0].size())
    input = Variable(torch.randn(1, 1, 32, 32))
    out = net(input)
    print(out)
    net.zero_grad()
    out.backward(torch.ones(1, 10))
    output = net(input)
    target = Variable(torch.arange(1.0, 11)).view(1, -1)
    loss = torch.nn.MSELoss()(output, target)
    net.zero_grad()
    loss.backward()
    print(net.conv1.bias.grad)
    print(loss.grad_fn)
    print(loss.grad_fn.next_functions[0][0])
    print(loss.grad_fn.next_functions[0][0].next_functions[0][0])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    optimizer.step()
    print(net.conv1.bias)


def c004_convolutions(torch):
    nn = torch.nn
    return [
        nn.Conv1d(16, 33, 3, stride=2)(torch.randn(2, 16, 50)).detach(),
        nn.Conv2d(4, 5, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))(torch.randn(2, 4, 10, 12)).detach(),
        nn.Conv3d(3, 4, (3, 5, 2), stride=(2, 1, 1), padding=(4, 2, 0))(torch.randn(1, 3, 5, 6, 7)).detach(),
        nn.MaxPool2d((3, 2), stride=(2, 1))(torch.randn(2, 3, 10, 8)),
        nn.AvgPool2d((3, 2), stride=(2, 1))(torch.randn(2, 3, 10, 8)),
    ]


def c004_activations(torch):
    input = torch.randn(2)
    print(input)
    print(torch.nn.ReLU()(input), torch.nn.Sigmoid()(input))


def c004_norm_and_sparse(torch):
    nn = torch.nn
    embedding = nn.Embedding(10, 3)
    print(embedding(torch.LongTensor([[1, 2, 4, 5], [4, 3, 2, 9]])))
    return [
        nn.BatchNorm1d(10)(torch.randn(20, 10)).detach(),
        nn.BatchNorm1d(10, affine=False)(torch.randn(20, 10)),
        nn.BatchNorm2d(4)(torch.randn(2, 4, 5, 6)).detach(),
        nn.Dropout(p=0.2)(torch.randn(20, 16)),
        nn.Linear(20, 30)(torch.randn(128, 20)).size() == (128, 30),
    ]


def c004_losses(torch):
    nn, Variable = torch.nn, torch.autograd.Variable
    results = []
    for loss in (nn.L1Loss(), nn.MSELoss()):
        input = Variable(torch.randn(3, 5), requires_grad=True)
        output = loss(input, Variable(torch.randn(3, 5)))
        output.backward()
        print(output)
        results.append(input)
    input = Variable(torch.randn(3, 5), requires_grad=True)
    nn.CrossEntropyLoss()(input, Variable(torch.LongTensor(3).random_(5))).backward()
    other = Variable(torch.randn(3, 5), requires_grad=True)
    nn.NLLLoss()(nn.LogSoftmax(dim=1)(other), Variable(torch.LongTensor([1, 0, 4]))).backward()
    return [*results, input, other]


def c004_init(torch):
    init = torch.nn.init
    w = torch.Tensor(3, 5)
    return [
        init.uniform_(w).clone(),
        init.normal_(w).clone(),
        init.constant_(w, 0.3).clone(),
        init.xavier_uniform_(w, gain=init.calculate_gain("relu")).clone(),
        init.xavier_normal_(w).clone(),
        init.kaiming_normal_(w, mode="fan_out").clone(),
    ]


CELLS = cells(globals())


@pytest.mark.parametrize("name", CELLS)
def test_cell(name):
    same(CELLS[name], tolerance=(2e-4, 2e-6))
