"""Writes tests/golden/gguf.json: a small file made by the `gguf` package of PyPI, and what its reader says of it.

    pip install gguf numpy && python tests/reference/gguf_golden.py
"""

import json
import tempfile
from pathlib import Path

import gguf
import numpy as np

ALIGNMENT = 64
# Name, dimensions as ggml orders them, type, bytes.
TENSORS = [
    ("token_embd.weight", [32, 3], gguf.GGMLQuantizationType.Q8_0, 102),
    ("blk.0.attn_q.weight", [256, 2], gguf.GGMLQuantizationType.TQ2_0, 132),
    ("blk.0.ffn_norm.weight", [5], gguf.GGMLQuantizationType.F32, 20),
    ("rope.table", [3, 2, 2], gguf.GGMLQuantizationType.F16, 24),
    ("output.weight", [64, 1], gguf.GGMLQuantizationType.Q4_0, 36),
]


def write(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(ALIGNMENT)
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_uint64("test.u64", 2**64 - 1)
    writer.add_int64("test.i64", -(2**63))
    writer.add_float32("test.f32", 1.5)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "naïve 日本語 🦙")
    writer.add_array("test.tokens", ["<s>", "Ġa", "日"])
    writer.add_array("test.scores", [0.0, -1.25])
    writer.add_array("test.types", [3, 1, -1])
    writer.add_array("test.flags", [True, False])
    for number, (name, dims, ty, size) in enumerate(TENSORS):
        data = np.arange(number, number + size).astype(np.uint8)
        if ty in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16):
            dtype = np.float32 if ty == gguf.GGMLQuantizationType.F32 else np.float16
            writer.add_tensor(name, data.view(dtype).reshape(dims[::-1]))
        else:
            writer.add_tensor(name, data.reshape(dims[:0:-1] + [-1]), raw_dtype=ty)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def kind(types):
    name = {"FLOAT": "F", "UINT": "U", "INT": "I"}
    words = []
    for ty in types:
        word = ty.name
        for long, short in name.items():
            word = word.replace(long, short)
        words.append(word.lower())
    return " of ".join(words)


def describe(path):
    reader = gguf.GGUFReader(path)
    fields = [field for name, field in reader.fields.items() if not name.startswith("GGUF.")]
    return {
        "file": Path(path).read_bytes().hex(),
        "data_offset": int(reader.data_offset),
        "metadata": [{"key": field.name, "kind": kind(field.types)} for field in fields],
        "tensors": [
            {
                "name": tensor.name,
                "dims": tensor.shape.tolist(),
                "type": tensor.tensor_type.name,
                "offset": int(tensor.data_offset - reader.data_offset),
                "bytes": tensor.data.tobytes().hex(),
            }
            for tensor in reader.tensors
        ],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "golden.gguf"
        write(path)
        golden = describe(path)
    out = Path(__file__).parent.parent / "golden" / "gguf.json"
    out.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")
