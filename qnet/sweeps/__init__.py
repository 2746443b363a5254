"""Many cases of one scenario: what breaks, and what is left when it is planned anew."""
