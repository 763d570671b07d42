"""The networks of tutorials, each a function of the library that makes it and an input."""


def xor_mlp(t):
    class MyModel(t.nn.Module):
        def __init__(self):
            super(MyModel, self).__init__()  # noqa: UP008
            self.in_to_hid = t.nn.Linear(2, 2)
            self.hid_to_out = t.nn.Linear(2, 1)

        def forward(self, input):
            hidden = t.tanh(self.in_to_hid(input))
            return t.sigmoid(self.hid_to_out(hidden))

    return MyModel(), t.Tensor([[0, 0], [0, 1], [1, 0], [1, 1]])


def lenet(t):
    nn, F = t.nn, t.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super(Net, self).__init__()  # noqa: UP008
            self.conv1 = nn.Conv2d(1, 6, 3)
            self.conv2 = nn.Conv2d(6, 16, 3)
            self.fc1 = nn.Linear(16 * 6 * 6, 120)
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
            num_features = 1
            for s in x.size()[1:]:
                num_features *= s
            return num_features

    return Net(), t.randn(2, 1, 32, 32)


def tiny_model(t):
    class TinyModel(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear1 = t.nn.Linear(100, 200)
            self.activation = t.nn.ReLU()
            self.linear2 = t.nn.Linear(200, 10)
            self.softmax = t.nn.Softmax(dim=1)

        def forward(self, x):
            x = self.linear1(x)
            x = self.activation(x)
            x = self.linear2(x)
            x = self.softmax(x)
            return x

    return TinyModel(), t.rand(3, 100)


def sequential_inside(t):
    nn = t.nn

    class MyModel(nn.Module):
        def __init__(self, num_input, num_hidden, num_out):
            super().__init__()
            self.main = nn.Sequential(nn.Linear(num_input, num_hidden), nn.Tanh(), nn.Linear(num_hidden, num_out), nn.Sigmoid())

        def forward(self, input):
            return self.main(input)

    return MyModel(3, 5, 2), t.randn(4, 3)


def custom_parameters(t):
    nn = t.nn

    class MyModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.A = nn.Parameter(t.randn((1), requires_grad=True))
            self.B = nn.Parameter(t.randn((1), requires_grad=True))

        def forward(self, input):
            return self.A * input[:, 0] * t.log(input[:, 1]) + self.B * input[:, 1] * input[:, 1]

    return MyModel(), t.rand(5, 2) + 0.1


def normalised(t):
    nn = t.nn

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm = nn.BatchNorm1d(width)
            self.fc = nn.Linear(width, width, bias=False)
            self.register_buffer("scale", t.full((width,), 0.5))
            self.drop = nn.Dropout(0.4)

        def forward(self, x):
            return x + self.drop(self.fc(self.norm(x))) * self.scale

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block(4) for _ in range(2)])
            self.heads = nn.ModuleDict({"a": nn.Linear(4, 1), "b": nn.Linear(4, 2)})

        def forward(self, x, head="b"):
            for block in self.blocks:
                x = block(x)
            return self.heads[head](x)

    return Net(), t.randn(6, 4)


NETWORKS = {f.__name__: f for f in (xor_mlp, lenet, tiny_model, sequential_inside, custom_parameters, normalised)}
