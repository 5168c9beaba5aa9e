"""The table of prices: the embedded one, or the user's in its place.

A table has a list of models for each vendor. Only the lists that somebody asks for are decoded. Reading a file takes
milliseconds: never in the event loop. Begin reading at `read_table`.
"""

from __future__ import annotations

import logging
import re
from functools import cache
from pathlib import Path

import msgspec
from platformdirs import user_state_dir

from llmproxy.pricing.price import Price, PriceRow
from llmproxy.pricing.price_names import PriceNames

log = logging.getLogger(__name__)

EMBEDDED = Path(__file__).with_name("price_table.json")
_FILE_BYTES = 32 * 1024 * 1024


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """The prices of one vendor.

    `hosts` matches the addresses of its API, `pages` are where the prices are published. `also` are the lists of others
    whose models it sells for the same standard prices. `reports_cost` says that its answers have their own price.
    """

    hosts: str = ""
    pages: list[str] = []
    also: list[str] = []
    reports_cost: bool = False
    models: list[PriceRow] = []


class _Address(msgspec.Struct, frozen=True):
    hosts: str = ""


class _Table(msgspec.Struct, frozen=True):
    source: str
    date: str
    lists: dict[str, msgspec.Raw]
    types: dict[str, str] = {}


class PriceTable:
    """A table whose lists are decoded when they are used. `source` and `date` say where and when it is from."""

    def __init__(self, content: bytes) -> None:
        """Read the table from JSON. Raises ValueError (msgspec.ValidationError, DecodeError) when it is none."""
        table = msgspec.json.decode(content, type=_Table)
        self.source, self.date = table.source, table.date
        self._lists = table.lists
        self._types = table.types
        self._decoded: dict[str, tuple[PriceList, PriceNames]] = {}

    def check(self) -> int:
        """Decode everything; return the number of models. Raises ValueError."""
        return sum(len(self.list(name)[0].models) for name in self._lists)

    def names(self) -> list[str]:
        """Return the names of the lists."""
        return list(self._lists)

    def list(self, name: str) -> tuple[PriceList, PriceNames]:
        """Return a list and its names."""
        decoded = self._decoded.get(name)
        if decoded is None:
            prices = msgspec.json.decode(self._lists[name], type=PriceList)
            decoded = self._decoded[name] = prices, PriceNames(prices.models)
        return decoded

    def price(self, list_name: str, model: str) -> Price | None:
        """Return the prices of a model in a list, or in one whose models it sells too; None when it is unknown.

        Prices of other tiers are those of the vendor alone.
        """
        prices, names = self.list(list_name)
        row = names.find(model)
        if row is not None:
            return Price(row, self._describe(list_name))
        for other in prices.also:
            if other in self._lists and (row := self.list(other)[1].find(model)) is not None:
                later = [(day, msgspec.structs.replace(each, tiers={})) for day, each in row.later]
                return Price(msgspec.structs.replace(row, tiers={}, later=later), self._describe(other))
        return None

    def _describe(self, list_name: str) -> str:
        return f"{list_name}, {self.source}, {self.date}"

    def list_for(self, type_: str, url: str | None) -> str | None:
        """Return the name of the list for a provider: by its address where that is a vendor's own, else by its type."""
        own = self._types.get(type_, type_)
        known = own if own in self._lists else None
        if url is None or (known is not None and self._serves(known, url)):
            return known
        return next((name for name in self._lists if name != known and self._serves(name, url)), known)

    def _serves(self, name: str, url: str) -> bool:
        pattern = msgspec.json.decode(self._lists[name], type=_Address).hosts
        try:
            return bool(pattern) and re.match(pattern, url) is not None
        except re.error:
            return False


def user_table() -> Path:
    """Return the path of the table that replaces the embedded one. Raises OSError when the user has no directory."""
    try:
        return Path(user_state_dir("llmproxy", appauthor=False), "prices.json")
    except ValueError as error:  # Windows has no such folder
        raise FileNotFoundError(str(error)) from error


@cache
def embedded_table() -> PriceTable:
    """Return the table of this version of llmproxy."""
    return PriceTable(EMBEDDED.read_bytes())


def read_table() -> PriceTable:
    """Return the user's table if there is one that can be read, else the embedded one."""
    try:
        with user_table().open("rb") as file:
            return PriceTable(file.read(_FILE_BYTES))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        log.warning("the prices in %s cannot be read, those of this version are used: %s", user_table(), error)
    return embedded_table()
