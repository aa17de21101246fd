"""Steps of training a second: `hiref-bench training` beside PyTorch on the same map, loss, optimiser and moving average.

Usage: python scripts/peers/training.py --bench target/release/hiref-bench [--rounds R] [--threads T] [shape flags]

Needs torch and numpy (https://download.pytorch.org/whl/cpu or PyPI). Runs alternate, one of each a round, each in a process
of its own, and the medians of the rates and of the ratios within a round are printed as one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

FLAGS = {"pairs": 16384, "dimension": 512, "width": 512, "batch": 2048, "epochs": 4}


def torch_rate(shape: dict) -> float:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cuda"))
    import checks
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    found = checks.torch_training(SimpleNamespace(device="cpu"), {f"--{name}": n for name, n in shape.items()}, False)
    return found["steps_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="target/release/hiref-bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--torch-alone", action="store_true", help=argparse.SUPPRESS)
    for name, value in FLAGS.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    shape = {name: getattr(args, name) for name in FLAGS}
    if args.torch_alone:
        print(json.dumps({"steps_per_second": torch_rate(shape)}))
        return
    flags = [part for name, value in shape.items() for part in (f"--{name}", str(value))]
    threads = str(args.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
    commands = {
        "himacl": [args.bench, "training", *flags],
        "torch": [sys.executable, __file__, "--torch-alone", *flags],
    }
    rates: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            rates[name].append(json.loads(said.splitlines()[-1])["steps_per_second"])
    ratios = [ours / theirs for ours, theirs in zip(*rates.values())]
    print(json.dumps(shape | {"threads": args.threads, "steps_per_second": rates, "ratio": statistics.median(ratios)}))


if __name__ == "__main__":
    main()
