"""More NICs on one network than a bridge has ports: 1500 on a star of two bridges."""

from __future__ import annotations

from functools import partial

from bench.labs import many_nics, one_network
from bench.measure import Failed
from bench.place import Place
from bench.session import Session

ABOUT = "1500 NICs on one network, up and down, beside as many on bridges of 100"
NICS, QUICK_NICS = 1500, 1001


def run(session: Session) -> None:
    nics = QUICK_NICS if session.quick else NICS
    for place in session.realms("one network of many NICs"):
        with session.no_time_for_failures(f"{nics} NICs on one network, {place.realm}"):
            _star(session, place, nics)


def _star(session: Session, place: Place, nics: int) -> None:
    downs: dict[str, list[float]] = {"one": [], "many": []}
    one, many = (partial(_up, place, nics, lab(nics), downs[name]) for name, lab in
                 (("one", one_network), ("many", many_nics)))  # fmt: skip
    what = f"{nics} NICs on one network, {place.realm}"
    session.compare(f"{what}: up", one, (f"{-(-nics // 100)} networks of 100", many), None, 1)
    if downs["one"] and downs["many"]:
        session.figure(
            f"{what}: down", f"{-(-nics // 100)} networks of 100", "s", (downs["one"][-1], downs["many"][-1])
        )


def _up(place: Place, nics: int, lab: str, downs: list[float]) -> float:
    place.write(lab)
    took = place.qlan("up", "--no-wait")
    try:
        place.must_be_up(nics)
        if place.qlan("up", "--no-wait") > took:
            raise Failed("the second up took longer than the first")
    finally:
        downs.append(place.qlan("down", "--force"))
    return took
