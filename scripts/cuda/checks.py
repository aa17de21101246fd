"""The checks of `scripts/gpu-checks.sh run`: one after the other, each with a time limit, results in checks.json after each.

    checks.py --package FOLDER --output FOLDER [--seconds N] [--only NAME,...] [--device cuda] [--scale S]

`--device cpu --scale 0.001` runs the same checks small and without a GPU, to try the script itself.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
# Kept back for writing results.
RESERVE = 10.0


class GpuMemory:
    """The most memory in use on the GPU, by looking every half second; None without one."""

    def __enter__(self) -> "GpuMemory":
        self.peak: int | None = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self) -> None:
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        while shutil.which("nvidia-smi") and not self.ended.wait(0.5):
            found = subprocess.run(query, capture_output=True, text=True).stdout.split()
            if found and found[0].isdigit():
                self.peak = max(self.peak or 0, int(found[0]) << 20)

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join(timeout=5)


class Checks:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.package = Path(arguments.package).resolve()
        self.output = Path(arguments.output).resolve()
        self.output.mkdir(parents=True, exist_ok=True)
        self.deadline = time.monotonic() + arguments.seconds
        self.device = arguments.device
        self.scale = arguments.scale
        self.only = set(arguments.only.split(",")) if arguments.only else None
        self.results: dict[str, dict] = {}
        self.log = (self.output / "logs.txt").open("w")
        # Large inputs go where there is memory, and then to the disk.
        shared = Path("/dev/shm")
        roomy = shared.is_dir() and shutil.disk_usage(shared).free > (20 << 30)
        self.work = Path(tempfile.mkdtemp(prefix="himacl-checks-", dir=shared if roomy else None))

    def left(self) -> float:
        return self.deadline - time.monotonic() - RESERVE

    def check(self, name: str, limit: float, body) -> None:
        """Runs one check; what it returns, or why it failed, goes to checks.json."""
        if self.only is not None and name not in self.only:
            return
        started = time.monotonic()
        self.until = started + min(limit, self.left())
        if self.left() < 5:
            result = {"state": "skipped", "reason": "no time left"}
        else:
            try:
                result = body() or {}
                result.setdefault("state", "ok")
            except subprocess.TimeoutExpired as error:
                result = {"state": "timeout", "limit_seconds": round(error.timeout, 1)}
            except Exception as error:  # noqa: BLE001 - one failed check must not end the others
                result = {"state": "failed", "reason": f"{type(error).__name__}: {error}"[:2000]}
        result["check_seconds"] = round(time.monotonic() - started, 2)
        self.results[name] = result
        temporary = self.output / "checks.json.new"
        temporary.write_text(json.dumps(self.results, indent=1) + "\n")
        temporary.replace(self.output / "checks.json")
        print(f"{name:16} {result['state']:8} {result['check_seconds']:7.1f} s", flush=True)

    def run(self, program: str, *arguments: object, environment: dict | None = None) -> str:
        """A program of the package, within the check's time; its standard output."""
        limit = self.until - time.monotonic()
        if limit <= 0:
            raise subprocess.TimeoutExpired(program, 0.0)
        command = [str(self.package / program), *map(str, arguments)]
        self.log.write(f"\n$ {' '.join(command)}\n")
        self.log.flush()
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=limit,
            env={**os.environ, **(environment or {})},
        )
        self.log.write(done.stdout[-20000:] + done.stderr[-20000:])
        self.log.flush()
        if done.returncode != 0:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr[-800:] or done.stdout[-800:]}")
        return done.stdout

    def pair(self, x: Path, y: Path, *flags: object, device: str | None = None) -> dict:
        """`himacl pair`, checked independently: one to one, and the cost it claims. The summary, and the pairing under `y_of_x`."""
        folder = self.work / f"pair-{time.monotonic_ns()}"
        with GpuMemory() as memory:
            self.run(
                "himacl", "pair", "--x", x, "--y", y, "-o", folder, "--device", device or self.device, "--quiet", *flags
            )
        summary = json.loads((folder / "summary.json").read_text())
        summary["peak_gpu_bytes"] = memory.peak
        y_of_x = np.load(folder / "permutation.npy")
        matched = y_of_x[y_of_x != 0xFFFFFFFF]
        if len(np.unique(matched)) != len(matched) or len(matched) != min(summary["n"], summary["m"]):
            raise RuntimeError("not one to one")
        left, right = np.load(x, mmap_mode="r"), np.load(y, mmap_mode="r")
        sample = np.flatnonzero(y_of_x != 0xFFFFFFFF)
        if left.shape[1] * len(sample) > 1 << 28:
            # The whole mean takes too long; the binary's own figure is then the one reported.
            summary["cost_checked"] = False
        else:
            total = 0.0
            for rows in np.array_split(sample, max(1, len(sample) // 65536)):
                total += float(((left[rows].astype(np.float64) - right[y_of_x[rows]].astype(np.float64)) ** 2).sum())
            cost = total / len(sample)
            if abs(cost - summary["mean_cost"]) > 1e-9 * max(1.0, abs(cost)):
                raise RuntimeError(f"claims {summary['mean_cost']}, costs {cost}")
            summary["cost_checked"] = True
        summary["y_of_x"] = y_of_x
        shutil.rmtree(folder)
        return summary


def keep(summary: dict) -> dict:
    """What goes into the results."""
    names = [
        "n", "m", "d", "cost", "solver", "device", "mean_cost", "dual_bound", "relative_gap", "exact", "seconds", "peak_rss_bytes", "peak_gpu_bytes",
        "levels", "polish", "rounds", "termination", "cost_checked",
    ]
    kept = {name: summary[name] for name in names if name in summary}
    if isinstance(kept.get("polish"), list):
        kept["sweeps"] = len(kept["polish"])
        kept["cost_per_sweep"] = [sweep.get("mean_cost") for sweep in kept.pop("polish")]
    return kept


def machine(checks: Checks) -> dict:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True) if shutil.which("nvidia-smi") else None
    return {
        "gpu": found.stdout.strip() if found else None,
        "cores": os.cpu_count(),
        "version": checks.run("himacl", "--version").strip(),
    }


def unit(checks: Checks) -> dict:
    """The device tests: every cost, several levels and sweeps, unequal sides, exact ends."""
    environment = {"CARGO_MANIFEST_DIR": str(REPOSITORY / "crates/hiref-core")}
    text = checks.run("device-tests", "--nocapture", "--test-threads=1", environment=environment)
    if checks.device == "cuda" and "skipped on CUDA" in text:
        raise RuntimeError("the tests found no GPU")
    return {"summary": [line for line in text.splitlines() if line.startswith("test ")]}


def fixtures(checks: Checks) -> dict:
    """Every stored set: CPU against the device, and the device twice with the same seed."""
    folder, sets = REPOSITORY / "tests/fixtures", {}
    optima = json.loads((folder / "exact.json").read_text())
    for x in sorted(folder.glob("*_x.npy")):
        name = x.name[: -len("_x.npy")]
        y = folder / f"{name}_y.npy"
        cpu = checks.pair(x, y, device="cpu")
        # Without the exact end, which is the host's on both.
        first = checks.pair(x, y, "--quality", "fast")
        second = checks.pair(x, y, "--quality", "fast")
        balanced = checks.pair(x, y)
        optimum = optima.get(name, {}).get("sqeuclidean")
        sets[name] = {
            "cpu": cpu["mean_cost"], "device": balanced["mean_cost"], "device_fast": first["mean_cost"], "optimum": optimum,
            "relative_difference": (balanced["mean_cost"] - cpu["mean_cost"]) / abs(cpu["mean_cost"]),
            "same_bits": bool((first["y_of_x"] == second["y_of_x"]).all()),
        }
    same = all(entry["same_bits"] for entry in sets.values())
    close = all(abs(entry["relative_difference"]) < 2e-3 for entry in sets.values())
    return {"state": "ok" if same and close else "failed", "sets": sets}


def generated(checks: Checks, kind: str, *flags: object) -> dict:
    names = checks.run("hiref-bench", "generate", "--set", kind, "-o", checks.work).split()
    x, y = map(Path, names)
    try:
        # The driver compiles the kernels at their first use on a machine; it keeps them.
        return keep(checks.pair(x, y, *flags))
    finally:
        x.unlink()
        y.unlink()


def embeddings(checks: Checks) -> tuple[Path, Path]:
    """2 x n x 2048 like image embeddings: unit vectors from a mixture of 1,000 anisotropic clusters, float16, both sides from one
    distribution."""
    import torch

    n, d, clusters = max(2000, int(640_500 * checks.scale)), 2048 if checks.scale > 0.1 else 64, 1000
    device = "cuda" if checks.device == "cuda" else "cpu"
    generator = torch.Generator(device=device).manual_seed(7)
    draw = lambda *shape: torch.randn(*shape, generator=generator, device=device)  # noqa: E731
    centres = draw(clusters, d)
    # Every cluster is wide along 32 directions of its own, narrow along the others.
    scales = 0.3 * torch.rand(clusters, 1, generator=generator, device=device) + 0.2
    directions = draw(clusters, 32, d) / d**0.5
    files = []
    for side in ("x", "y"):
        path = checks.work / f"embeddings_{side}.npy"
        out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, d))
        for start in range(0, n, 4096):
            count = min(4096, n - start)
            label = torch.randint(clusters, (count,), generator=generator, device=device)
            rows = centres[label] + scales[label] * draw(count, d)
            rows += torch.bmm(4.0 * draw(count, 1, 32), directions[label])[:, 0]
            rows /= rows.norm(dim=1, keepdim=True)
            out[start : start + count] = rows.half().cpu().numpy()
        out.flush()
        del out
        files.append(path)
    return files[0], files[1]


def imagenet_like(checks: Checks) -> None:
    """Cold solve, mini-batch 1024 and FRLC on the same points; then the certificate of a warm start."""
    files: dict[str, Path] = {}

    def generate() -> dict:
        files["x"], files["y"] = embeddings(checks)
        return {"bytes": sum(path.stat().st_size for path in files.values())}

    def solve(*flags: object, device: str | None = None):
        return lambda: keep(checks.pair(files["x"], files["y"], *flags, device=device))

    checks.check("imagenet_data", 60, generate)
    if "x" not in files:
        return
    checks.check("imagenet_cold", 120, solve())
    checks.check("imagenet_batch", 60, solve("--solver", "minibatch", "--batch-size", 1024))
    checks.check("imagenet_frlc", 100, solve("--solver", "frlc", "--max-iterations", 30))
    checks.check("imagenet_certify", 200, solve("--quality", "fast", "--certify"))
    for path in files.values():
        path.unlink()


def kernels(checks: Checks) -> dict:
    table = checks.output / "kernels.json"
    checks.run("hiref-bench", "kernels", "-o", table)
    return json.loads(table.read_text())


def training(checks: Checks) -> dict:
    """The training loop in bf16 and f32, and PyTorch on the same problem."""
    shape = ["--pairs", 65536, "--dimension", 1024, "--width", 2048, "--batch", 2048, "--epochs", 8]
    if checks.scale < 0.1:
        shape = ["--pairs", 512, "--dimension", 32, "--width", 64, "--batch", 128, "--epochs", 2]
    run = lambda *flags: json.loads(checks.run("hiref-bench", "training", "--device", checks.device, *shape, *flags))  # noqa: E731
    found = {"himacl_bf16": run(), "himacl_f32": run("--single")}
    values = dict(zip(shape[::2], shape[1::2]))
    try:
        for half in (True, False):
            found["torch_bf16" if half else "torch_f32"] = torch_training(checks, values, half)
    except Exception as error:  # noqa: BLE001 - our own figures stay
        found |= {"state": "failed", "reason": f"PyTorch: {type(error).__name__}: {error}"[:2000]}
    return found


def torch_training(checks: Checks, shape: dict, half: bool) -> dict:
    """The same map, loss, optimiser, clipping and moving average in PyTorch."""
    import torch
    from torch import nn

    n, d, width, batch = (shape[f"--{name}"] for name in ("pairs", "dimension", "width", "batch"))
    device = checks.device
    torch.manual_seed(0)
    x, y = torch.randn(n, d, device=device), torch.randn(n, d, device=device)

    class Map(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(d, d)
            self.hidden = nn.Sequential(nn.Linear(d, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
            self.output = nn.Linear(width, d)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            size = (rows.float().square().mean(1, keepdim=True) + 1e-6).sqrt()
            return self.linear(rows) + self.output(self.hidden(rows / size)) / d**0.5

    model = Map().to(device)
    average = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)

    def epoch() -> None:
        for rows in torch.randperm(n, device=device).split(batch):
            with torch.autocast(device, torch.bfloat16, enabled=half):
                mapped = model(x[rows])
            mapped, target = mapped.float(), y[rows]
            loss = (mapped - target).square().mean() + 1 - nn.functional.cosine_similarity(mapped, target).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            with torch.no_grad():
                for kept, parameter in zip(average, model.parameters()):
                    kept.lerp_(parameter, 1e-3)
            loss.item()

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    epoch()
    wait()
    started = time.monotonic()
    for _ in range(shape["--epochs"]):
        epoch()
    wait()
    seconds = time.monotonic() - started
    steps = shape["--epochs"] * -(-n // batch)
    return {"steps_per_second": steps / seconds, "pairs_per_second": shape["--epochs"] * n / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package", required=True, help="folder made by scripts/gpu-checks.sh pack")
    parser.add_argument("--output", required=True, help="folder for checks.json and logs.txt")
    parser.add_argument("--seconds", type=float, default=570.0, help="time for everything (default: %(default)s)")
    parser.add_argument("--only", help="names of checks, separated by commas")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the sizes, to try the script (default: %(default)s)")
    checks = Checks(parser.parse_args())
    size = max(4096, int((1 << 20) * checks.scale))
    try:
        checks.check("machine", 20, lambda: machine(checks))
        checks.check("unit", 70, lambda: unit(checks))
        checks.check("fixtures", 70, lambda: fixtures(checks))
        checks.check("half_moon_2", 40, lambda: generated(checks, f"half-moon:{size}"))
        checks.check("mixture_64", 90, lambda: generated(checks, f"mixture:{size}:64", "--certify"))
        if checks.device == "cuda":
            checks.check("kernels", 50, lambda: kernels(checks))
        imagenet_like(checks)
        checks.check("training", 60, lambda: training(checks))
    finally:
        shutil.rmtree(checks.work, ignore_errors=True)
    bad = [name for name, result in checks.results.items() if result["state"] not in ("ok", "skipped")]
    print(f"{len(checks.results) - len(bad)} of {len(checks.results)} checks ended well; {checks.output / 'checks.json'}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
