#!/usr/bin/env python3
"""Simulates a run of 10^9 rows with 10^5 tasks on a cluster, with the package's own driver and tasks that do nothing but take time.

    PYTHONPATH=... scripts/simulate_driver.py [--rows 1000000000] [--tasks 100000] [--workers 64] [--task-seconds 30]

The driver's code (`himacl.ray.run`) is the real one; Ray and the folder of temporary files are stand-ins that count. Time is simulated: a
worker takes `--task-seconds` for a task, give or take a half, and the driver as long as it really takes between two calls of Ray.
Prints how long the driver worked, its memory, and how much of the workers' time was lost by waiting for it.
"""

import argparse
import heapq
import json
import random
import resource
import sys
import time
import types


class Stand:
    """A cluster of workers in simulated time."""

    def __init__(self, workers, task_seconds, call_seconds):
        self.workers, self.task_seconds, self.call_seconds = workers, task_seconds, call_seconds
        self.now, self.driver, self.busy, self.calls = 0.0, 0.0, 0.0, 0
        self.free = [0.0] * workers
        self.running = []
        self.last = time.perf_counter()
        self.random = random.Random(1)

    def tick(self):
        """What the driver has worked since the last call, and the call itself."""
        worked = time.perf_counter() - self.last
        self.driver += worked + self.call_seconds
        self.now += worked + self.call_seconds
        self.calls += 1

    def submit(self, key):
        self.tick()
        start = max(self.now, heapq.heappop(self.free))
        seconds = self.task_seconds * self.random.uniform(0.5, 1.5)
        heapq.heappush(self.free, start + seconds)
        self.busy += seconds
        heapq.heappush(self.running, (start + seconds, key))
        self.last = time.perf_counter()
        return key

    def wait(self):
        self.tick()
        end, key = heapq.heappop(self.running)
        self.now = max(self.now, end)
        self.last = time.perf_counter()
        return key


def stand_in(stand):
    """A module `ray` whose tasks take simulated time."""
    module = types.ModuleType("ray")

    class Remote:
        def __init__(self, **_):
            self.number = 0

        def __call__(self, function):
            return self

        def options(self, **_):
            return self

        def remote(self, *_):
            self.number += 1
            return stand.submit(self.number)

    module.is_initialized = lambda: True
    module.remote = lambda **options: Remote(**options)
    module.nodes = lambda: [{"Alive": True, "Resources": {"memory": 1 << 40}}]
    module.cluster_resources = lambda: (stand.tick(), {"CPU": stand.workers})[1]
    module.wait = lambda references, num_returns: ([stand.wait()], [])
    module.get = lambda reference: stand.tick()
    module.exceptions = types.SimpleNamespace(RayTaskError=RuntimeError)
    return module


class Counts:
    """A run's folder of temporary files, as the numbers of tasks."""

    memory = 16 << 30

    def __init__(self, steps):
        self.steps, self.done, self.work = steps, 0, "simulated"

    def remove_unfinished(self):
        pass

    def next_step(self):
        return self.steps[self.done][0] if self.done < len(self.steps) else None

    def tasks(self, step):
        return dict(self.steps)[step]

    def open_tasks(self, step):
        return list(range(self.tasks(step)))

    def complete(self, step, seconds):
        self.done += 1
        return {"step": step, "seconds": seconds, "mean_cost": None}

    def outcome(self):
        return {}


def steps_of(rows, tasks):
    """The steps of a run with about so many tasks: pieces and blocks in proportion, eight sweeps."""
    pieces = max(1, tasks // 10)
    blocks = max(1, tasks // 20)
    steps = [("scan", pieces), ("sample", 1), ("score", pieces), ("balance", 2), ("route", pieces), ("solve", blocks)]
    for sweep in range(1, 9):
        steps += [(f"cut-{sweep:03}", 1), (f"sweep-{sweep:03}", blocks)]
    steps += [("collect", blocks), ("parts", -(-rows // (1 << 20))), ("check", 1), ("prices", 1), ("gap", pieces // 2)]
    return [*steps, ("summary", 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10**9)
    parser.add_argument("--tasks", type=int, default=10**5)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--task-seconds", type=float, default=30.0)
    parser.add_argument("--call-seconds", type=float, default=0.001, help="what one call of Ray takes")
    args = parser.parse_args()
    stand = Stand(args.workers, args.task_seconds, args.call_seconds)
    sys.modules["ray"] = stand_in(stand)
    import himacl.ray

    steps = steps_of(args.rows, args.tasks)
    himacl.ray.Job = lambda work: Counts(steps)
    started = time.perf_counter()
    stand.last = started
    himacl.ray.run("simulated")
    tasks = sum(count for _, count in steps)
    print(
        json.dumps(
            {
                "rows": args.rows,
                "tasks": tasks,
                "workers": args.workers,
                "simulated_seconds": round(stand.now),
                "driver_seconds": round(stand.driver, 1),
                "driver_share": round(stand.driver / stand.now, 5),
                "driver_own_microseconds_per_task": round(1e6 * (time.perf_counter() - started) / tasks, 1),
                "workers_busy": round(stand.busy / stand.now / args.workers, 4),
                "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


if __name__ == "__main__":
    main()
