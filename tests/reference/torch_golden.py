"""Writes tests/golden/torch: small checkpoints saved by PyTorch, and expected.json with the bytes of their tensors.

    pip install torch && python tests/reference/torch_golden.py

Files that expected.json does not name are to be refused.
"""

import collections
import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import torch

OUT = Path(__file__).resolve().parents[1] / "golden" / "torch"
# The names of safetensors, in which webtern speaks of types.
NAMES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.uint8: "U8",
    torch.int8: "I8", torch.int16: "I16", torch.int32: "I32", torch.int64: "I64", torch.bool: "BOOL", torch.uint16: "U16",
    torch.float8_e4m3fn: "F8_E4M3", torch.complex64: "C64",
}


def described(tensor):
    flat = tensor.detach().contiguous().reshape(-1)
    data = bytes(flat.view(torch.uint8).tolist()) if flat.numel() else b""
    return {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data": data.hex()}


def types():
    """A tensor of each type, and of no dimension and no elements."""
    weights = {name: torch.arange(-2, 4).to(dtype) for dtype, name in NAMES.items()}
    weights["scalar"] = torch.tensor(2.5)
    weights["empty"] = torch.empty(0, 3)
    return weights


def views():
    """Tied weights and views of one storage, all with their rows together."""
    table = torch.arange(24, dtype=torch.bfloat16).reshape(6, 4)
    return collections.OrderedDict(
        {"embedding": table, "head": table, "rows": table[2:5], "row": table[3], "column": table[:, :1][2:3],
         "parameter": torch.nn.Parameter(table)}
    )


def training():
    """What a trainer saves: weights of a compiled model under DDP, with everything else around them."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 4])
    weights = model.state_dict()
    renamed = collections.OrderedDict((f"module._orig_mod.{name}", tensor) for name, tensor in weights.items())
    renamed._metadata = weights._metadata
    return renamed, {
        "epoch": 3, "loss": 0.25, "best": None, "seen": 2**40, "hash": 2**100, "name": "run 1", "log": [1, 2.5, {"a": (1,)}],
        "optimizer_state_dict": optimizer.state_dict(), "scheduler": scheduler.state_dict(), "done": True,
        "model_state_dict": renamed, "set": {1, 2}, "bytes": b"ab", "complex": 1j, "size": torch.Size([2]),
        "device": torch.device("cpu"), "dtype": torch.bfloat16, "rng": torch.arange(4, dtype=torch.uint8),
    }


class Command:
    def __reduce__(self):
        return os.system, ("echo a checkpoint ran this",)


def rewritten(saved, compression=zipfile.ZIP_STORED, **changes):
    """The archive with other entries, or compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = changes.get(info.filename.rpartition("/")[2], old.read(info))
            new.writestr(zipfile.ZipInfo(info.filename), data, compression)
    return out.getvalue()


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    torch.manual_seed(1)
    expected = {}

    def save(name, saved, weights=None, **options):
        torch.save(saved, OUT / name, **options)
        if weights is not None:
            expected[name] = {key: described(tensor) for key, tensor in weights.items()}

    save("types.pt", types(), types())
    save("views.pt", views(), views())
    weights, checkpoint = training()
    save("training.pt", checkpoint, weights)
    small = {"a": torch.tensor([1.0, -2.0])}
    save("lightning.pt", {"state_dict": {"model": small}, "epoch": 1}, small)
    save("protocol-5.pt", small, small, pickle_protocol=5)

    save("before-1.6.pt", small, _use_new_zipfile_serialization=False)
    save("transposed.pt", {"a": torch.ones(2, 3).t()})
    save("module.pt", torch.nn.Linear(2, 1))
    save("tensor.pt", torch.ones(2))
    save("two.pt", {"model": small, "module": small})
    save("none.pt", {"epoch": 1, "args": {"lr": 0.1}})
    save("command.pt", {"a": small["a"], "command": Command()})
    saved = OUT / "protocol-5.pt"
    (OUT / "compressed.pt").write_bytes(rewritten(saved, zipfile.ZIP_DEFLATED))
    (OUT / "big-endian.pt").write_bytes(rewritten(saved, byteorder=b"big"))
    (OUT / "short-storage.pt").write_bytes(rewritten(saved, **{"0": b"1234"}))
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


main()
