"""Torchvision's pieces: files of digits in MNIST's format, transforms of both versions, MixUp, a ResNet for grey images, metrics, drawn boxes, embeddings."""

import gzip
import os
import struct
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torchvision
import torchvision.transforms as T
import torchvision.transforms.functional as TF
from torch.utils.data import DataLoader, default_collate
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import v2


def write_mnist(root, n, train):
    folder = os.path.join(root, "MNIST", "raw")
    os.makedirs(folder, exist_ok=True)
    rng = np.random.RandomState(n)
    labels = rng.randint(0, 10, n).astype(np.uint8)
    images = rng.randint(0, 60, (n, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels):
        image[2 + 2 * label : 6 + 2 * label, 4:24] = 230
    prefix = "train" if train else "t10k"
    for name, magic, array in ((f"{prefix}-images-idx3-ubyte", 2051, images), (f"{prefix}-labels-idx1-ubyte", 2049, labels)):
        data = struct.pack(f">I{array.ndim}I", magic, *array.shape) + array.tobytes()
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
        with gzip.open(os.path.join(folder, name + ".gz"), "wb") as f:
            f.write(data)


torch.manual_seed(17)
with tempfile.TemporaryDirectory() as root:
    write_mnist(root, 48, True)
    write_mnist(root, 40, False)
    transform = T.Compose([T.RandomAffine(5, translate=(0.05, 0.05)), T.ToTensor(), T.Normalize((0.1307,), (0.3081,))])
    train_set = torchvision.datasets.MNIST(root, train=True, download=False, transform=transform)
    test_set = torchvision.datasets.MNIST(root, train=False, transform=T.Compose([T.ToTensor(), T.Normalize((0.1307,), (0.3081,))]))
    print(len(train_set), train_set.data.shape, train_set.targets[:5], train_set.classes[3])
    print(repr(test_set).splitlines()[:2], test_set.transform)
    mixup = v2.MixUp(alpha=0.4, num_classes=10)
    train_loader = DataLoader(train_set, batch_size=24, shuffle=True, collate_fn=lambda batch: mixup(*default_collate(batch)))
    test_loader = DataLoader(test_set, batch_size=40)
    model = torchvision.models.resnet18(weights=None, num_classes=10)
    model.conv1 = nn.Conv2d(1, 64, kernel_size=3, stride=2, padding=1, bias=False)
    model.maxpool = nn.Identity()
    model.layer3 = model.layer4 = nn.Identity()
    model.fc = nn.Linear(128, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(2):
        model.train()
        for images, targets in train_loader:
            loss = criterion(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(f"{loss.item():.4f}", tuple(targets.shape), f"{targets.max(1).values.mean():.4f}")
    model.eval()
    with torch.no_grad():
        for images, targets in test_loader:
            out = model(images)
            print(f"test {criterion(out, targets).item():.4f}", (out.argmax(1) == targets).sum().item())

picture = (torch.linspace(0, 255, 3 * 32 * 40).view(3, 32, 40)).to(torch.uint8)
pil = TF.to_pil_image(picture)
print(pil.size, pil.mode, TF.pil_to_tensor(TF.rotate(pil, 30, fill=7)).float().mean(), TF.adjust_brightness(picture, 0.5).float().mean())
augment = v2.Compose(
    [
        v2.ToImage(),
        v2.RandomResizedCrop(24, scale=(0.5, 1.0), antialias=True),
        v2.RandomHorizontalFlip(),
        v2.ColorJitter(0.2, 0.2),
        v2.ToDtype(torch.float32, scale=True),
    ]
)
print(augment)
batch = torch.stack([augment(pil) for _ in range(3)])
print(batch.shape, batch.mean((1, 2, 3)))
print(
    T.RandAugment()(pil).size,
    T.AutoAugment(T.AutoAugmentPolicy.CIFAR10)(picture).shape,
    T.FiveCrop(16)(pil)[4].size,
    T.GaussianBlur(3)(batch).std(),
)
print(T.RandomErasing(p=1.0)(batch[0]).eq(0).sum(), TF.resized_crop(batch, 2, 2, 10, 12, [8, 8]).shape, TF.equalize(picture).float().std())
boxes = torch.tensor([[2, 2, 12, 12], [3, 3, 13, 13], [20, 20, 30, 30]], dtype=torch.float)
print(torchvision.ops.box_iou(boxes, boxes)[0], torchvision.ops.box_convert(boxes, "xyxy", "cxcywh")[2])
drawn = torchvision.utils.draw_bounding_boxes(picture, boxes, colors="red", width=2)
grid = torchvision.utils.make_grid(batch, nrow=2, padding=1, normalize=True)
print(drawn.float().mean(), grid.shape, grid.mean())
vit = torchvision.models.vision_transformer.VisionTransformer(
    image_size=24, patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=4
).eval()
print(sum(p.numel() for p in vit.parameters()), vit(batch).shape, vit.heads)
features = create_feature_extractor(model, {"layer2": "maps"})(torch.zeros(1, 1, 28, 28))
print({k: v.shape for k, v in features.items()})
print(torchvision.ops.sigmoid_focal_loss(torch.zeros(2), torch.ones(2), reduction="mean"), torchvision.ops.MLP(4, [8, 2]))
