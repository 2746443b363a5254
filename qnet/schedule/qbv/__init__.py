"""IEEE 802.1Qbv: time-triggered frames behind gates."""
