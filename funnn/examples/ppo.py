"""Proximal policy optimisation on a cart-pole that is written in JAX; eight seeds train at once, in one compiled program.

    python -m funnn.examples.ppo --out docs/pictures/ppo.png

It shows a whole training as a pure function of its key: playing, advantages and updates are scans inside scans, ``step`` of ``train_step`` is the body
of the innermost, and ``vmap`` makes it a training of many seeds. Schulman et al., "Proximal policy optimization algorithms" (2017) and
"High-dimensional continuous control using generalized advantage estimation" (2015); the cart-pole is that of Barto, Sutton and Anderson (1983)
with Gym's constants (CartPole-v1).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import funnn
from funnn import Layer, optim
from funnn import functional as F
from funnn.examples._plot import BLUE, ORANGE, new_figure, save, tidy
from funnn.layers import Linear, Sequential, Tanh

LONGEST = 500  # steps of an episode
FALLEN = 12 * np.pi / 180  # radians
DISCOUNT, TRACE = 0.99, 0.95  # γ and λ
LEARNING_RATE = 1e-3
SCALE = np.array([2.4, 2.0, FALLEN, 2.0], np.float32)  # what the networks see is about as large as 1
ENVIRONMENTS, PLAYED, EPOCHS, MINIBATCHES = 8, 128, 4, 4  # environments side by side, their steps between updates; the updates


class CartPole(NamedTuple):
    """An environment: physics (position in m, velocity, angle in radians, its velocity), the episode's steps so far, the length of the last one."""

    physics: jax.Array
    time: jax.Array
    last: jax.Array


def reset(key: jax.Array) -> CartPole:
    """A new episode: all four numbers of the physics between −0.05 and 0.05."""
    return CartPole(jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), jnp.int32(0), jnp.int32(0))


class Moved(NamedTuple):
    """What a push leads to: the physics before a new episode begins, whether the pole or cart is out of bounds, whether the episode is over."""

    physics: jax.Array
    fallen: jax.Array
    over: jax.Array


def move(environment: CartPole, action: jax.Array, key: jax.Array) -> tuple[CartPole, Moved]:
    """Push the cart to the left (0) or right (1) with 10 N for 0.02 s; the environment that it gives begins again where the episode is over.

    An episode ends when the pole leans by more than 12°, the cart is more than 2.4 m from the middle, or after 500 steps. Each step earns 1.
    """
    velocity, angle, turning = environment.physics[1:]
    force = jnp.where(action == 1, 10.0, -10.0)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    push = (force + 0.05 * turning**2 * sin) / 1.1  # 1.1 kg together, a pole of 0.1 kg and twice 0.5 m
    turning_rate = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    rate = push - 0.05 * turning_rate * cos / 1.1
    physics = environment.physics + 0.02 * jnp.stack([velocity, rate, turning, turning_rate])
    time = environment.time + 1
    fallen = (jnp.abs(physics[0]) > 2.4) | (jnp.abs(physics[2]) > FALLEN)
    over = fallen | (time >= LONGEST)
    going_on, new = CartPole(physics, time, environment.last), reset(key)._replace(last=time)
    return jax.tree.map(partial(jnp.where, over), new, going_on), Moved(physics, fallen, over)


class ActorCritic(Layer):
    """Physics (N, 4) -> logits of the two actions (N, 2), and the expected return (N,). Make one with :func:`actor_critic`."""

    actor: Sequential
    critic: Sequential

    def forward(self, physics):
        x = physics / SCALE
        return self.actor(x), self.critic(x)[:, 0]


def actor_critic(width: int = 64) -> ActorCritic:
    """Two networks of two hidden layers."""

    def network(outputs: int) -> Sequential:
        return Sequential(Linear(4, width), Tanh(), Linear(width, width), Tanh(), Linear(width, outputs))

    return ActorCritic(network(2), network(1))


def log_probability(logits: jax.Array, actions: jax.Array) -> jax.Array:
    """The logarithm of each action's probability, (N,)."""
    return jnp.take_along_axis(F.log_softmax(logits, 1), actions[:, None], 1)[:, 0]


def loss_of(output: tuple, actions: jax.Array, before: jax.Array, advantages: jax.Array, returns: jax.Array) -> tuple[jax.Array, dict]:
    """PPO's loss: the clipped objective, 0.5 · the squared error of the values, −0.01 · the entropy. ``before`` are the old log probabilities."""
    logits, values = output
    ratio = jnp.exp(log_probability(logits, actions) - before)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    objective = jnp.minimum(ratio * advantages, ratio.clip(0.8, 1.2) * advantages).mean()
    entropy = -(F.softmax(logits, 1) * F.log_softmax(logits, 1)).sum(1).mean()
    return -objective + 0.5 * F.mse_loss(values, returns) - 0.01 * entropy, {"entropy": entropy}


class Played(NamedTuple):
    """What one step of the environments leaves for the updates."""

    physics: jax.Array
    action: jax.Array
    log_probability: jax.Array
    value: jax.Array
    moved: Moved


def play(net: ActorCritic, params: Any, environments: CartPole, key: jax.Array) -> tuple[CartPole, Played]:
    """PLAYED steps of all environments: these afterwards, and what was played, arrays (PLAYED, ENVIRONMENTS, …)."""

    def one(environments: CartPole, key: jax.Array) -> tuple[CartPole, Played]:
        action_key, reset_key = jax.random.split(key)
        (logits, value), _ = net.apply(params, {}, environments.physics)
        action = jax.random.categorical(action_key, logits)
        after, moved = jax.vmap(move)(environments, action, jax.random.split(reset_key, len(action)))
        return after, Played(environments.physics, action, log_probability(logits, action), value, moved)

    return jax.lax.scan(one, environments, jax.random.split(key, PLAYED))


def estimate_advantages(played: Played, next_values: jax.Array) -> jax.Array:
    """Aₜ = δₜ + γλ Aₜ₊₁ with δₜ = (1 − γ) + γ Vₜ₊₁ − Vₜ, from the end backwards; no value after a fall, no sum over the end of an episode.

    A step's reward of 1 counts as 1 − γ, so that all values lie between 0 and 1.
    """
    errors = 1 - DISCOUNT + DISCOUNT * next_values * ~played.moved.fallen - played.value

    def one(advantage: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        error, over = step
        advantage = error + DISCOUNT * TRACE * advantage * ~over
        return advantage, advantage

    return jax.lax.scan(one, jnp.zeros(ENVIRONMENTS), (errors, played.moved.over), reverse=True)[1]


def make_train(net: ActorCritic, rounds: int) -> Callable[[jax.Array], tuple[Any, jax.Array]]:
    """``train(key) -> (params, mean length of the environments' last episodes after each round)``, pure: for jit and vmap."""
    schedule = optim.schedules.linear_lr(LEARNING_RATE, start_factor=1.0, end_factor=0.05, total_iters=rounds * EPOCHS * MINIBATCHES)
    start, step, _ = funnn.train_step(net, loss_of, optim.adam(lr=schedule, eps=1e-5))

    def one_round(carry: tuple, key: jax.Array) -> tuple[tuple, jax.Array]:
        train_state, environments = carry
        play_key, order_key = jax.random.split(key)
        environments, played = play(net, train_state.params, environments, play_key)
        (_, next_values), _ = net.apply(train_state.params, {}, played.moved.physics.reshape(-1, 4))
        advantages = estimate_advantages(played, next_values.reshape(PLAYED, ENVIRONMENTS))
        examples = (played.physics, played.action, played.log_probability, advantages, advantages + played.value)
        examples = jax.tree.map(lambda x: x.reshape(PLAYED * ENVIRONMENTS, *x.shape[2:]), examples)
        orders = jax.vmap(lambda key: jax.random.permutation(key, PLAYED * ENVIRONMENTS))(jax.random.split(order_key, EPOCHS))
        batches = jax.tree.map(lambda x: x[orders.reshape(EPOCHS * MINIBATCHES, -1)], examples)
        train_state, _ = jax.lax.scan(step, train_state, batches)
        return (train_state, environments), environments.last.mean()

    def train(key: jax.Array) -> tuple[Any, jax.Array]:
        init_key, reset_key, key = jax.random.split(key, 3)
        carry = start(init_key), jax.vmap(reset)(jax.random.split(reset_key, ENVIRONMENTS))
        (train_state, _), lengths = jax.lax.scan(one_round, carry, jax.random.split(key, rounds))
        return train_state.params, lengths

    return train


@partial(jax.jit, static_argnames=("net", "episodes"))
def watch(net: ActorCritic, params: Any, key: jax.Array, episodes: int) -> jax.Array:
    """The pole's angle in degrees in episodes where the likelier action is taken, (LONGEST, episodes); NaN after their ends."""

    def one(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
        environments, over = carry
        (logits, _), _ = net.apply(params, {}, environments.physics)
        angle = jnp.where(over, jnp.nan, jnp.degrees(environments.physics[:, 2]))
        environments, moved = jax.vmap(move)(environments, logits.argmax(1), jax.random.split(key, episodes))
        return (environments, over | moved.over), angle

    environments = jax.vmap(reset)(jax.random.split(key, episodes))
    return jax.lax.scan(one, (environments, jnp.zeros(episodes, bool)), length=LONGEST)[1]


def draw(lengths: np.ndarray, untrained: np.ndarray, trained: np.ndarray, out: str) -> None:
    """Returns while training, lengths (seeds, rounds), and the pole's angle before and after, (LONGEST, episodes)."""
    figure = new_figure(11, 4)
    left, right = figure.subplots(1, 2)
    steps = PLAYED * ENVIRONMENTS * np.arange(1, lengths.shape[1] + 1) / 1000
    left.plot(steps, lengths.T, color=BLUE, linewidth=0.6, alpha=0.5)
    low, middle, high = np.quantile(lengths, (0.25, 0.5, 0.75), axis=0)
    left.fill_between(steps, low, high, color=BLUE, alpha=0.2, linewidth=0, label="middle half of the seeds")
    left.plot(steps, middle, color=BLUE, linewidth=2, label=f"median of {len(lengths)} seeds; each one thin")
    left.axhline(LONGEST, color="black", linestyle=":", linewidth=1)
    title = "Return, which is the number of steps that the pole stands"
    tidy(left, title, "environment steps of each seed (thousands)", "return of the last episodes")
    left.legend(frameon=False, fontsize=8, loc="lower right")
    seconds = 0.02 * np.arange(LONGEST)
    for angles, color, label in ((untrained, ORANGE, "before training"), (trained, BLUE, "after")):
        lines = right.plot(seconds, angles, color=color, linewidth=1)
        lines[0].set_label(f"{label}, {angles.shape[1]} episodes")
    for sign in (-1, 1):
        right.axhline(sign * np.degrees(FALLEN), color="black", linestyle=":", linewidth=1)
    tidy(right, "The pole; beyond the dotted lines it has fallen", "time (s)", "angle (degrees)")
    right.set_ylim(-14, 14)
    right.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1, 0.9))
    save(figure, out)


def main(arguments: Sequence[str] | None = None) -> np.ndarray:
    """Train all seeds, test, draw; returns the returns, (seeds, rounds)."""
    parser = argparse.ArgumentParser(description="Train cart-pole agents with PPO, many seeds at once.")
    parser.add_argument("--steps", type=int, default=80_000, help="environment steps of each seed")
    parser.add_argument("--seeds", type=int, default=8, help="how many agents train side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="ppo.png")
    options = parser.parse_args(arguments)

    net = actor_critic()
    rounds = max(1, options.steps // (PLAYED * ENVIRONMENTS))
    key = jax.random.key(options.seed)
    print(f"{options.seeds} agents, {rounds * PLAYED * ENVIRONMENTS:,} steps each, as one program", flush=True)
    params, lengths = jax.jit(jax.vmap(make_train(net, rounds)))(jax.random.split(key, options.seeds))
    lengths = np.asarray(lengths)
    for i in range(9, rounds, max(1, rounds // 10)):
        steps, middle, lowest = (i + 1) * PLAYED * ENVIRONMENTS, np.median(lengths[:, i]), lengths[:, i].min()
        print(f"{steps:7,} steps  return, median of seeds {middle:5.0f}, lowest {lowest:5.0f}")

    watch_key = jax.random.fold_in(key, 1)
    angles = np.asarray(jax.vmap(lambda params: watch(net, params, watch_key, 100))(params))
    returns = np.isfinite(angles).sum(1).mean(1)
    print(f"without chance, mean return of 100 new episodes, by seed: {', '.join(f'{value:.0f}' for value in returns)} (at most {LONGEST})")
    untrained = np.asarray(watch(net, net.init(key)[0], watch_key, 5))
    draw(lengths, untrained, angles[0, :, :5], options.out)
    return lengths


if __name__ == "__main__":
    main()
