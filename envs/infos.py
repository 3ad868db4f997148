"""Infos in Gymnasium's vector form, some of them worked out only when they are read."""

from collections.abc import Callable, ItemsView, Iterator, ValuesView
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.layout import Cell


class LazyInfos(dict[str, Any]):
    """Levels [n] whose coin lies at the end; where that is, is worked out when it is first read.

    `end_of` gives the end cell of a level seed.
    """

    NAMES = ("coin_xy", "end_x")

    def __init__(
        self, seeds: NDArray[np.int32], mask: NDArray[np.bool_], end_of: Callable[[int], Cell]
    ) -> None:
        # In one call: this is built at every step.
        super().__init__(
            level_seed=seeds, _level_seed=mask, coin_xy=None, _coin_xy=mask, end_x=None, _end_x=mask
        )
        self._seeds, self._end_of = seeds, end_of
        self._blank = True

    def _fill(self) -> None:
        if self._blank:
            self._blank = False
            ends = np.array([self._end_of(int(seed)) for seed in self._seeds], np.int32)
            self.update(coin_xy=ends, end_x=ends[:, 0].copy())

    def __getitem__(self, name: str) -> Any:
        if name in self.NAMES:
            self._fill()
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As for any dict."""
        if name in self.NAMES:
            self._fill()
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:  # its presence keeps dict(infos) from copying blanks
        return super().__iter__()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """As for any dict."""
        self._fill()
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """As for any dict."""
        self._fill()
        return super().values()

    def copy(self) -> dict[str, Any]:
        """A plain dict with everything worked out."""
        return dict(self.items())

    def __eq__(self, other: object) -> bool:
        self._fill()
        return super().__eq__(other)

    __hash__ = None

    def __repr__(self) -> str:
        self._fill()
        return super().__repr__()

    def __reduce__(self) -> Any:
        return dict, (self.copy(),)
