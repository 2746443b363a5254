"""What the key `cost` of a traffic file holds: prices, which are the user's own, and limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from qnet.model.fields import Name, Noun, reads, shown
from qnet.units import Dimension, powers

PRICE = Dimension(
    "price", "uCNY", powers(("uCNY", 0), ("CNY", 6), ("kCNY", 9), ("MCNY", 12)), "20kCNY", 10**15
)
POWER = Dimension("power", "mW", powers(("mW", 0), ("W", 3), ("kW", 6)), "30W", 10**9)

Price = Annotated[int, reads(PRICE, positive=False), shown(PRICE), PRICE]
Power = Annotated[int, reads(POWER, positive=False), shown(POWER), POWER]


class Limit(Noun):
    """What a terabyte may cost at most."""

    service: Name | None = Field(None, description="service that the limit is for")
    site: Name | None = Field(None, description="or site whose required egress it is for")
    per_tb_ucny: Price = Field(alias="per-tb", description="most that a terabyte may cost")

    @model_validator(mode="after")
    def _check(self) -> Limit:
        if (self.service is None) == (self.site is None):
            raise ValueError("a limit is for a 'service' or for a 'site'; give one of them")
        return self


class Cost(Noun):
    """Prices and limits of the layer cost; all prices are by the year but that of energy."""

    wire_ucny: Price | None = Field(
        None, alias="wire", description="a year of each wire, whatever its length"
    )
    km_ucny: Price | None = Field(None, alias="km", description="a year of each km of each wire")
    port_ucny: Price | None = Field(
        None, alias="port", description="a year of each port; a wire has one at either end"
    )
    power_mw: Power | None = Field(
        None, alias="power", description="what each port takes, with its share of the switch"
    )
    kwh_ucny: Price | None = Field(None, alias="kwh", description="a kilowatt-hour")
    limits: tuple[Limit, ...] = Field((), description="what a terabyte may cost at most")

    @property
    def has_prices(self) -> bool:
        """Say whether anything has a price."""
        given = (self.wire_ucny, self.km_ucny, self.port_ucny, self.kwh_ucny)
        return any(one is not None for one in given)

    @model_validator(mode="after")
    def _check(self) -> Cost:
        if (self.power_mw is None) != (self.kwh_ucny is None):
            raise ValueError("'power' and 'kwh' go together; give both or none")
        return self
