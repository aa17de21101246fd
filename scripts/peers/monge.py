"""Fits a transport map with ott-jax on given samples for a given time: a child process of `himacl-experiments monge`.

Usage: python monge.py neural-dual|monge-gap --x X.npy --y Y.npy --test TEST.npy --output OUT.npy --seconds S [--seed N]

X and Y are unpaired samples of source and target, `(n, d)` float32. OUT.npy gets the images of TEST, of the same shape.
Compilation is not timed: the clock starts when the first step has ended. The last line on stdout is one JSON object:
`seconds`, `steps`, `options`.

* neural-dual: `W2NeuralDual` as in ott-jax's tutorial: an input-convex network (4 x 64) that starts at the Gaussian map,
  a network of 4 x 64 for the conjugate, Adam with cosine decay from 1e-3, batches of 1,024; the map is the gradient of the
  first (`DualPotentials.transport` of ott-jax 0.6 takes half of that and half of x);
* monge-gap: `MongeGapEstimator` as in ott-jax's tutorial: a network of 128, 64, 64 that maps, Sinkhorn divergence as the
  fitting loss and the Monge gap as the regulariser (strength 1), Adam from 1e-2, batches of 512.

The schedules end with the time: a trial run says how many steps fit.
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ott.geometry import pointcloud
from ott.neural.methods import monge_gap, neuraldual
from ott.neural.networks import icnn, potentials
from ott.tools import sinkhorn_divergence

TRIAL_STEPS = 8


class OutOfTime(Exception):
    """Ends a training loop that has no other way out."""


class Clock:
    """Starts at the end of the first step, so that compilation is not in it."""

    def __init__(self, seconds: float) -> None:
        self.limit, self.started, self.steps, self.seconds = seconds, None, 0, 0.0

    def step(self) -> None:
        now = time.perf_counter()
        if self.started is None:
            self.started = now
            return
        self.steps += 1
        self.seconds = now - self.started
        if self.seconds >= self.limit:
            raise OutOfTime

    def steps_in(self, seconds: float) -> int:
        return max(10, int(seconds * self.steps / max(self.seconds, 1e-9)))


def batches(points: np.ndarray, size: int, seed: int):
    generator = np.random.default_rng(seed)
    while True:
        yield jnp.asarray(points[generator.integers(0, len(points), size)])


def neural_dual(x, y, test, seconds, seed):
    d, size = x.shape[1], 1024

    def train(clock, steps):
        optimizer = lambda: optax.adam(optax.cosine_decay_schedule(1e-3, steps, alpha=1e-2), b1=0.5, b2=0.5)  # noqa: E731
        solver = neuraldual.W2NeuralDual(
            d,
            icnn.ICNN(dim_data=d, dim_hidden=[64] * 4, pos_weights=True, gaussian_map_samples=(x, y)),
            potentials.PotentialMLP(dim_hidden=[64] * 4),
            optimizer(),
            optimizer(),
            num_train_iters=steps + 2,
            valid_freq=10**9,
            pos_weights=True,
            rng=jax.random.key(seed),
        )

        def callback(_, dual):
            # A step is done once its parameters are there.
            jax.block_until_ready(jax.tree_util.tree_leaves(solver.state_f.params))
            clock.step()

        loaders = [batches(points, size, seed * 4 + at) for at, points in enumerate((x, y, x, y))]
        try:
            solver(*loaders, callback=callback)
        except OutOfTime:
            pass
        return jax.vmap(jax.grad(solver.state_f.potential_value_fn(solver.state_f.params)))

    trial = Clock(seconds)
    train(trial, TRIAL_STEPS)
    clock = Clock(seconds)
    brenier = train(clock, trial.steps_in(seconds))
    return brenier(jnp.asarray(test)), clock


def monge_gap_map(x, y, test, seconds, seed):
    d, size = x.shape[1], 512

    def divergence(mapped, target):
        out = sinkhorn_divergence.sinkhorn_divergence(
            pointcloud.PointCloud, x=mapped, y=target, relative_epsilon="mean", epsilon=0.01, static_b=True
        )
        return out[0], None

    def gap(source, mapped):
        value = monge_gap.monge_gap_from_samples(source, mapped, relative_epsilon="mean", epsilon=0.01)
        return value, None

    def train(clock, steps):
        solver = monge_gap.MongeGapEstimator(
            dim_data=d,
            model=potentials.PotentialMLP(dim_hidden=[128, 64, 64], is_potential=False),
            optimizer=optax.adam(optax.cosine_decay_schedule(1e-2, steps, alpha=1e-2)),
            fitting_loss=divergence,
            regularizer=gap,
            num_train_iters=steps + 2,
            rng=jax.random.key(seed),
        )
        sources, targets = batches(x, size, seed * 2), batches(y, size, seed * 2 + 1)
        state = solver.state_neural_net
        try:
            for step in range(steps + 2):
                batch = {"source": next(sources), "target": next(targets)}
                state, _ = solver.step_fn(state, batch, None, False, step)
                jax.block_until_ready(jax.tree_util.tree_leaves(state.params))
                clock.step()
        except OutOfTime:
            pass
        return state

    trial = Clock(seconds)
    train(trial, TRIAL_STEPS)
    clock = Clock(seconds)
    state = train(clock, trial.steps_in(seconds))
    return state.apply_fn({"params": state.params}, jnp.asarray(test)), clock


METHODS = {"neural-dual": neural_dual, "monge-gap": monge_gap_map}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=METHODS)
    for name in ("--x", "--y", "--test", "--output"):
        parser.add_argument(name, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    x, y, test = (np.load(path) for path in (args.x, args.y, args.test))
    images, clock = METHODS[args.method](x, y, test, args.seconds, args.seed)
    np.save(args.output, np.asarray(images, dtype=np.float32))
    print(json.dumps({"seconds": clock.seconds, "steps": clock.steps, "jax": jax.__version__}))


if __name__ == "__main__":
    main()
