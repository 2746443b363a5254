"""Ports that do more than queue by priority: gates, credit, shapers, meters, copies, bad links."""
