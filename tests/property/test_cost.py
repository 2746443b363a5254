"""Prices and shares of drawn networks: twice the price is twice the cost, and nothing is lost."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from qnet.layers.cost.bill import Bill, Carried, Wire, Yearly

WIRES = st.tuples(st.integers(0, 5), st.integers(0, 1))
PRICES = st.integers(0, 10**15).map(Fraction)


@st.composite
def bills(draw: st.DrawFn) -> tuple[dict[Wire, Yearly], dict[str, Carried]]:
    """Draw what wires cost, and who uses which: also several at once, and some nobody."""
    yearly = st.builds(Yearly, PRICES, PRICES, PRICES, PRICES)
    wires = draw(st.dictionaries(WIRES, yearly, min_size=1, max_size=8))
    carried = {}
    for number in range(draw(st.integers(0, 6))):
        rate_bps = Fraction(draw(st.integers(1, 10**13)), draw(st.integers(1, 9)))
        used = draw(st.sets(st.sampled_from(sorted(wires)), min_size=1))
        parts = {wire: rate_bps * Fraction(draw(st.integers(1, 6)), 3) for wire in used}
        service, site = draw(st.sampled_from("abc")), draw(st.sampled_from((None, "x", "y")))
        carried[f"d{number}"] = Carried(service, site, rate_bps, parts)
    return wires, carried


@given(bills())
def test_twice_the_prices_is_twice_every_cost(
    drawn: tuple[dict[Wire, Yearly], dict[str, Carried]],
) -> None:
    wires, carried = drawn
    double = {wire: Yearly(*(2 * price for price in one)) for wire, one in wires.items()}
    once, twice = Bill(wires, carried), Bill(double, carried)
    assert twice.whole.ucny == 2 * once.whole.ucny
    assert twice.unused_ucny == 2 * once.unused_ucny
    for name, account in once.services.items():
        assert twice.services[name].ucny == 2 * account.ucny
        assert account.per_tb_ucny is not None
        assert twice.services[name].per_tb_ucny == 2 * account.per_tb_ucny
    assert twice.egress("x").ucny == 2 * once.egress("x").ucny


@given(bills())
def test_shares_add_up_to_the_whole(
    drawn: tuple[dict[Wire, Yearly], dict[str, Carried]],
) -> None:
    """What services pay and what nobody pays is the price of all wires; so it is by sites."""
    bill = Bill(*drawn)
    paid = sum(one.ucny for one in bill.services.values())
    assert paid + bill.unused_ucny == bill.whole.ucny
    assert sum(one.tb for one in bill.services.values()) == bill.whole.tb
    sites = {one.leaves for one in bill.carried.values()} - {None}
    left = sum(bill.egress(site).ucny for site in sites if site)
    assert left <= paid
    if all(one.leaves for one in bill.carried.values()):
        assert left == paid


@given(bills(), st.integers(2, 50))
def test_half_the_use_is_twice_the_price(
    drawn: tuple[dict[Wire, Yearly], dict[str, Carried]], times: int
) -> None:
    wires, carried = drawn
    less = {
        name: one._replace(
            rate_bps=one.rate_bps / times,
            wires={wire: rate / times for wire, rate in one.wires.items()},
        )
        for name, one in carried.items()
    }
    for name, account in Bill(wires, less).services.items():
        before = Bill(wires, carried).services[name].per_tb_ucny
        assert before is not None
        assert account.per_tb_ucny == times * before
