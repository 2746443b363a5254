"""The search for room over ways, phases, wires and waits, as integer loops.

The state is `free[port][cycle]`: the bytes left in each cycle of the hypercycle. A stream whose
frames leave every `period` cycles and which starts in phase p uses, at a hop that its frames reach
`shift` cycles after the start, the cycles p + shift, p + shift + period, and so on round the
hypercycle. What a wire has for a phase is the least of these, and the phase is as good as its
worst hop with the best wire at each hop: wires are chosen hop by hop, so nothing is missed.

Room is compared across ports of different size as (left - need) * weight, where `weight` is
2**WEIGHT_BITS divided by the port's capacity; its sign says whether the stream fits.

There are two ways to choose. `admit_first` takes the first way that has room, and looks at two
phases over the emptiest wires before it looks at all: most streams cost a few dozen reads. The two
phases are drawn from what the wires have left, so that streams which share no wire do not see each
other, in whatever order they come. `admit_best` looks at all phases and wires and takes, among the
cheapest ways with room, the one that keeps the most. A way costs its latency, if no search has set
other prices. Either refuses only when nothing fits.

Frames of a stream that may wait (CSQF) do so where nothing fits without. A frame that starts in
phase p and has waited d extra cycles by hop h uses there the cycle p + shift[h] + d. Let `base[h]`
be what the best wire of the hop has left in the cycles of a phase. The most room that a start p can
find up to hop h, having waited d, is

    table[h][d][p] = min(base[h][p + d], max over e in 0..extra[h] of table[h - 1][d - e][p])

and the best way for a start is the largest value in the last row. Example: two hops with the rooms
[5, 0] and [0, 5] of two phases and nothing between them: without waiting the best minimum is 0,
with one extra cycle it is 5. Two disjoint paths start in the same phase and wait each for itself.

In a tree a frame has waited as long at a hop for all listeners behind it. There the table is filled
from the listeners on: what a hop and all behind it have for a frame that has waited d by then is

    table[h][d][p] = min(base[h][p + d], for each hop c behind it
                         max over e in 0..extra[c] of table[c][d + e][p])
"""
