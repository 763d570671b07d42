"""Knowledge distillation: a teacher, a lighter student, soft targets, cosine loss on hidden states, regressors."""

import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(42)
device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
centres = torch.randn(5, 3, 8, 8)
labels = torch.randint(0, 5, (160,))
data = TensorDataset(centres[labels] * 0.4 + torch.randn(160, 3, 8, 8), labels)
train_set, test_set = random_split(data, [0.75, 0.25])
train_loader = DataLoader(train_set, batch_size=24, shuffle=True, num_workers=2)
test_loader = DataLoader(test_set, batch_size=40, shuffle=False)


class DeepNN(nn.Module):
    def __init__(self, num_classes=5, cosine=False):
        super(DeepNN, self).__init__()
        self.cosine = cosine
        self.features = nn.Sequential(
            nn.Conv2d(3, 12, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 8, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2, stride=2),
        )
        self.classifier = nn.Sequential(nn.Linear(128, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, num_classes))

    def forward(self, x):
        x = self.features(x)
        flattened = torch.flatten(x, 1)
        x = self.classifier(flattened)
        if self.cosine:
            return x, nn.functional.avg_pool1d(flattened, 2)
        return x


class LightNN(nn.Module):
    def __init__(self, num_classes=5, cosine=False):
        super(LightNN, self).__init__()
        self.cosine = cosine
        self.features = nn.Sequential(nn.Conv2d(3, 4, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=2, stride=2))
        self.classifier = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, num_classes))

    def forward(self, x):
        flat = torch.flatten(self.features(x), 1)
        out = self.classifier(flat)
        return (out, flat) if self.cosine else out


def train(model, train_loader, epochs, learning_rate, device):
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=learning_rate)
    model.train()
    for epoch in range(epochs):
        running_loss = 0.0
        for inputs, labels in train_loader:
            inputs, labels = inputs.to(device), labels.to(device)
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        print(f"Epoch {epoch + 1}/{epochs}, Loss: {running_loss / len(train_loader)}")


def test(model, test_loader, device):
    model.to(device)
    model.eval()
    correct = total = 0
    with torch.no_grad():
        for inputs, labels in test_loader:
            outputs = model(inputs)
            if isinstance(outputs, tuple):
                outputs = outputs[0]
            _, predicted = torch.max(outputs.data, 1)
            total += labels.size(0)
            correct += (predicted == labels).sum().item()
    accuracy = 100 * correct / total
    print(f"Test Accuracy: {accuracy:.2f}%")
    return accuracy


def train_knowledge_distillation(teacher, student, T, soft_target_loss_weight, ce_loss_weight, cosine=False):
    ce_loss = nn.CrossEntropyLoss()
    cosine_loss = nn.CosineEmbeddingLoss()
    optimizer = optim.Adam(student.parameters(), lr=0.004)
    teacher.eval()
    student.train()
    for epoch in range(2):
        running_loss = 0.0
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            with torch.no_grad():
                teacher_out = teacher(inputs)
            student_out = student(inputs)
            if cosine:
                (teacher_logits, t_hidden), (student_logits, s_hidden) = teacher_out, student_out
                soft_targets_loss = cosine_loss(s_hidden, t_hidden, target=torch.ones(inputs.size(0)).to(device))
            else:
                teacher_logits, student_logits = teacher_out, student_out
                soft_targets = nn.functional.softmax(teacher_logits / T, dim=-1)
                soft_prob = nn.functional.log_softmax(student_logits / T, dim=-1)
                soft_targets_loss = torch.sum(soft_targets * (soft_targets.log() - soft_prob)) / soft_prob.size()[0] * (T**2)
                built_in = nn.KLDivLoss(reduction="batchmean", log_target=True)(soft_prob, soft_targets.log()) * T**2
                assert torch.allclose(soft_targets_loss, built_in, rtol=1e-4)
            label_loss = ce_loss(student_logits, labels)
            loss = soft_target_loss_weight * soft_targets_loss + ce_loss_weight * label_loss
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        print(f"Epoch {epoch + 1}, Loss: {running_loss / len(train_loader):.5f}")


torch.manual_seed(42)
nn_deep = DeepNN().to(device)
train(nn_deep, train_loader, epochs=3, learning_rate=0.003, device=device)
test(nn_deep, test_loader, device)
torch.manual_seed(42)
nn_light = LightNN().to(device)
torch.manual_seed(42)
new_nn_light = LightNN().to(device)
print("Norm of 1st layer of nn_light:", torch.norm(nn_light.features[0].weight).item())
print("Norm of 1st layer of new_nn_light:", torch.norm(new_nn_light.features[0].weight).item())
print("DeepNN parameters: {}".format("{:,}".format(sum(p.numel() for p in nn_deep.parameters()))))
train(nn_light, train_loader, epochs=2, learning_rate=0.004, device=device)
test(nn_light, test_loader, device)
train_knowledge_distillation(nn_deep, new_nn_light, T=2, soft_target_loss_weight=0.25, ce_loss_weight=0.75)
test(new_nn_light, test_loader, device)
deep, light = DeepNN(cosine=True), LightNN(cosine=True)
deep.load_state_dict(nn_deep.state_dict())
train_knowledge_distillation(deep, light, 2, 0.25, 0.75, cosine=True)
test(light, test_loader, device)
