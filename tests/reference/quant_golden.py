"""Writes tests/golden/quant/*.bin: what the `gguf` package makes of some blocks and weights.

    pip install gguf numpy
    python tests/reference/quant_golden.py

`gguf` decodes and encodes every type that it knows. It does not know Q1_0 and Q2_0 (block layouts of ggml-common.h), PQ2_0 and PTQ1_0
(PrismML's llama.cpp) and I2_S (bitnet.cpp); for these the layout is written out below, with numpy reshapes rather than with the
shifts of src/quant.

A file is a sequence of records, little-endian:
    u32 tag, u32 length, `length` bytes of input, u32 length, `length` bytes of expected output
decode.bin: tag = ggml type id, blocks -> f32.  encode.bin: tag = ggml type id, f32 -> blocks.
ternarize.bin: tag = 0, f32 -> f32 scale and one code a weight.
"""

import struct
from pathlib import Path

import numpy as np
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T

OUT = Path(__file__).resolve().parents[1] / "golden" / "quant"
rng = np.random.default_rng(20261123)

# Where the f16 fields of a block are.
HALVES = {
    T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q2_K: [80, 82], T.Q3_K: [108],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.TQ1_0: [52], T.TQ2_0: [64],
}
# The same for types that are only decoded.
IQ_HALVES = {
    T.IQ1_S: [0], T.IQ2_XXS: [0], T.IQ2_XS: [0], T.IQ2_S: [0], T.IQ3_XXS: [0], T.IQ3_S: [0], T.IQ4_NL: [0], T.IQ4_XS: [0],
}
Q1_0, Q2_0, PQ2_0, PTQ1_0, I2_S = 41, 42, 142, 143, 36

# Zeros, subnormals, the smallest normal, one, the largest.
EXTREME_HALVES = np.array([0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0xBC00, 0x7BFF, 0xFBFF], dtype="<u2")


def record(tag, given, expected):
    given, expected = given.tobytes(), expected.tobytes()
    return struct.pack("<II", tag, len(given)) + given + struct.pack("<I", len(expected)) + expected


def random_blocks(count, size, halves):
    """All-zero and all-one bits, then random bytes; the scales are finite, some of them extreme."""
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    blocks[0], blocks[1] = 0x00, 0xFF
    for k, at in enumerate(halves):
        d = (rng.standard_normal(count) * 0.1).astype("<f2")
        extreme = np.roll(EXTREME_HALVES, 3 * k)[: count // 2]
        d[: len(extreme)] = extreme.view("<f2")
        blocks[:, at : at + 2] = d.view(np.uint8).reshape(count, 2)
    return blocks


def q2_0_decode(blocks):
    """Q2_0 and PQ2_0."""
    d = blocks[:, :2].copy().view("<f2").astype(np.float32)
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").reshape(len(blocks), -1, 2)
    return d * (bits[:, :, 0] + 2.0 * bits[:, :, 1] - 1.0).astype(np.float32)


def q1_0_decode(blocks):
    d = blocks[:, :2].copy().view("<f2").astype(np.float32)
    bits = np.unpackbits(blocks[:, 2:], axis=1, bitorder="little").astype(np.float32)
    return d * (np.float32(2) * bits - np.float32(1))


def ptq1_0_decode(blocks):
    """Digits of base 3, the most significant first, in fixed point: digit n of byte b is floor(3^(n + 1) b / 256) mod 3."""
    d = blocks[:, 26:].copy().view("<f2").astype(np.float32)
    runs = []
    for first, last, digits in [(0, 16, 5), (16, 24, 5), (24, 26, 4)]:
        bytes_ = blocks[:, None, first:last].astype(np.int64)
        powers = 3 ** np.arange(1, digits + 1).reshape(1, -1, 1)
        runs.append((bytes_ * powers // 256 % 3).reshape(len(blocks), -1))
    return d * (np.hstack(runs).astype(np.float32) - np.float32(1))


def q2_0_encode(weights, group=64):
    weights = weights.reshape(-1, group)
    d = np.abs(weights).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        inverse = np.where(d == 0, np.float32(0), np.float32(1) / d)
    codes = (quants.np_roundf(weights * inverse) + 1).astype(np.uint8)
    bits = np.stack([codes & 1, codes >> 1], axis=2).reshape(len(weights), 2 * group)
    return np.hstack([d.astype("<f2").view(np.uint8), np.packbits(bits, axis=1, bitorder="little")])


def i2_s_encode(codes, scale):
    fields = codes.reshape(-1, 4, 32).transpose(0, 2, 1)
    bits = np.stack([fields >> 1, fields & 1], axis=3).reshape(len(fields), 256)
    tail = np.zeros(32, dtype=np.uint8)
    tail[:4] = np.array([scale], dtype="<f4").view(np.uint8)
    return np.concatenate([np.packbits(bits, axis=1).ravel(), tail])


def decode_records():
    floats = np.concatenate([rng.standard_normal(24), [0.0, -0.0, 1e-45, -1e-40, 3.4e38, np.inf, -np.inf]]).astype("<f4")
    yield record(T.F32, floats, floats)
    halves = np.concatenate([EXTREME_HALVES, [0x7C00, 0xFC00], rng.integers(0, 0x7C00, 24)]).astype("<u2")
    yield record(T.F16, halves, quants.dequantize(halves.view("<f2"), T.F16).astype("<f4"))
    brains = np.concatenate([[0, 0x8000, 1, 0x807F, 0x7F7F, 0x7F80, 0xFF80], rng.integers(0, 0x7F80, 24)]).astype("<u2")
    yield record(T.BF16, brains, quants.dequantize(brains.view(np.uint8), T.BF16))
    for ty, halves in HALVES.items():
        block, size = GGML_QUANT_SIZES[ty]
        blocks = random_blocks(16 if block == 32 else 6, size, halves)
        yield record(ty, blocks, quants.dequantize(blocks, ty))
    blocks = random_blocks(16, 18, [0])
    yield record(Q2_0, blocks, q2_0_decode(blocks))
    blocks = random_blocks(8, 18, [0])
    yield record(Q1_0, blocks, q1_0_decode(blocks))
    blocks = random_blocks(8, 34, [0])
    yield record(PQ2_0, blocks, q2_0_decode(blocks))
    blocks = random_blocks(8, 28, [26])
    yield record(PTQ1_0, blocks, ptq1_0_decode(blocks))
    for ty, halves in IQ_HALVES.items():
        block, size = GGML_QUANT_SIZES[ty]
        blocks = random_blocks(16 if block == 32 else 8, size, halves)
        yield record(ty, blocks, quants.dequantize(blocks, ty))
    blocks = random_blocks(8, 56, [])
    # The bits of the scale are the upper nibbles of the last four u16.
    scales = blocks[:, 48:].copy().view("<u2")
    bits = (rng.standard_normal(8) * 0.1).astype("<f2").view("<u2")
    for i in range(4):
        scales[:, i] = scales[:, i] & 0x0FFF | (bits >> 4 * i & 15) << 12
    blocks[:, 48:] = scales.view(np.uint8)
    yield record(T.IQ1_M, blocks, quants.dequantize(blocks, T.IQ1_M))
    blocks = random_blocks(16, 17, [])
    blocks[:, 0] = [0, 1, 2, 3, 251, 250, *rng.integers(110, 140, 10)]
    yield record(T.MXFP4, blocks, quants.dequantize(blocks, T.MXFP4))
    codes = rng.choice(np.array([0, 1, 2], dtype=np.uint8), 576, p=[0.35, 0.3, 0.35])
    codes = np.concatenate([codes, codes[:64]])
    scale = np.float32(0.0317)
    yield record(I2_S, i2_s_encode(codes, scale), scale * (codes.astype(np.float32) - 1))


def weights_of(block):
    """Blocks of ordinary weights, of ties, of one spike, of zeros of both signs, of large and of small numbers."""
    normal = rng.standard_normal(2 * block)
    ties = np.resize([127.0, 0.5, -0.5, 1.5, -1.5, 2.5, -126.5, 63.5], block)
    spike = np.where(np.arange(block) == block // 2, -3.0, 0.0)
    both = np.resize([-1.0, 1.0, 0.25, -0.25], block)
    zeros = np.resize([0.0, -0.0], block)
    negative_zero = -np.zeros(block)
    large = rng.uniform(-65000, 65000, block)
    small = rng.standard_normal(block) * 1e-7
    ternary = 0.03125 * rng.integers(-1, 2, block)
    return np.concatenate([normal, ties, spike, both, zeros, negative_zero, large, small, ternary]).astype("<f4")


def encode_records():
    floats = np.concatenate([
        rng.standard_normal(16), rng.standard_normal(8) * 1e-6,
        # Ties of f16 and of bf16, both ways, and values on either side of half the smallest f16.
        [0.0, -0.0, 65504.0, -65519.0, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 2.0**-25, 2.0**-24,
         3 * 2.0**-25, 1e-20],
    ]).astype("<f4")
    yield record(T.F32, floats, floats)
    yield record(T.F16, floats, quants.quantize(floats, T.F16).astype("<f2"))
    yield record(T.BF16, floats, quants.quantize(floats, T.BF16))
    for ty in [T.Q8_0, T.Q4_0, T.TQ1_0, T.TQ2_0]:
        block, size = GGML_QUANT_SIZES[ty]
        weights = weights_of(block)
        yield record(ty, weights, quants.quantize(weights.reshape(-1, block), ty))
    weights = weights_of(64)
    yield record(Q2_0, weights, q2_0_encode(weights))
    weights = weights_of(128)
    yield record(PQ2_0, weights, q2_0_encode(weights, 128))
    codes = rng.integers(0, 3, 384, dtype=np.uint8)
    scale = np.float32(0.0291)
    yield record(I2_S, scale * (codes.astype("<f4") - 1), i2_s_encode(codes, scale))


def ternarize_records():
    cases = [rng.standard_normal(300) * 0.02, np.zeros(5), np.full(7, 1e-7), [1.0, 0.5, -0.5, 0.0, -3.0, 1.0, 1.0, -1.0]]
    for weights in cases:
        weights = np.array(weights, dtype="<f4")
        scale = np.float32(max(np.float32(np.abs(weights).mean(dtype=np.float64)), np.float32(1e-5)))
        codes = (np.clip(np.rint(weights / scale), -1, 1) + 1).astype(np.uint8)
        yield record(0, weights, np.concatenate([np.array([scale], dtype="<f4").view(np.uint8), codes]))


OUT.mkdir(parents=True, exist_ok=True)
for name, records in [("decode", decode_records()), ("encode", encode_records()), ("ternarize", ternarize_records())]:
    (OUT / f"{name}.bin").write_bytes(b"".join(records))
