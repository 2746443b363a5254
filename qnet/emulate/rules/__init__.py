"""What the switches are to do, and whether they would: numbers, labels, rules, their judge."""
