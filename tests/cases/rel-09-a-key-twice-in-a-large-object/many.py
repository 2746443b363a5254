"""Writes a traffic file with three faults in each of 20,000 streams."""

lines = ["- {name: a b, x: 1, y: 1, from: a, to: b, interval: 1ms, max-payload-size: 1B}"] * 20_000
with open("many.yaml", "w") as file:
    file.write("\n".join(["title: t", "topology: dual-node", "streams:", *lines]))
