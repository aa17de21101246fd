"""Couplings for flow matching: against torchcfm on the same batches, and through a DataLoader's workers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from himacl.torch import OTPlanSampler, PairedDataset  # noqa: E402


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(64, 3, 2, generator=generator), torch.randn(64, 3, 2, generator=generator) + 1


def test_plans_are_torchcfms(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    torchcfm = pytest.importorskip("torchcfm")
    ours, theirs = OTPlanSampler("exact"), torchcfm.OTPlanSampler("exact")
    assert np.abs(ours.get_map(*batch) - theirs.get_map(*batch)).max() < 1e-9
    ours, theirs = OTPlanSampler("sinkhorn", reg=2.0), torchcfm.OTPlanSampler("sinkhorn", reg=2.0)
    assert np.abs(ours.get_map(*batch) - theirs.get_map(*batch)).max() < 1e-5


def test_samples_follow_the_plan(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    x0, x1 = batch
    sampler = OTPlanSampler("exact", seed=0)
    partner = sampler.pairing(x0, x1).y_of_x
    a, b = sampler.sample_plan(x0, x1, replace=False)
    assert a.shape == x0.shape and sorted(a[:, 0, 0].tolist()) == sorted(x0[:, 0, 0].tolist())
    row = {value: at for at, value in enumerate(x0[:, 0, 0].tolist())}
    assert all((x1[partner[row[p[0, 0].item()]]] == q).all() for p, q in zip(a, b, strict=True))
    labels = torch.arange(64)
    a, b, i, j = sampler.sample_plan_with_labels(x0, x1, labels, labels)
    assert (x0[i] == a).all() and (x1[j] == b).all() and (torch.from_numpy(partner)[i] == j).all()
    through = sampler.sample_trajectory(torch.stack([x0, x1, x0], dim=1))
    assert through.shape == (64, 3, 3, 2) and np.allclose(through[:, 2], through[:, 0])
    with pytest.raises(ValueError, match="exact or sinkhorn"):
        OTPlanSampler("partial")


def test_bfloat16_is_shared() -> None:
    import himacl

    x, y = torch.randn(200, 40).bfloat16(), torch.randn(200, 40).bfloat16()
    assert (himacl.pair(x, y).y_of_x == himacl.pair(x.float(), y.float()).y_of_x).all()
    half = himacl.pair(x.half(), y.half())
    assert (half.y_of_x == himacl.pair(x.half().float(), y.half().float()).y_of_x).all()
    grad = torch.randn(10, 2, requires_grad=True)
    assert himacl.pair(grad, grad).mean_cost == 0.0


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader(workers: int) -> None:
    from torch.utils.data import DataLoader

    target = torch.randn(500, 4, generator=torch.Generator().manual_seed(1))
    pairs = PairedDataset(None, target, torch.arange(500), quality="best")
    seen = []
    for x0, x1, label in DataLoader(pairs, batch_size=64, shuffle=True, num_workers=workers):
        assert (target[label] == x1).all()
        partner = pairs.pairing.x_of_y[label.numpy()]
        assert (pairs.x0[partner] == x0).all()
        seen += label.tolist()
    assert sorted(seen) == list(range(500))
    assert sum(len(batch[0]) for batch in pairs.batches(64)) == 500
    before = pairs.x0.clone()
    pairs.set_epoch(1)
    assert not torch.equal(before, pairs.x0) and len(pairs) == 500
    pairs.repair(pairs.x0 + 1e-3, warm=True)
    assert pairs.pairing.num_pairs == 500


def test_workers_may_solve() -> None:
    """A loader's forked workers can pair by themselves."""
    from torch.utils.data import DataLoader, Dataset

    class Solves(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 6

        def __getitem__(self, at: int) -> float:
            import himacl

            x = np.random.default_rng(at).normal(size=(100, 3))
            return himacl.pair(x, x[::-1].copy(), progress=False).mean_cost

    Solves()[0]
    assert [value.item() for value in DataLoader(Solves(), batch_size=None, num_workers=2)] == [0.0] * 6
