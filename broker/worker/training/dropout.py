"""Dropout whose masks depend on (seed, step, sequence, layer, place) alone: not on the micro-batch, not on history.

So a micro-batch that was halved for want of memory drops the same values as the whole one would have, a recomputed
activation is the same as the first one, and a resumed run needs no state of a random generator to go on bit-equal.
The mask is a 32-bit mixing function of a counter, as in counter-based generators (Salmon et al., SC 2011); the mixer is
"lowbias32" by C. Wellons (https://nullprogram.com/blog/2018/07/31/).
"""

from __future__ import annotations

import torch
from torch import nn

_LOW = 0x7FFF_FFFF


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


_FIRST, _SECOND = _signed(0x7FEB_352D), _signed(0x846C_A68B)
_GOLDEN = _signed(0x9E37_79B9)


class Place:
    """Where the training is: shared by all dropout layers of a model."""

    def __init__(self, seed: int) -> None:
        """Begin at step 0.

        Args:
            seed: Of the run.
        """
        self.seed = seed
        self.step = 0
        self.keys: torch.Tensor | None = None

    def at(self, step: int, keys: torch.Tensor) -> None:
        """Set what the next forward pass works on.

        Args:
            step: Optimizer step, from 0.
            keys: Keys of the sequences in the batch, [sequences], int32.
        """
        self.step = step
        self.keys = keys


class PlacedDropout(nn.Module):
    """Drops values of activations of shape [sequences, tokens, features]."""

    def __init__(self, rate: float, layer: int, place: Place) -> None:
        """Make the layer.

        Args:
            rate: Share of the values set to 0, in [0, 1).
            layer: Number of this layer in the model.
            place: Shared.
        """
        super().__init__()
        self.rate = rate
        self.layer = layer
        self.place = place

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the values with some set to 0 and the others scaled up; in evaluation, the values.

        Args:
            values: [sequences, tokens, features]; other shapes are dropped by torch's own generator.
        """
        keys = self.place.keys
        if not self.training or self.rate <= 0:
            return values
        if keys is None or values.dim() != 3 or len(values) != len(keys):
            return nn.functional.dropout(values, self.rate)
        kept = self._kept(keys, values.shape[1], values.shape[2])
        return values * kept.to(values.dtype).div_(1 - self.rate)

    def _kept(self, keys: torch.Tensor, tokens: int, features: int) -> torch.Tensor:
        start = _mix(keys * _GOLDEN + _signed(_scramble(self.place.seed, self.place.step, self.layer)))
        token = torch.arange(tokens, dtype=torch.int32, device=keys.device)
        rows = _mix(start[:, None] + token[None, :] * _GOLDEN)
        feature = _mix(torch.arange(features, dtype=torch.int32, device=keys.device) * _GOLDEN + 1)
        drawn = _mix(rows[:, :, None] ^ feature[None, None, :])
        return drawn.bitwise_and_(_LOW) >= int(self.rate * (_LOW + 1))


def _mix(x: torch.Tensor) -> torch.Tensor:
    """Mix the bits of int32 values, in place; the shifts are logical."""
    x ^= (x >> 16) & 0xFFFF
    x *= _FIRST
    x ^= (x >> 15) & 0x1_FFFF
    x *= _SECOND
    x ^= (x >> 16) & 0xFFFF
    return x


def _scramble(*numbers: int) -> int:
    mixed = 0
    for number in numbers:
        mixed = (mixed * 0x0100_0193 + number * 0x9E37_79B9 + 0x85EB_CA6B) & 0xFFFF_FFFF
        mixed ^= mixed >> 15
    return mixed
