"""Writes src/quant/grids/*.bin: the lattice points that codes of the IQ types stand for.

    pip install gguf numpy
    python tests/reference/iq_grids.py

A point is a u16, little-endian, with the index of each of its values in the type's list of values (see src/quant/iq.rs), the first
value in the lowest bits: 8 values of 2 bits, or 4 of 4 bits.
"""

from pathlib import Path

import numpy as np
from gguf import quants

OUT = Path(__file__).resolve().parents[2] / "src" / "quant" / "grids"
OUT.mkdir(exist_ok=True)
for name in ["IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"]:
    cls = getattr(quants, name)
    cls.init_grid()
    points, width = cls.grid.reshape(cls.grid_shape), 16 // cls.grid_shape[1]
    values = np.array(cls.grid_map, dtype=np.float32)
    places = (points[:, :, None] == values).argmax(axis=2).astype(np.uint32)
    assert (values[places] == points).all()
    words = (places << (width * np.arange(places.shape[1], dtype=np.uint32))).sum(axis=1)
    (OUT / f"{name.lower()}.bin").write_bytes(words.astype("<u2").tobytes())
