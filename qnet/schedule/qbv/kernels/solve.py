"""The search: streams in order, and those that were pushed out again."""

from __future__ import annotations

from qnet.kernel import bare_kernel
from qnet.schedule.qbv.kernels.place import place
from qnet.schedule.qbv.kernels.ruin import force
from qnet.schedule.qbv.kernels.tables import GateSearch, Int64s


@bare_kernel
def solve(search: GateSearch, order: Int64s) -> int:
    """Place streams in order; who does not fit pushes others out, who queue up again.

    Return how many streams are left over when the steps are used up: 0 is success.
    """
    ring, mark = search.work.ring, search.work.mark
    size = order.shape[0]
    for item in range(size):
        ring[item] = order[item]
    head = 0
    waiting = size
    steps = 0
    left = 0
    while waiting > 0:
        stream = ring[head]
        head = (head + 1) % size
        waiting -= 1
        if place(search, stream) == 1:
            continue
        if steps >= search.rules.steps:
            left += 1
            continue
        steps += 1
        search.work.weight[stream] += 1
        if force(search, stream) == 0:
            mark[1 + stream] = mark[0]
        for other in range(mark.shape[0] - 1):
            if mark[1 + other] == mark[0]:
                ring[(head + waiting) % size] = other
                waiting += 1
                mark[1 + other] = 0
    return left
