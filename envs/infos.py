"""Infos in Gymnasium's vector form, some of them worked out only when they are read."""

from collections.abc import Callable, ItemsView, Iterator, ValuesView
from typing import Any


class LazyInfos(dict[str, Any]):
    """A dict in which some values are functions until they are first read."""

    def __init__(self, values: dict[str, Any], lazy: Callable[[], dict[str, Any]]) -> None:
        super().__init__(values)
        self._lazy: Callable[[], dict[str, Any]] | None = lazy
        self._names = ("coin_xy", "end_x")
        for name in self._names:
            super().__setitem__(name, None)

    def _fill(self) -> None:
        if self._lazy is not None:
            values, self._lazy = self._lazy(), None
            self.update(values)

    def __getitem__(self, name: str) -> Any:
        if name in self._names:
            self._fill()
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As for any dict."""
        if name in self._names:
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
