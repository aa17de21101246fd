#!/usr/bin/env python3
"""Writes a state dict that PyTorch < 1.6 saved (a stream of pickles) as .safetensors. Standard library only.

usage: legacy_pth_to_safetensors.py IN.pth OUT.safetensors
"""

import collections
import json
import pickle
import struct
import sys

# The format's own marks, at the head of every such file.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
TYPES = {
    "FloatStorage": ("F32", 4),
    "DoubleStorage": ("F64", 8),
    "HalfStorage": ("F16", 2),
    "LongStorage": ("I64", 8),
    "IntStorage": ("I32", 4),
    "ByteStorage": ("U8", 1),
}
Storage = collections.namedtuple("Storage", "type key length")
Tensor = collections.namedtuple("Tensor", "storage offset shape strides")


class Unpickler(pickle.Unpickler):
    """Knows tensors and dictionaries, and runs nothing else."""

    def find_class(self, module, name):
        if module == "torch._utils" and name.startswith("_rebuild_tensor"):
            return lambda storage, offset, shape, strides, *_: Tensor(storage, offset, tuple(shape), tuple(strides))
        if module == "torch" and name in TYPES:
            return name
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"refused {module}.{name}")

    def persistent_load(self, saved):
        kind, storage_type, key, _, length = saved[:5]
        if kind != "storage":
            raise pickle.UnpicklingError(f"refused {kind}")
        return Storage(storage_type, key, length)


def content(tensor, raw):
    """The tensor's bytes in row-major order."""
    width = TYPES[tensor.storage.type][1]
    source = raw[tensor.storage.key]
    count, strides = 1, []
    for size in reversed(tensor.shape):
        strides.insert(0, count)
        count *= size
    if all(got == want or size == 1 for got, want, size in zip(tensor.strides, strides, tensor.shape)):
        return source[tensor.offset * width : (tensor.offset + count) * width]
    # Strided storage, such as weights that were permuted from TensorFlow's order.
    places = [tensor.offset]
    for size, stride in zip(tensor.shape, tensor.strides):
        places = [place + step * stride for place in places for step in range(size)]
    return b"".join(source[place * width : (place + 1) * width] for place in places)


def main(source, target):
    with open(source, "rb") as file:
        if pickle.load(file) != MAGIC or pickle.load(file) != PROTOCOL:
            sys.exit(f"{source} is not in the format of PyTorch < 1.6")
        pickle.load(file)
        tensors = Unpickler(file).load()
        keys = pickle.load(file)
        types = {tensor.storage.key: tensor.storage.type for tensor in tensors.values()}
        raw = {}
        for key in keys:
            (length,) = struct.unpack("<q", file.read(8))
            raw[key] = file.read(length * TYPES[types[key]][1])
    header, blobs, offset = {}, [], 0
    for name in sorted(tensors):
        if name.endswith("num_batches_tracked"):
            continue
        tensor = tensors[name]
        blob = content(tensor, raw)
        header[name] = {
            "dtype": TYPES[tensor.storage.type][0],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(blob)],
        }
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
