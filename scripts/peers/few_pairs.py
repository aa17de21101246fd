#!/usr/bin/env python3
"""Maps from few known pairs, side by side on the same embeddings, splits and pairs, one thread.

usage: few_pairs.py NAME=SOURCE.npy,TARGET.npy ... [--pairs 20,50,200,1000] [--seeds 5] [--methods NAME,...]
                    [--output RESULTS.jsonl]

Row i of both files is one item. A fifth of the items is held out; of the rest some pairs are known, the others are both
sides without their pairing. Every setting is chosen by folds of the known pairs. Figures are means of both directions.
The methods, re-stated here in numpy, each after its paper:
  ridge        ridge maps both ways, scores are the mean of both cosines
  procrustes   the rotation
  cca          regularised canonical correlation
  csa          the same, directions weighted by their correlations (Li et al., 2410.07610)
  asif         relative representations: similarities with the known items, sparse and raised to a power (Norelli et al., 2210.01738)
  structure    linear maps by InfoNCE, with the neighbourhoods of all items kept as they were (Groeger et al., 2506.16895; one level)
  sotalign     a linear teacher, then linear maps by InfoNCE and KLOT over all items (Roschmann et al., 2602.23353)
  himacl       the Python package of this repository
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import numpy as np  # noqa: E402


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def ranks(scores):
    """Those with the same score share the mean of their ranks: sparse representations tie in many places."""
    own = np.diag(scores)[:, None]
    return 1 + (scores > own).sum(1) + ((scores == own).sum(1) - 1) / 2


def figures(scores):
    both = ranks(scores), ranks(scores.T)
    mean = lambda of: float(np.mean([of(r).mean() for r in both]))  # noqa: E731
    return {
        "r1": mean(lambda r: r <= 1),
        "r10": mean(lambda r: r <= 10),
        "foscttm": mean(lambda r: (r - 1) / (len(r) - 1)),
        "log_rank": mean(np.log),
    }


AXES = 384


class Side:
    """Unit rows, centred on all training items, unit rows again, in their leading principal axes; of the items to learn
    from and of the held-out ones."""

    def __init__(self, training, held_out):
        mean = unit(training).mean(0)
        rows = unit(unit(training) - mean)
        axes = np.linalg.eigh(rows.T @ rows)[1][:, : -AXES - 1 : -1]
        self.training, self.held_out = (unit(unit(unit(rows) - mean) @ axes) for rows in (training, held_out))


# A fit takes known pairs (x, y), all items of both sides in no common order, a setting; it gives a function of two sets of
# rows that returns their scores.
def ridge(x, y, _all, penalty):
    def one_way(a, b):
        gram = a @ a.T
        return a.T @ np.linalg.solve(gram + penalty * np.trace(gram) / len(a) * np.eye(len(a)), b)

    forward, backward = one_way(x, y), one_way(y, x)
    return lambda p, q: unit(p @ forward) @ q.T + p @ unit(q @ backward).T


def procrustes(x, y, _all, _setting):
    u, _, v = np.linalg.svd(x.T @ y, full_matrices=False)
    return lambda p, q: unit(p @ (u @ v)) @ q.T


def canonical(x, y, penalty):
    """Projections of both sides and the correlations; by way of the smaller of pairs and coordinates."""

    def whitened(side):
        u, s, v = np.linalg.svd(side, full_matrices=False)
        keep = s > 1e-5 * s[0]
        u, s, v = u[:, keep], s[keep], v[keep]
        scale = np.sqrt(s**2 + penalty * (side**2).sum() / len(side))
        return u * (s / scale), v.T / scale

    (a, to_a), (b, to_b) = whitened(x), whitened(y)
    u, correlations, v = np.linalg.svd(a.T @ b, full_matrices=False)
    return to_a @ u, to_b @ v.T, correlations


def cca(x, y, _all, setting):
    penalty, width = setting
    to_x, to_y, _ = canonical(x, y, penalty)
    return lambda p, q: unit(p @ to_x[:, :width]) @ unit(q @ to_y[:, :width]).T


def csa(x, y, _all, setting):
    penalty, width = setting
    to_x, to_y, weights = canonical(x, y, penalty)
    return lambda p, q: (unit(p @ to_x[:, :width]) * weights[:width]) @ unit(q @ to_y[:, :width]).T


def asif(x, y, _all, setting):
    share, power = setting
    kept = max(int(share * len(x)), 2)

    def relative(rows, known):
        near = rows @ known.T
        if kept < near.shape[1]:
            near = np.where(near >= np.partition(near, -kept, 1)[:, -kept, None], near, 0)
        return unit(np.sign(near) * np.abs(near) ** power)

    return lambda p, q: relative(p, x) @ relative(q, y).T


def softmax(rows):
    rows = np.exp(rows - rows.max(1, keepdims=True))
    return rows / rows.sum(1, keepdims=True)


def sinkhorn(scores, epsilon, iterations=10):
    """The entropic plan of largest score between even masses, times its number of rows: rows sum to 1."""
    n, m = scores.shape
    kernel = scores / epsilon
    g = np.zeros(m)
    log_sum = lambda a, axis: a.max(axis) + np.log(np.exp(a - a.max(axis, keepdims=True)).sum(axis))  # noqa: E731
    for _ in range(iterations):
        f = -np.log(n) - log_sum(kernel + g, 1)
        g = -np.log(m) - log_sum(kernel + f[:, None], 0)
    return n * np.exp(kernel + f[:, None] + g)


class Linear:
    """A linear map to unit rows, trained by Adam."""

    def __init__(self, weight):
        self.weight, self.first, self.second, self.step = weight.copy(), 0 * weight, 0 * weight, 0

    def __call__(self, rows):
        return unit(rows @ self.weight)

    def pull_back(self, rows, gradient):
        image = rows @ self.weight
        length = np.linalg.norm(image, axis=1, keepdims=True)
        along = image / length
        return rows.T @ ((gradient - (gradient * along).sum(1, keepdims=True) * along) / length)

    def update(self, gradient, rate=2e-3):
        self.step += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        first, second = self.first / (1 - 0.9**self.step), self.second / (1 - 0.999**self.step)
        self.weight -= rate * np.abs(self.weight).mean() * 10 * first / (np.sqrt(second) + 1e-8)


TEMPERATURE, STEPS, BATCH, WIDTH = 0.07, 100, 256, 128


def trained(x, y, everything, weight, regulariser):
    """Maps of both sides from the canonical projections, by InfoNCE on the known pairs and `weight` times a regulariser,
    which gives its gradients by the images of a batch of either side."""
    generator = np.random.default_rng(0)
    to_x, to_y, _ = canonical(x, y, 1.0)
    maps = Linear(to_x[:, :WIDTH]), Linear(to_y[:, :WIDTH])
    for _ in range(STEPS):
        at = generator.permutation(len(x))[:BATCH]
        p, q = x[at], y[at]
        u, v = maps[0](p), maps[1](q)
        scores = u @ v.T / TEMPERATURE
        slope = (softmax(scores) + softmax(scores.T).T - 2 * np.eye(len(at))) / (2 * len(at) * TEMPERATURE)
        gradients = [maps[0].pull_back(p, slope @ v), maps[1].pull_back(q, slope.T @ u)]
        if weight > 0:
            batch = [side[generator.permutation(len(side))[:BATCH]] for side in everything]
            slopes = regulariser(batch, [of(rows) for of, rows in zip(maps, batch)])
            for gradient, of, rows, extra in zip(gradients, maps, batch, slopes):
                gradient += weight * of.pull_back(rows, extra)
        for of, gradient in zip(maps, gradients):
            of.update(gradient)
    return lambda p, q: maps[0](p) @ maps[1](q).T


def structure(x, y, everything, weight):
    def regulariser(batch, images):
        slopes = []
        for rows, image in zip(batch, images):
            difference = softmax(image @ image.T / TEMPERATURE) - softmax(rows @ rows.T / TEMPERATURE)
            slopes.append((difference + difference.T) @ image / (len(rows) * TEMPERATURE))
        return slopes

    return trained(x, y, everything, weight, regulariser)


def sotalign(x, y, everything, weight, epsilon=0.05):
    teacher = ridge(x, y, everything, 1.0)

    def regulariser(batch, images):
        known = sinkhorn(teacher(*batch) / 2, epsilon)
        slope = (sinkhorn(images[0] @ images[1].T, epsilon) - known) / (epsilon * len(batch[0]))
        return slope @ images[1], slope.T @ images[0]

    return trained(x, y, everything, weight, regulariser)


PENALTIES = [0.1, 0.3, 1.0, 3.0, 10.0]
METHODS = {
    "ridge": (ridge, PENALTIES),
    "procrustes": (procrustes, [None]),
    "cca": (cca, [(penalty, width) for penalty in PENALTIES + [30.0] for width in (32, 256)]),
    "csa": (csa, [(penalty, width) for penalty in PENALTIES + [30.0] for width in (32, 256)]),
    "asif": (asif, [(share, power) for share in (0.1, 0.25, 1.0) for power in (1, 2, 4, 8)]),
    "structure": (structure, [0.0, 1.0, 10.0]),
    "sotalign": (sotalign, [0.01, 0.1, 1.0]),
}


def chosen_fit(method, x, y, everything):
    fit, settings = METHODS[method]
    best = settings[0]
    if len(settings) > 1:
        folds = min(2 if method in ("structure", "sotalign") else 5, len(x) // 3)
        fold = np.arange(len(x)) % folds
        losses = []
        for setting in settings:
            parts = []
            for hidden in (fold == at for at in range(folds)):
                scores = fit(x[~hidden], y[~hidden], everything, setting)
                # Hidden partners are ranked among all items of the other side.
                parts.append(np.log(rank_among(scores(x[hidden], everything[1]), scores(x[hidden], y[hidden]))).mean())
                parts.append(np.log(rank_among(scores(everything[0], y[hidden]).T, scores(x[hidden], y[hidden]).T)).mean())
            losses.append(np.mean(parts))
        best = settings[int(np.argmin(losses))]
    return fit(x, y, everything, best), best


def rank_among(scores, own):
    return 1 + (scores > np.diag(own)[:, None] + 1e-9).sum(1)


def himacl_scores(source, target, pairs, held_out, seed, settings):
    import himacl

    aligner = himacl.Aligner("anchors", seed=seed, threads=1, settings=settings)
    aligner.fit(source, target, anchors=pairs)
    x, y = aligner.joint(*held_out)
    report = aligner.report_
    return x @ y.T, {"chosen": report["chosen"], "selection": report["selection"], "pairs": aligner.pairs_}


def run(name, source, target, count, seed, methods):
    generator = np.random.default_rng(1000 + seed)
    order = generator.permutation(len(source))
    held, training = np.split(order, [len(source) // 5])
    shuffled = generator.permutation(len(training))
    shown = [source[training], target[training][shuffled]]
    place = np.argsort(shuffled)
    pairs = np.stack([np.arange(count), place[:count]], 1)
    sides = [Side(rows, whole[held]) for rows, whole in zip(shown, (source, target))]
    x, y = sides[0].training[pairs[:, 0]], sides[1].training[pairs[:, 1]]
    everything = (sides[0].training, sides[1].training)
    for method in methods:
        started, extra = time.process_time(), {}
        if method.startswith("himacl"):
            settings = json.loads(method.partition(":")[2] or "{}")
            scores, extra = himacl_scores(*shown, pairs, (source[held], target[held]), seed, settings)
            found = extra.pop("pairs")[count:]
            extra["pairing"] = float((place[found[:, 0]] == found[:, 1]).mean()) if len(found) else None
        else:
            fit, setting = chosen_fit(method, x, y, everything)
            scores, extra = fit(sides[0].held_out, sides[1].held_out), {"setting": setting}
        seconds = time.process_time() - started
        yield {"set": name, "pairs": count, "seed": seed, "method": method, **figures(scores), "seconds": seconds, **extra}


def table(results):
    """Means and standard deviations over the seeds."""
    lines = ["| set | pairs | method | R@1 | R@10 | FOSCTTM | seconds |", "|---|---|---|---|---|---|---|"]
    groups = {}
    for result in results:
        groups.setdefault((result["set"], result["pairs"], result["method"]), []).append(result)
    for (name, count, method), group in groups.items():
        of = {key: [result[key] for result in group] for key in ("r1", "r10", "foscttm", "seconds")}
        cells = [f"{np.mean(of[key]):.3f} ± {np.std(of[key], ddof=min(1, len(group) - 1)):.3f}" for key in ("r1", "r10", "foscttm")]
        lines.append(f"| {name} | {count} | {method} | {' | '.join(cells)} | {np.mean(of['seconds']):.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="NAME=SOURCE,TARGET")
    parser.add_argument("--pairs", default="20,50,200,1000")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", default=",".join([*METHODS, "himacl"]))
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    results = []
    for count in map(int, args.pairs.split(",")):
        for name, _, files in (entry.partition("=") for entry in args.sets):
            source, target = (np.load(path).astype(np.float32) for path in files.split(","))
            for seed in range(args.seeds):
                for result in run(name, source, target, count, seed, args.methods.split(",")):
                    results.append(result)
                    if args.output:
                        with args.output.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(result) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
