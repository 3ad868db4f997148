"""Which level comes next in each environment."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.state import generator_words, level_generators


class Drawn:
    """procgen's own sequences: one std::mt19937 for each environment, kept on our side.

    procgen is told the one level that comes next, so its own generators can stay trivial, which
    makes states cheaper to read and write.
    """

    def __init__(self, seed: int, num: int, levels: tuple[int, int]) -> None:
        self._low, self._size = levels[0], levels[1] - levels[0]
        self._generators = level_generators(seed, num)
        self._raw = [generator._bit_generator.random_raw for generator in self._generators]
        self.upcoming = [self._draw(index) for index in range(num)]

    def _draw(self, index: int) -> int:
        return self._low + int(self._raw[index]()) % self._size

    def take(self, index: int) -> int:
        """Level seed of the next episode of an environment; `upcoming` is then the one after."""
        seed = self.upcoming[index]
        self.upcoming[index] = self._draw(index)
        return seed

    def save(self) -> dict[str, NDArray[Any]]:
        """Everything that decides what comes next."""
        words, places = zip(*(generator_words(g) for g in self._generators), strict=True)
        return {
            "stream_words": np.array(words, np.uint32),
            "stream_places": np.array(places, np.int64),
            "stream_upcoming": np.array(self.upcoming, np.int64),
        }

    def load(self, arrays: Any) -> None:
        """Take the arrays of `save`."""
        self.upcoming = arrays["stream_upcoming"].tolist()
        for generator, words, place in zip(
            self._generators, arrays["stream_words"], arrays["stream_places"], strict=True
        ):
            generator.set_state(("MT19937", words, int(place), 0, 0.0))


class Sequential:
    """The levels of a range one after the other, dealt where an episode begins, round and round."""

    def __init__(self, levels: tuple[int, int]) -> None:
        self._low, self._size = levels[0], levels[1] - levels[0]
        self._dealt = 0

    def take(self, index: int) -> int:
        """The next level seed that has not been dealt."""
        seed = self._low + self._dealt % self._size
        self._dealt += 1
        return seed

    def save(self) -> dict[str, NDArray[Any]]:
        """How many levels were dealt."""
        return {"stream_dealt": np.array([self._dealt])}

    def load(self, arrays: Any) -> None:
        """Take the array of `save`."""
        self._dealt = int(arrays["stream_dealt"][0])
