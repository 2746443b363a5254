"""The inside of a run of tier `mininet`: `python -m qnet.emulate.tiers.mininet_child FOLDER`.

It is the first process of its own namespaces. It builds the network, has the controller lay the
rules, calibrates, emulates, and writes the result into the folder.
"""
