"""Let a new configuration go on with the parts of the one before it that it would make in the same way.

What a middleware or a provider holds (counters, tokens, files that it writes, calls that several clients wait for)
lives on, since it is the same object; other parts are made anew. Begin reading at `Reuse.take`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from llmproxy.server.runtime import Component, Startable
from llmproxy.stores.open_stores import RecordedStores, Stores

T = TypeVar("T", bound=Startable)


class Reuse:
    """The parts of one configuration that is being built. `before` are those of the one that is in effect."""

    def __init__(self, stores: Stores, before: Iterable[Component] = ()) -> None:
        self._stores = stores
        self._free = [each for each in before if each.made_from is not None]
        self._taken: dict[int, Component] = {}

    def take(self, made_from: object, make: Callable[[Stores], T]) -> T:
        """Return the part that was made from equal facts and uses the same stores, else the one that `make` returns.

        `made_from` must hold the class and everything that its behaviour depends on; it is compared with `==`.
        """
        for component in self._free:
            if component.made_from == made_from and self._has_same_stores(component):
                self._free.remove(component)
                self._taken[id(component.part)] = component
                part: T = component.part  # type: ignore[assignment]  # of the class in `made_from`
                return part
        stores = RecordedStores(self._stores)
        part = make(stores)
        self._taken[id(part)] = Component(part=part, who="", made_from=made_from, stores=stores.opened)
        return part

    def component(self, part: Startable, who: str, place: str = "") -> Component:
        """Return the component of a part that `take` returned."""
        return replace(self._taken[id(part)], who=who, place=place)

    def _has_same_stores(self, component: Component) -> bool:
        return all(self._stores.find(name) is store for name, store in component.stores.items())
