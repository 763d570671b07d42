"""A frozen ResNet with a new last layer; then all of it finetuned; two phases in one loop, the best weights kept."""

import copy
import os
import tempfile
import time

import numpy as np
import torch
import torch.backends.cudnn as cudnn
import torch.nn as nn
import torch.optim as optim
import torchvision
from PIL import Image
from torch.optim import lr_scheduler
from torchvision import datasets, models, transforms

cudnn.benchmark = True
torch.manual_seed(0)

data_transforms = {
    "train": transforms.Compose(
        [
            transforms.RandomResizedCrop(64),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    ),
    "val": transforms.Compose(
        [
            transforms.Resize(72),
            transforms.CenterCrop(64),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    ),
}


def write_images(folder):
    random = np.random.RandomState(4)
    for phase, n in (("train", 8), ("val", 4)):
        for k, name in enumerate(("ants", "bees")):
            os.makedirs(os.path.join(folder, phase, name))
            for i in range(n):
                pixels = random.randint(0, 120, (40, 48, 3))
                pixels[..., k] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(os.path.join(folder, phase, name, f"{i}.png"))


def train_model(model, criterion, optimizer, scheduler, num_epochs):
    since = time.time()
    with tempfile.TemporaryDirectory() as tempdir:
        best_model_params_path = os.path.join(tempdir, "best_model_params.pt")
        torch.save(model.state_dict(), best_model_params_path)
        best_acc = 0.0
        for epoch in range(num_epochs):
            print(f"Epoch {epoch}/{num_epochs - 1}")
            print("-" * 10)
            for phase in ["train", "val"]:
                if phase == "train":
                    model.train()
                else:
                    model.eval()
                running_loss = 0.0
                running_corrects = 0
                for inputs, labels in dataloaders[phase]:
                    inputs = inputs.to(device)
                    labels = labels.to(device)
                    optimizer.zero_grad()
                    with torch.set_grad_enabled(phase == "train"):
                        outputs = model(inputs)
                        _, preds = torch.max(outputs, 1)
                        loss = criterion(outputs, labels)
                        if phase == "train":
                            loss.backward()
                            optimizer.step()
                    running_loss += loss.item() * inputs.size(0)
                    running_corrects += torch.sum(preds == labels.data)
                if phase == "train":
                    scheduler.step()
                epoch_loss = running_loss / dataset_sizes[phase]
                epoch_acc = running_corrects.double() / dataset_sizes[phase]
                print(f"{phase} Loss: {epoch_loss:.4f} Acc: {epoch_acc:.4f}")
                if phase == "val" and epoch_acc > best_acc:
                    best_acc = epoch_acc
                    torch.save(model.state_dict(), best_model_params_path)
        assert time.time() >= since
        print(f"Best val Acc: {best_acc:4f}")
        model.load_state_dict(torch.load(best_model_params_path, weights_only=True))
    return model


with tempfile.TemporaryDirectory() as data_dir:
    write_images(data_dir)
    image_datasets = {x: datasets.ImageFolder(os.path.join(data_dir, x), data_transforms[x]) for x in ["train", "val"]}
    dataloaders = {x: torch.utils.data.DataLoader(image_datasets[x], batch_size=4, shuffle=True, num_workers=0) for x in ["train", "val"]}
    dataset_sizes = {x: len(image_datasets[x]) for x in ["train", "val"]}
    class_names = image_datasets["train"].classes
    device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    inputs, classes = next(iter(dataloaders["train"]))
    out = torchvision.utils.make_grid(inputs)
    print(out.shape, out.mean(), [class_names[x] for x in classes])

    model_conv = torchvision.models.resnet18(weights=None)
    for param in model_conv.parameters():
        param.requires_grad = False
    num_ftrs = model_conv.fc.in_features
    model_conv.fc = nn.Linear(num_ftrs, 2)
    model_conv = model_conv.to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer_conv = optim.SGD(model_conv.fc.parameters(), lr=0.001, momentum=0.9)
    exp_lr_scheduler = lr_scheduler.StepLR(optimizer_conv, step_size=7, gamma=0.1)
    model_conv = train_model(model_conv, criterion, optimizer_conv, exp_lr_scheduler, num_epochs=2)
    print(sum(p.numel() for p in model_conv.parameters() if p.requires_grad), "trainable")

    model_ft = copy.deepcopy(model_conv).requires_grad_(True)
    optimizer_ft = optim.SGD(
        [
            {"params": model_ft.fc.parameters(), "lr": 1e-3},
            {"params": [p for n, p in model_ft.named_parameters() if not n.startswith("fc.")], "lr": 1e-5},
        ],
        momentum=0.9,
    )
    model_ft = train_model(model_ft, criterion, optimizer_ft, lr_scheduler.ExponentialLR(optimizer_ft, 0.5), num_epochs=1)
    print([group["lr"] for group in optimizer_ft.param_groups])

mobilenet = models.mobilenet_v2(num_classes=5)
mobilenet.classifier[1] = nn.Linear(mobilenet.last_channel, 2)
print(mobilenet.classifier)
backbone = nn.Sequential(*list(models.resnet18().children())[:-1])
print(backbone(torch.ones(2, 3, 32, 32)).flatten(1).shape)
