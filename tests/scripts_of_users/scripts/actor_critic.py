"""Actor and critic with one body: namedtuples of saved actions, smooth L1 values, a gridworld."""

from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical

SavedAction = namedtuple("SavedAction", ["log_prob", "value"])
torch.manual_seed(5)


class Grid:
    moves = [(0, 1), (1, 0), (0, -1), (-1, 0)]

    def reset(self):
        self.at = [0, 0]
        return self.observe()

    def observe(self):
        return [self.at[0] / 3, self.at[1] / 3, 1.0]

    def step(self, action):
        for axis in (0, 1):
            self.at[axis] = min(3, max(0, self.at[axis] + self.moves[action][axis]))
        done = self.at == [3, 3]
        return self.observe(), 1.0 if done else -0.05, done


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(3, 32)
        self.action_head = nn.Linear(32, 4)
        self.value_head = nn.Linear(32, 1)
        self.saved_actions = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.affine1(x))
        action_prob = F.softmax(self.action_head(x), dim=-1)
        state_values = self.value_head(x)
        return action_prob, state_values


model = Policy()
optimizer = optim.Adam(model.parameters(), lr=3e-2)
env = Grid()
lengths = deque(maxlen=3)


def select_action(state):
    state = torch.tensor(state)
    probs, state_value = model(state)
    m = Categorical(probs)
    action = m.sample()
    model.saved_actions.append(SavedAction(m.log_prob(action), state_value))
    return action.item()


def finish_episode():
    R = 0
    saved_actions = model.saved_actions
    policy_losses = []
    value_losses = []
    returns = []
    for r in model.rewards[::-1]:
        R = r + 0.99 * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    for (log_prob, value), R in zip(saved_actions, returns):
        advantage = R - value.item()
        policy_losses.append(-log_prob * advantage)
        value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
    optimizer.zero_grad()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
    loss.backward()
    optimizer.step()
    del model.rewards[:]
    del model.saved_actions[:]
    return loss


for episode in range(5):
    state = env.reset()
    for t in range(1, 40):
        state, reward, done = env.step(select_action(state))
        model.rewards.append(reward)
        if done:
            break
    lengths.append(t)
    print(f"Episode {episode} length {t} mean {sum(lengths) / len(lengths):.2f} loss {finish_episode():.4f}")

with torch.no_grad():
    probs, value = model(torch.tensor([[0.0, 0, 1], [1, 0.5, 1]]))
    print(probs, value, sep="\n")
    print(Categorical(probs).entropy())
