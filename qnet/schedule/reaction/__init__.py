"""What is done when something breaks: a plan becomes a sequence of plans."""
