"""The first example of stable-baselines3, made small."""

import gymnasium
from stable_baselines3 import A2C, PPO

for kind in (PPO, A2C):
    model = kind(
        "MlpPolicy", gymnasium.make("CartPole-v1"), seed=0, verbose=0, **({"n_steps": 32, "batch_size": 16} if kind is PPO else {})
    )
    model.learn(64)
    print([round(p.detach().double().sum().item(), 4) for p in model.policy.parameters()][:4])
