"""Flow matching with a coupling of the whole data set: a drop-in for torchcfm's sampler, and pairs through a DataLoader."""

import torch
from himacl.torch import OTPlanSampler, PairedDataset
from torch.utils.data import DataLoader
from torchcfm import ExactOptimalTransportConditionalFlowMatcher

torch.manual_seed(0)
angle = torch.rand(4096) * 2 * torch.pi
data = torch.stack([angle.cos(), angle.sin()], dim=1) * 3 + 0.1 * torch.randn(4096, 2)

# 1. A drop-in: the matcher's own sampler of batches, replaced.
matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)
matcher.ot_sampler = OTPlanSampler("exact")
t, x_t, velocity = matcher.sample_location_and_conditional_flow(torch.randn(256, 2), data[:256])
print("one batch:", tuple(x_t.shape), f"mean squared velocity {velocity.square().sum(1).mean():.3f}")

# 2. At the scale of the data set: each epoch, new noise is paired with all of the data, once.
pairs = PairedDataset(None, data)
print("the whole set:", pairs.pairing)
model = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.SiLU(), torch.nn.Linear(64, 64), torch.nn.SiLU(), torch.nn.Linear(64, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(8):
    pairs.set_epoch(epoch)
    total = 0.0
    for x0, x1 in DataLoader(pairs, batch_size=256, shuffle=True):
        t = torch.rand(len(x0), 1)
        predicted = model(torch.cat([x0 + t * (x1 - x0), t], dim=1))
        loss = (predicted - (x1 - x0)).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x0)
    print(f"epoch {epoch}: loss {total / len(pairs):.4f}")

# Paths of an optimal coupling hardly bend: few steps of the flow are enough.
with torch.no_grad():
    x = torch.randn(2000, 2)
    for step in range(4):
        x = x + model(torch.cat([x, torch.full((len(x), 1), step / 4)], dim=1)) / 4
print(f"after four Euler steps the mean radius is {x.norm(dim=1).mean():.2f}, that of the data {data.norm(dim=1).mean():.2f}")
assert abs(x.norm(dim=1).mean() - 3.0) < 0.4
