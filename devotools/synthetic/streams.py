"""Named streams of chance: every part of a drawing has its own, so one part can change alone."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np


@dataclass(frozen=True)
class Streams:
    """Random generators by name, all grown from one seed.

    A drawing in which the hairs are switched off keeps every granule where it was, because hairs
    and granules never share a generator.

    Examples
    --------
    >>> streams = Streams((7,))
    >>> a, b = streams.at("hairs").random(), streams.at("hairs").random()
    >>> a == b, a == streams.at("granules").random(), a == streams.at("hairs", 1).random()
    (True, False, False)
    """

    key: tuple[int, ...]

    def at(self, name: str, index: int = 0) -> np.random.Generator:
        """Return the generator called `name`; `index` tells sections or nuclei apart."""
        # one whole number is the quickest seed; 32 bits a part, no part lost, negatives made odd
        number = self.key[0] + 1
        for part in (*self.key[1:], crc32(name.encode()), 2 * abs(index) + (index < 0)):
            number = number << 32 | part
        return np.random.default_rng(number)

    def child(self, name: str) -> Streams:
        """Return streams of their own for a part that has the same parts again (an embryo)."""
        return Streams((*self.key, crc32(name.encode())))
