"""Names by an RNN of characters: classification with NLLLoss by hand, then generation from a category."""

import math
import random
import string
import time
import unicodedata

import torch
import torch.nn as nn

all_letters = string.ascii_letters + " .,;'-"
n_letters = len(all_letters) + 1
category_lines = {
    "Italian": ["Rossi", "Russo", "Ferrari", "Esposito", "Bianchi", "Romano"],
    "Polish": ["Nowak", "Kowalski", "Wiśniewski", "Wójcik", "Kamiński"],
    "Japanese": ["Sato", "Suzuki", "Takahashi", "Tanaka", "Watanabe", "Ito"],
}
all_categories = list(category_lines)
n_categories = len(all_categories)
torch.manual_seed(20)
random.seed(20)


def unicodeToAscii(s):
    return "".join(c for c in unicodedata.normalize("NFD", s) if unicodedata.category(c) != "Mn" and c in all_letters)


category_lines = {k: [unicodeToAscii(s) for s in v] for k, v in category_lines.items()}
print(category_lines["Polish"])


def lineToTensor(line):
    tensor = torch.zeros(len(line), 1, n_letters)
    for li, letter in enumerate(line):
        tensor[li][0][all_letters.find(letter)] = 1
    return tensor


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super(RNN, self).__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size, hidden_size)
        self.h2h = nn.Linear(hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, input, hidden):
        hidden = torch.tanh(self.i2h(input) + self.h2h(hidden))
        output = self.h2o(hidden)
        output = self.softmax(output)
        return output, hidden

    def initHidden(self):
        return torch.zeros(1, self.hidden_size)


def categoryFromOutput(output):
    top_n, top_i = output.topk(1)
    category_i = top_i[0].item()
    return all_categories[category_i], category_i


rnn = RNN(n_letters, 32, n_categories)
criterion = nn.NLLLoss()
learning_rate = 0.01
print(lineToTensor("Jones").size(), lineToTensor("J").nonzero())


def train(category_tensor, line_tensor):
    hidden = rnn.initHidden()
    rnn.zero_grad()
    for i in range(line_tensor.size()[0]):
        output, hidden = rnn(line_tensor[i], hidden)
    loss = criterion(output, category_tensor)
    loss.backward()
    for p in rnn.parameters():
        p.data.add_(p.grad.data, alpha=-learning_rate)
    return output, loss.item()


start = time.time()
current_loss = 0
all_losses = []
for iter in range(1, 61):
    category = random.choice(all_categories)
    line = random.choice(category_lines[category])
    category_tensor = torch.tensor([all_categories.index(category)], dtype=torch.long)
    output, loss = train(category_tensor, lineToTensor(line))
    current_loss += loss
    if iter % 15 == 0:
        guess, guess_i = categoryFromOutput(output)
        correct = "✓" if guess == category else "✗ (%s)" % category
        assert time.time() - start < 1e6
        print("%d %d%% %.4f %s / %s %s" % (iter, iter / 60 * 100, loss, line, guess, correct))
        all_losses.append(current_loss / 15)
        current_loss = 0
print([round(x, 4) for x in all_losses])

confusion = torch.zeros(n_categories, n_categories)
with torch.no_grad():
    for i, category in enumerate(all_categories):
        for line in category_lines[category]:
            hidden = rnn.initHidden()
            for letter in lineToTensor(line):
                output, hidden = rnn(letter, hidden)
            confusion[i][categoryFromOutput(output)[1]] += 1
        confusion[i] = confusion[i] / confusion[i].sum()
print(confusion)
topv, topi = output.topk(2, 1, True)
for i in range(2):
    print("(%.2f) %s" % (topv[0][i].item(), all_categories[topi[0][i].item()]))


class Generator(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super(Generator, self).__init__()
        self.i2h = nn.Linear(n_categories + input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(n_categories + input_size + hidden_size, output_size)
        self.o2o = nn.Linear(hidden_size + output_size, output_size)
        self.dropout = nn.Dropout(0.1)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, category, input, hidden):
        input_combined = torch.cat((category, input, hidden), 1)
        hidden = self.i2h(input_combined)
        output = self.i2o(input_combined)
        output = self.o2o(torch.cat((hidden, output), 1))
        return self.softmax(self.dropout(output)), hidden


gen = Generator(n_letters, 24, n_letters)
optimizer = torch.optim.SGD(gen.parameters(), lr=5e-3)


def categoryTensor(category):
    tensor = torch.zeros(1, n_categories)
    tensor[0][all_categories.index(category)] = 1
    return tensor


for step in range(12):
    category = random.choice(all_categories)
    line = random.choice(category_lines[category])
    inputs = lineToTensor(line)
    target = torch.LongTensor([all_letters.find(c) for c in line[1:]] + [n_letters - 1])
    target.unsqueeze_(-1)
    hidden = torch.zeros(1, 24)
    optimizer.zero_grad()
    loss = torch.Tensor([0])
    for i in range(inputs.size(0)):
        output, hidden = gen(categoryTensor(category), inputs[i], hidden)
        l = criterion(output, target[i])
        loss += l
    loss.backward()
    optimizer.step()
    print(f"{step} {loss.item() / inputs.size(0):.4f}", end="; " if step < 11 else "\n")
gen.eval()
with torch.no_grad():
    for start_letter in "RNS":
        input, hidden, name = lineToTensor(start_letter), torch.zeros(1, 24), start_letter
        for _ in range(8):
            output, hidden = gen(categoryTensor("Polish"), input[0], hidden)
            topi = output.topk(1)[1][0][0]
            if topi == n_letters - 1:
                break
            name += all_letters[topi]
            input = lineToTensor(all_letters[topi])
        print(name, math.exp(output.max()) < 1)
