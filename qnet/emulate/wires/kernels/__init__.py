"""The inner loops of the link emulator: one loop for all wires and all egress ports.

A real frame leaves a switch by a *wire end*, a packet socket's interface. Behind its last byte it
carries a trailer: the virtual time at which it is queued at the egress port it has come out of,
and the slot in which the emulator remembers it. Its bytes stay in the slot; a row of four numbers
goes through the simulator's own `serve`, among the rows of all the frames that are simulated only.
So a real frame waits, in virtual time, for the whole load of the network. When `serve` has sent
the row on its way, the bytes go into the next switch, with a new trailer.

*Planned* frames follow a route of the plan. Their rows lie in the simulator's lanes already while
the frame is inside a switch; when it comes out of the port that the plan names, the row is
*confirmed*, with the cycle that the frame's tag says. A row that is not confirmed when its window
is served goes on without its frame, which counts as a violation: the switch dropped it or was too
slow for the stretch of time. That of a frame which came out elsewhere is taken out. *Free* frames,
those of real hosts, go where the switches send them: each port is one hop for them.

Virtual time is in picoseconds, wall time in nanoseconds; `wall = origin + virtual * dilation`.
A window, no longer than the shortest way from one port to the next, is served at the wall time of
its end plus a lag; sources run ahead of it, so that their frames have been through the first switch
by then. When a frame is not back in time, virtual time is held, for a while, and so it is when this
loop itself is late: the origin moves. It moves the other way while no frame is in a switch or about
to go into one.

`tables` says what is kept where; `loop` is the loop. It takes what waits at the socket (`packets`),
which `arrivals` holds against the plan, lets talkers send ahead (`talkers`) and has a window served
(`ports`): that is the one place that knows which server of the simulator serves a port. Below them
are the rows in the simulator's lanes (`rows`), the frames in hand and the record of what became of
them (`slots`), the bytes of a frame (`frames`) and the calls of the C library (`system`).
"""
