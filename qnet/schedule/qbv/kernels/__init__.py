"""Placing periodic frames between sorted spans of busy time, as integer loops.

Time goes round: everything repeats after the hyperperiod. A *train* is what is placed at once: the
frames of a stream, all at the same distance from their releases, or one frame alone when they are
placed singly.

A stream is sent from hop to hop. From the end of a transmission to the instant when the frame may
leave the next port passes that one's `lead` (propagation and processing). A queue belongs to a
frame from `reach` after the *start* of the transmission before, when its first bit may be there, to
the end of its own: nobody else's frame can leave in its window, even when it is lost.

The hops of a route are those of a chain, or of a tree with a listener behind each hop that has a
`tail`. Each is behind the one that it follows (`before`). Where a tree begins with several ports of
its talker, the others follow the first, from its start on and in the same period.
"""
