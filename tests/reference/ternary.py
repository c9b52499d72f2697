"""The ternary block formats that the `gguf` package lacks, written with numpy reshapes rather than with the shifts of src/quant."""

import numpy as np

Q2_0, I2_S = 42, 36
# Weights and bytes of a block. I2_S has 32 more bytes at the end of a tensor, the first four of them the scale.
BLOCKS = {Q2_0: (64, 18), I2_S: (128, 32)}


def q2_0(codes, scale):
    """Bytes of `scale` times `codes`, which are -1, 0 and 1. Source: ggml-common.h."""
    fields = (codes.reshape(-1, 64) + 1).astype(np.uint8)
    bits = np.stack([fields & 1, fields >> 1], axis=2).reshape(len(fields), 128)
    d = np.full((len(fields), 1), scale, "<f2").view(np.uint8)
    return np.hstack([d, np.packbits(bits, axis=1, bitorder="little")]).ravel()


def i2_s(codes, scale):
    """The same in the layout of bitnet.cpp."""
    fields = (codes.reshape(-1, 4, 32) + 1).astype(np.uint8).transpose(0, 2, 1)
    bits = np.stack([fields >> 1, fields & 1], axis=3).reshape(len(fields), 256)
    tail = np.zeros(32, np.uint8)
    tail[:4] = np.array([scale], "<f4").view(np.uint8)
    return np.concatenate([np.packbits(bits, axis=1).ravel(), tail])
