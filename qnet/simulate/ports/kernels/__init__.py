"""The general port: small parts, each one rule of IEEE 802.1Q, 802.1CB or 802.3, and their loop.

A frame comes in: `emit_next` or a lane brings it, `meter` may drop it, `shape` may delay it, then
it joins its ring. Whenever the wire is free, `choose` asks the rings from the highest class down
when the first frame of each may go: at the latest time that eligibility (`shape`), credit and gate
say. Among rings of one priority with weights, `take_turns` decides. Preemptable frames go while the
port is not held (`hold_state`), and are cut by what is express (`cut_after`). What leaves may be
lost on the link (`is_lost`). `general.serve_port` puts the parts together; where none is in use it
gives the same bytes as the plain servers in `qnet.simulate.kernels`. `recovery.recover` stands at a
listener and passes on first copies.

The parts take plain arrays. Those that every frame meets are copied into the server: handing over
an array costs some seven words for each call.
"""
