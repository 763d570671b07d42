"""A vision transformer and a residual network with batch normalisation and augmentation, beside the same networks of PyTorch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from funnn import Layer, checkpoint, init, optim
from funnn import functional as F
from funnn.layers import (
    BatchNorm2d,
    Conv2d,
    LayerNorm,
    Linear,
    Param,
    ReLU,
    Residual,
    Sequential,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from tests.quick import quick

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((6, 3, 8, 8)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3, 4, 0])


class ViT(Layer):
    width: int = 16
    depth: int = 2
    classes: int = 5

    def __post_init__(self):
        self.patch = Conv2d(3, self.width, 4, stride=4)
        block = TransformerEncoderLayer(self.width, 2, 32, dropout=0.0, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = TransformerEncoder(block, self.depth)
        self.norm = LayerNorm(self.width)
        self.head = Linear(self.width, self.classes)

    def spec(self):
        return {"cls": Param((1, 1, self.width), init.zeros), "places": Param((1, 5, self.width), init.normal)}

    def forward(self, images):
        patches = self.patch(images).reshape(len(images), self.width, -1).swapaxes(1, 2)
        x = jnp.concatenate([jnp.broadcast_to(self.cls, (len(images), 1, self.width)), patches], 1) + self.places
        return self.head(self.norm(self.encoder(x))[:, 0])


class TorchViT(torch.nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.cls = torch.nn.Parameter(torch.zeros(1, 1, width))
        self.places = torch.nn.Parameter(torch.randn(1, 5, width, generator=torch.Generator().manual_seed(0)))
        self.patch = torch.nn.Conv2d(3, width, 4, stride=4)
        block = torch.nn.TransformerEncoderLayer(width, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = torch.nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.norm = torch.nn.LayerNorm(width)
        self.head = torch.nn.Linear(width, 5)

    def forward(self, images):
        patches = self.patch(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(images), -1, -1), patches], 1) + self.places
        return self.head(self.norm(self.encoder(x))[:, 0])


def resnet():
    body = Sequential(
        Conv2d(8, 8, 3, padding=1, bias=False), BatchNorm2d(8), ReLU(), Conv2d(8, 8, 3, padding=1, bias=False), BatchNorm2d(8)
    )
    return Sequential(Conv2d(3, 8, 3, padding=1, bias=False), BatchNorm2d(8), Residual(body), ReLU(), Pool(), Linear(8, 5))


class Pool(Layer):
    def forward(self, x):
        return x.mean((2, 3))


class TorchResidual(torch.nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


def torch_resnet():
    nn = torch.nn
    body = nn.Sequential(
        *(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)),
    )
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), TorchResidual(body), nn.ReLU(), pool, nn.Linear(8, 5)
    )


def compare(net, theirs, images, steps=3):
    """Training from the same weights by the same rule: losses, and all arrays after it."""
    params, state = checkpoint.from_state_dict(theirs.state_dict(), *jax.eval_shape(net.init, jax.random.key(0)))
    optimizer, torch_optimizer = optim.sgd(lr=0.05, momentum=0.9), torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
    opt_state = optimizer.init(params)

    @quick
    def step(params, state, opt_state, x):
        def loss(params):
            logits, new = net.apply(params, state, x, train=True)
            return F.cross_entropy(logits, jnp.asarray(LABELS)), new

        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), state, opt_state, value

    for x in images[:steps]:
        params, state, opt_state, value = step(params, state, opt_state, x)
        torch_optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(theirs(torch.tensor(np.asarray(x))), torch.tensor(LABELS))
        expected.backward()
        torch_optimizer.step()
        np.testing.assert_allclose(value, expected.item(), rtol=1e-4)
    theirs.eval()
    logits, _ = quick(net.apply)(params, state, images[0])
    np.testing.assert_allclose(logits, theirs(torch.tensor(np.asarray(images[0]))).detach(), rtol=2e-3, atol=2e-4)
    ours, wanted = checkpoint.to_state_dict(params, state), theirs.state_dict()
    assert ours.keys() == wanted.keys()
    for name, array in ours.items():
        np.testing.assert_allclose(array, wanted[name], rtol=2e-3, atol=2e-4, err_msg=name)


def augment(key, image, pad=2):
    """One image mirrored with probability 1/2 and cut out at random of its padded self."""
    flip, shift = jax.random.split(key)
    image = jnp.where(jax.random.bernoulli(flip), image[..., ::-1], image)
    start = jax.random.randint(shift, (2,), 0, 2 * pad + 1)
    return jax.lax.dynamic_slice(jnp.pad(image, ((0, 0), (pad, pad), (pad, pad))), (0, *start), image.shape)


def augmented(count=3):
    keys = jax.random.split(jax.random.key(3), (count, len(IMAGES)))
    return quick(jax.vmap(jax.vmap(augment), (0, None)))(keys, jnp.asarray(IMAGES))


def test_a_vision_transformer():
    torch.manual_seed(0)
    compare(ViT(), TorchViT(), [jnp.asarray(IMAGES)] * 3)


def test_a_residual_network_with_augmentation():
    torch.manual_seed(1)
    theirs = torch_resnet()
    net = resnet()
    theirs[5].weight.data.mul_(2)
    ours = dict(zip(checkpoint.to_state_dict(*net.init(jax.random.key(0))), theirs.state_dict(), strict=True))
    assert all(theirs_name == name for name, theirs_name in ours.items())
    compare(net, theirs, augmented())


def test_the_augmentation_is_a_window_of_the_image_or_its_mirror():
    for image, changed in zip(IMAGES, np.asarray(augmented(1)[0]), strict=True):
        windows = []
        for candidate in (image, image[..., ::-1]):
            padded = np.pad(candidate, ((0, 0), (2, 2), (2, 2)))
            windows += [padded[:, i : i + 8, j : j + 8] for i in range(5) for j in range(5)]
        assert any((window == changed).all() for window in windows)
