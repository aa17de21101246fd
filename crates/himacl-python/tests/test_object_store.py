"""Pairing and embedding in an object store: Ray nodes that share nothing else, workers and drivers that are lost, prefixes of others."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import himacl
from himacl.external import Job

pytest.importorskip("ray")
pytest.importorskip("fsspec")

SUPPORT = Path(__file__).parent / "support"
GOLDEN = Path(__file__).parents[3] / "crates" / "himacl-encode" / "tests" / "golden" / "encoders"
NODE = {"num_cpus": 1, "memory": 3 << 30, "object_store_memory": 100 << 20, "include_dashboard": False}
OPTIONS: dict[str, Any] = {"max_memory": 300 / 1024, "block_rows": 400, "external_sweeps": 3, "certify": "sampled:100"}


class Store:
    """The store on this machine's disk."""

    def __init__(self, root: Path) -> None:
        self.options = {"root": str(root)}
        self.root = root
        self.objects = root / "objects" / "bucket"
        self.objects.mkdir(parents=True)

    def names(self, below: str) -> list[str]:
        folder = self.objects / below
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def results(self, below: str) -> dict[str, bytes]:
        names = (name for name in self.names(below) if name.endswith((".npy", ".parquet")))
        return {name: (self.objects / below / name).read_bytes() for name in names}

    def calls(self) -> list[list[str]]:
        log = self.root / "calls"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def hold(self, name: str) -> Hold:
        """From now on an object of this name is not taken: who puts it waits."""
        (self.root / "held").write_text(name)
        return Hold(self, name, len(self.calls()))


@dataclass
class Hold:
    """An object that the store does not take for now, so that the one who puts it can be killed there, however fast the machine."""

    store: Store
    name: str
    since: int

    def holders(self) -> set[int]:
        """The processes that have come to it."""
        return {int(pid) for kind, path, _, pid, _ in self.store.calls()[self.since :] if kind == "put" and path.endswith(self.name)}

    def reached(self) -> bool:
        return bool(self.holders())

    def end(self) -> None:
        """Takes such objects again, once those who came to it are gone."""
        deadline = time.monotonic() + 60
        while any(is_alive(pid) for pid in self.holders()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (self.store.root / "held").unlink()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The nodes' own folders for temporary files."""
    return [tmp_path_factory.mktemp(name) for name in ("node-a", "node-b")]


@pytest.fixture(scope="module")
def cluster(scratch: list[Path]) -> Iterator[Any]:
    """Two nodes, each with a disk of its own."""
    import ray
    from ray.cluster_utils import Cluster

    sys.path.append(str(SUPPORT))
    importlib.import_module("shelf")
    path = os.environ.get("PYTHONPATH", "")
    # Ray's own sockets must not be deep in a folder.
    variables = [{"TMPDIR": str(folder), "PYTHONPATH": f"{SUPPORT}:{path}"} for folder in scratch]
    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "env_vars": variables[0]})
    nodes.add_node(**NODE, env_vars=variables[1])
    ray.init(address=nodes.address, logging_level="WARNING")
    yield nodes
    ray.shutdown()
    nodes.shutdown()
    sys.path.remove(str(SUPPORT))


def save_safetensors(path: Path, rows: np.ndarray) -> None:
    """A matrix after a header that is longer than what is read at first."""
    tensor = {"dtype": "F32", "shape": rows.shape, "data_offsets": [0, rows.nbytes]}
    header = json.dumps({"__metadata__": {"notes": "n" * 9000}, "emb": tensor}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + rows.tobytes())


@pytest.fixture
def store(tmp_path: Path, rng: np.random.Generator) -> Store:
    """A store with two sets: shards, and one file."""
    made = Store(tmp_path / "store")
    (made.objects / "x").mkdir()
    x, y = (rng.normal(size=(1500, 6)).astype(np.float32) for _ in range(2))
    np.save(made.objects / "x" / "x_0.npy", x[:900])
    np.save(made.objects / "x" / "x_1.npy", x[900:])
    save_safetensors(made.objects / "y.safetensors", y)
    return made


@pytest.fixture
def expected(store: Store, tmp_path: Path) -> dict[str, bytes]:
    """The results of the same run by this process over local files."""
    out = tmp_path / "local"
    sets = {"x": store.objects / "x", "y": store.objects / "y.safetensors", "output": out}
    job = Job.plan(tmp_path / "work", **sets, memory=300 << 20, block_rows=400, sweeps=3, gap_rows=100)
    while step := job.next_step():
        for task in job.open_tasks(step):
            job.run(step, task)
        job.complete(step)
    names = ("permutation.npy", "pairs/part-00000.parquet")
    return {name: (out / name).read_bytes() for name in names}


def load_y(store: Store) -> np.ndarray:
    content = (store.objects / "y.safetensors").read_bytes()
    return np.frombuffer(content[-1500 * 6 * 4 :], np.float32).reshape(1500, 6)


def pair(store: Store, **options: Any) -> dict[str, Any]:
    import himacl.ray

    places = [f"shelf://bucket/{name}" for name in ("x", "y.safetensors", "out")]
    return himacl.ray.pair(*places, storage_options=store.options, **{**OPTIONS, **options})


# Where a run leaves its temporary files in the bucket.
WORK = "out/work"


def wait_for(there: Callable[[], bool], works: Callable[[], bool]) -> None:
    """Waits for something that a driver makes, which is at work."""
    while not there():
        assert works()
        time.sleep(0.005)


def test_nodes_that_share_nothing_but_the_store(
    store: Store, expected: dict[str, bytes], cluster: Any, scratch: list[Path]
) -> None:
    summary: dict[str, Any] = {}
    driver = threading.Thread(target=lambda: summary.update(pair(store)))
    driver.start()
    # A worker is killed in the middle of a task, and later the store fails once.

    def workers() -> set[int]:
        reads = (int(pid) for kind, path, _, pid, _ in store.calls() if kind == "get" and f"{WORK}/route/" in path)
        return set(reads) - {os.getpid()}

    wait_for(lambda: bool(workers()), driver.is_alive)
    for worker in workers():
        os.kill(worker, signal.SIGKILL)
    wait_for(lambda: (store.objects / WORK / "solve.json").exists(), driver.is_alive)
    (store.root / "busy").touch()
    driver.join(300)
    assert store.results("out") == expected
    assert store.names("out") == [".himacl.json", "pairs/part-00000.parquet", "permutation.npy", "summary.json"]
    x, y = np.concatenate([np.load(store.objects / "x" / f"x_{shard}.npy") for shard in range(2)]), load_y(store)
    y_of_x = np.load(store.objects / "out" / "permutation.npy")
    assert summary["mean_cost"] == pytest.approx(((x - y[y_of_x]).astype(float) ** 2).sum(1).mean(), rel=1e-6)
    assert (summary["n"], summary["m"], summary["bijection"]) == (1500, 1500, True)
    # Rows were read by ranges: of each side as often as steps read it, and once more for what was done again.
    read = {side: sum(int(size) for kind, path, size, *_ in store.calls() if kind == "get" and f"bucket/{side}" in path) for side in "xy"}
    assert 3 * x.nbytes <= read["x"] < 5 * x.nbytes + 20 * 4096 * 4
    # Both nodes worked, each on its own disk, and the rooms of the killed are gone.
    disks = {disk for kind, path, _, _, disk in store.calls() if kind == "put" and path.endswith(".bin")}
    assert disks == {str(folder) for folder in scratch}
    assert not [path for folder in scratch for path in folder.glob("himacl-room-*")]
    assert not (store.root / "busy").exists()
    # A finished run is not done again.
    calls = len(store.calls())
    assert pair(store, resume=True) == summary
    assert not [call for call in store.calls()[calls:] if call[0] == "put"]


DRIVER = """
import sys
import shelf
import himacl.ray
x, y, out, root, address = sys.argv[1:]
options = {"max_memory": 300 / 1024, "block_rows": 400, "external_sweeps": 3, "certify": "sampled:100"}
himacl.ray.pair(x, y, out, storage_options={"root": root}, address=address, **options)
"""


def test_a_lost_driver_loses_nothing(store: Store, expected: dict[str, bytes], cluster: Any) -> None:
    places = [f"shelf://bucket/{name}" for name in ("x", "y.safetensors", "out")]
    environment = {**os.environ, "PYTHONPATH": f"{SUPPORT}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", DRIVER, *places, str(store.root), cluster.address]
    hold = store.hold("sweep-001.json")
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as driver:
        wait_for(hold.reached, lambda: driver.poll() is None)
        driver.kill()
    hold.end()
    assert not (store.objects / "out" / "summary.json").exists()
    done = set(store.names(WORK))
    assert {"plan.json", "scan.json", "solve.json"} <= done
    calls = len(store.calls())
    with pytest.raises(himacl.InputError, match="quality"):
        pair(store, resume=True, quality="fast")
    pair(store, resume=True)
    assert store.results("out") == expected
    puts = {path for kind, path, *_ in store.calls()[calls:] if kind == "put"}
    assert not {path for path in puts if path.partition(f"{WORK}/")[2] in done}, "nothing is done twice"


def test_what_is_not_ours_is_left_alone(store: Store, cluster: Any) -> None:
    import himacl.ray

    theirs = store.objects / "out" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    for options in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(himacl.FileError, match="notes.txt"):
            pair(store, **options)
    assert store.names("out") == ["notes.txt"]
    assert not [call for call in store.calls() if call[0] in ("put", "remove")]
    # With the mark of such a run, its own objects make way and no others.
    mine = {".himacl.json": '{"command": "pair", "settings": {}}', "permutation.npy": "old", "work/scan/000000.bin": "old"}
    for name, content in {**mine, "work/scan/mine.bin": "theirs"}.items():
        (store.objects / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (store.objects / "out" / name).write_text(content)
    with pytest.raises(himacl.InputError, match="exists"):
        pair(store)
    pair(store, force=True, quality="fast", external_sweeps=1, certify="none")
    assert {"notes.txt", "work/scan/mine.bin", "summary.json"} <= set(store.names("out"))
    assert "work/scan/000000.bin" not in store.names("out")
    assert len(np.load(store.objects / "out" / "permutation.npy")) == 1500
    with pytest.raises(himacl.InputError, match="`embed`"):
        himacl.ray.embed("captions.txt", "shelf://bucket/out", encoder="a", storage_options=store.options)
    # Of other inputs nothing is gone on with.
    save_safetensors(store.objects / "y.safetensors", np.zeros((1500, 6), np.float32))
    with pytest.raises(himacl.InputError, match=r"y\.safetensors"):
        pair(store, resume=True, quality="fast", external_sweeps=1, certify="none")


def test_bad_cases_are_refused_before_work(store: Store, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import himacl.ray

    def refused(error: type[Exception], said: str, **options: Any) -> None:
        with pytest.raises(error, match=said):
            pair(store, **options)
        assert not [call for call in store.calls() if call[0] == "put"]

    for address, said in [
        ("no-such://bucket/x", "Protocol not known"),
        ("memory://bucket/x", "one process"),
        ("shelf://bucket/nothing", "cannot read|no embeddings"),
    ]:
        with pytest.raises(himacl.Error, match=said):
            himacl.ray.pair(address, "shelf://bucket/y.safetensors", "shelf://bucket/out", storage_options=store.options, **OPTIONS)
    refused(himacl.InputError, "max_memory", max_memory=None)
    refused(himacl.InputError, "warm_start", warm_start="earlier")
    refused(himacl.InputError, "certify", certify="proof")
    refused(himacl.InputError, "together", resume=True, force=True)
    refused(himacl.InputError, "memory", max_memory=1e-3, block_rows=None)
    with pytest.raises(himacl.InputError, match="inside"):
        himacl.ray.pair("shelf://bucket/x", "shelf://bucket/y.safetensors", "shelf://bucket", storage_options=store.options, **OPTIONS)
    np.savez_compressed(store.objects / "packed.npz", np.zeros((4, 6), np.float32))
    (store.objects / "cut.npz").write_bytes((store.objects / "packed.npz").read_bytes()[:-1])
    for name, error, said in [("packed", himacl.InputError, "compressed"), ("cut", himacl.FileError, "not a zip file")]:
        with pytest.raises(error, match=said):
            himacl.ray.pair(f"shelf://bucket/{name}.npz", "shelf://bucket/y.safetensors", "shelf://bucket/out", storage_options=store.options, **OPTIONS)
    monkeypatch.setattr(Job, "task_bytes", property(lambda _: 1 << 60))
    refused(himacl.FileError, "no space for tasks")


def test_the_command_line_takes_addresses(store: Store, expected: dict[str, bytes], cluster: Any, tmp_path: Path) -> None:
    # The store is known by an entry point, as its package would have one, and its settings come from fsspec's variables alone.
    known = tmp_path / "known" / "shelf-1.dist-info"
    known.mkdir(parents=True)
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1\n")
    (known / "entry_points.txt").write_text("[fsspec.specs]\nshelf = shelf:Shelf\n")
    path = f"{SUPPORT}:{known.parent}:{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path, "FSSPEC_SHELF_ROOT": str(store.root)}
    fixed = ["pair", "--x", "shelf://bucket/x", "--y", "shelf://bucket/y.safetensors", "-o", "shelf://bucket/out", "--ray", cluster.address]

    def run(*more: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "himacl", *fixed, "--block-rows", "400", "--external-sweeps", "3", "--certify", "sampled:100", *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    memory = ("--max-memory", str(300 / 1024), "--scratch-dir", str(tmp_path / "scratch"))
    status, _, said = run()
    assert (status, "error: --max-memory is missing" in said) == (2, True), said
    status, told, said = run(*memory)
    assert status == 0, said
    assert told.startswith("1500 pairs, mean sqeuclidean cost") and told.endswith("written to shelf://bucket/out\n")
    assert store.results("out") == expected
    assert {disk for kind, path, _, _, disk in store.calls() if kind == "put" and path.endswith(".bin")}
    status, _, said = run(*memory)
    assert (status, "`shelf://bucket/out` exists\nhint: --resume goes on with it, --force replaces it" in said) == (2, True), said
    status, again, _ = run("--resume", *memory)
    assert (status, again) == (0, told)
    # The driver ends with the command, and another command goes on.
    for name in ("summary.json", "permutation.npy", "pairs/part-00000.parquet"):
        (store.objects / "out" / name).unlink()
    command = [sys.executable, "-m", "himacl", *fixed, *memory, "--block-rows", "400", "--external-sweeps", "3", "--certify", "sampled:100"]
    hold = store.hold("sweep-001.json")
    with subprocess.Popen([*command, "--resume"], env=environment, stderr=subprocess.DEVNULL) as killed:
        wait_for(hold.reached, lambda: killed.poll() is None)
        killed.kill()
    hold.end()
    done = set(store.names(WORK))
    assert "solve.json" in done and "sweep-001.json" not in done and "summary.json" not in store.names("out")
    assert run("--resume", *memory)[0] == 0
    assert store.results("out") == expected


def test_archives_are_read_by_ranges(store: Store, expected: dict[str, bytes], cluster: Any) -> None:
    import himacl.ray

    x = np.concatenate([np.load(store.objects / "x" / f"x_{shard}.npy") for shard in range(2)])
    # Its directory is longer than what is read at first.
    others = {f"{'a' * 60}{number}": x[:1] for number in range(700)}
    np.savez(store.objects / "x.npz", **others, emb=x)
    places = [f"shelf://bucket/{name}" for name in ("x.npz", "y.safetensors", "out")]
    with pytest.raises(himacl.Error, match="emb"):
        himacl.ray.pair(*places, storage_options=store.options, **OPTIONS)
    himacl.ray.pair(*places, x_key="emb", storage_options=store.options, **OPTIONS)
    assert store.results("out") == expected


def test_plain_files_by_address(store: Store, expected: dict[str, bytes], cluster: Any, tmp_path: Path) -> None:
    import himacl.ray

    out, work = tmp_path / "out", tmp_path / "elsewhere"
    himacl.ray.pair(
        store.objects / "x", f"file://{store.objects}/y.safetensors", f"file://{out}", work_dir=work, scratch_dir=tmp_path / "scratch", **OPTIONS
    )
    assert {name: (out / name).read_bytes() for name in expected} == expected
    assert sorted(path.name for path in out.iterdir()) == [".himacl.json", "pairs", "permutation.npy", "summary.json"]
    assert not work.exists() or not list(work.iterdir())


def test_shards_are_embedded_into_the_store(
    store: Store, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import himacl.ray
    from himacl import _store_run

    captions = tmp_path / "captions.txt"
    words = ("a cat", "two dogs under the moon", "stars", "", "a photo of a very small thing")
    captions.write_text("\n".join(f"{words[line % 5]} {line}" if line % 7 else "" for line in range(100)))
    encoder = {"repo": "golden/sentence-transformers", "family": "sentence-transformers"}
    options = {**encoder, "local": GOLDEN / "sentence-transformers", "shard_size": 30, "max_error_rate": 0.5}
    embed: dict[str, Any] = {**options, "memory_per_task": 1 << 30, "storage_options": store.options}
    summary = himacl.ray.embed(captions, "shelf://bucket/emb", **embed)
    flags = [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), str(value))]
    command = [sys.executable, "-m", "himacl", "embed", "--input", str(captions), "-o", str(tmp_path / "here"), *flags]
    subprocess.run([*command, "--threads", "1"], check=True, capture_output=True)
    here = tmp_path / "here"
    own = {".himacl.toml", ".himacl.json", "summary.json"}
    names = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()} - own
    assert {name for name in store.names("emb") if name not in own} == names
    assert all((here / name).read_bytes() == (store.objects / "emb" / name).read_bytes() for name in names)
    assert (summary["shards"], summary["records"]) == (4, 100)
    # What is lost is made again, and nothing else.
    for name in ("summary.json", "stats/2.json", "text_emb/text_emb_2.npy"):
        (store.objects / "emb" / name).unlink()
    with pytest.raises(himacl.InputError, match="shard_size"):
        himacl.ray.embed(captions, "shelf://bucket/emb", resume=True, **{**embed, "shard_size": 20})
    calls = len(store.calls())
    assert himacl.ray.embed(captions, "shelf://bucket/emb", resume=True, **embed)["shards"] == 4
    assert all((here / name).read_bytes() == (store.objects / "emb" / name).read_bytes() for name in names)
    puts = {path.partition("emb/")[2] for kind, path, *_ in store.calls()[calls:] if kind == "put"}
    assert puts - {".himacl.toml", "config.toml"} == {"stats/2.json", "text_emb/text_emb_2.npy", "metadata/metadata_2.parquet", "errors.jsonl", "summary.json"}
    # The folder is opened as it lies there, its parquet files by their footers; each row's partner is itself.
    monkeypatch.setattr(_store_run, "_FOOTER", 16)
    sides = ("shelf://bucket/emb", "shelf://bucket/emb/text_emb")
    found = himacl.ray.pair(*sides, "shelf://bucket/pairs", max_memory=300 / 1024, block_rows=500, storage_options=store.options)
    permutation = np.load(store.objects / "pairs" / "permutation.npy")
    assert found["n"] == found["m"] == len(permutation) > 60
    assert np.array_equal(permutation, np.arange(found["n"]))


def embedded(folder: Path) -> dict[str, bytes]:
    """What was embedded, but for what tells of the run."""
    own = {".himacl.toml", ".himacl.json", "config.toml", "summary.json"}
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in files.items() if name not in own}


def test_datasets_are_read_from_the_store(store: Store, tmp_path: Path, cluster: Any, scratch: list[Path]) -> None:
    import himacl.ray

    data = store.objects / "data"
    data.mkdir()
    words = ("a cat & a dog", "two dogs under the moon", "stars", "", "a photo of a very small thing")
    lines = [f"{words[line % 5]} {line}" if line % 7 else "" for line in range(100)]
    # Files of their own lengths, in the order of their numbers, one of them with a name that must be escaped.
    for name, part in (("part-2+&%.txt", lines[:25]), ("part-10.txt", lines[25:26]), ("part-30.txt", lines[26:])):
        (data / name).write_text("\n".join(part))
    (data / "other.txt").write_text("not asked for")
    encoder = {"repo": "golden/sentence-transformers", "family": "sentence-transformers"}
    options = {**encoder, "local": GOLDEN / "sentence-transformers", "shard_size": 30, "max_error_rate": 0.5}
    flags = [part for name, value in options.items() for part in ("--" + name.replace("_", "-"), str(value))]
    command = [sys.executable, "-m", "himacl", "embed", "--input", str(data / "part*.txt"), "-o", str(tmp_path / "here"), *flags]
    subprocess.run([*command, "--threads", "1"], check=True, capture_output=True)
    here = embedded(tmp_path / "here")
    embed: dict[str, Any] = {**options, "memory_per_task": 1 << 30, "storage_options": store.options}
    # The store fails once; what reads it tries again.
    (store.root / "busy").touch()
    out = tmp_path / "out"
    assert himacl.ray.embed("shelf://bucket/data/part*.txt", out, **embed)["records"] == 100
    assert not (store.root / "busy").exists()
    assert embedded(out) == here
    assert 'input = "shelf://bucket/data/part*.txt"' in (out / "config.toml").read_text()
    assert "127.0.0.1" not in (out / ".himacl.toml").read_text()
    names = {path for kind, path, *_ in store.calls() if kind == "get"}
    assert names == {f"bucket/data/part-{number}.txt" for number in ("2+&%", "10", "30")}
    # From the store into the store, tasks on disks of their own; and gone on with.
    own = tmp_path / "own"
    for resume in (False, True):
        himacl.ray.embed("shelf://bucket/data/part*.txt", "shelf://bucket/emb", scratch_dir=own, resume=resume, **embed)
        assert embedded(store.objects / "emb") == here
        (store.objects / "emb" / "summary.json").unlink()
        (store.objects / "emb" / "stats" / "1.json").unlink()
    assert not [path for folder in (own, *scratch) for path in folder.glob("himacl-room-*")]
    # A file is no pattern, whatever its name has; and plain files by their address.
    summary = himacl.ray.embed("shelf://bucket/data/part-30.txt", tmp_path / "one", **embed)
    assert summary["records"] == 74
    plain = {**options, "memory_per_task": 1 << 30}
    assert himacl.ray.embed(f"file://{data}/part*.txt", tmp_path / "plain", **plain)["records"] == 100
    # Another content is another dataset.
    (out / "stats" / "3.json").unlink()
    (out / "summary.json").unlink()
    (data / "part-30.txt").write_text("changed")
    with pytest.raises(himacl.InputError, match="changed|other|differ"):
        himacl.ray.embed("shelf://bucket/data/part*.txt", out, resume=True, **embed)
    for address, said in [
        ("shelf://bucket/data", "is a folder"),
        ("shelf://bucket/none/*.txt", "names no files"),
        ("shelf://bucket", "names no files"),
        ("shelf://bucket/data/none.txt", "cannot read `shelf://bucket/data/none.txt`"),
        ("shelf://bucket/data/none*.txt", "none"),
        ("memory://bucket/x.txt", "one process"),
    ]:
        with pytest.raises(himacl.Error, match=said.replace("*", "[*]")):
            himacl.ray.embed(address, tmp_path / "refused", **embed)
    assert not (tmp_path / "refused" / "config.toml").exists()
