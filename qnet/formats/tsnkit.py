"""Problems and schedules as tsnkit writes them (github.com/ChuanyuXue/tsnkit, 0.3).

Its times are whole nanoseconds, its rates bit/ns, its sizes bytes; a frame has no preamble or gap.
A link's `t_proc` passes before that link, its `t_prop` on it. Nodes and streams are numbers. The
simulator that comes with tsnkit goes in steps of 100 ns, at 1 Gb/s and with 2 us of processing
whatever the file says.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

from qnet.errors import Infeasible, InputError, Problem
from qnet.model.gates import FRAME_BYTES_HIGHEST, GatePlan, GatePort, GateProblem, GateStream
from qnet.units import PS_PER_NS, TIME

LINK = re.compile(r"\(\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*\)")
_LISTENERS = re.compile(r"\[\s*[0-9]{1,9}(?:\s*,\s*[0-9]{1,9})*\s*\]")
_NUMBER = re.compile(r"[0-9]+")
_WHOLE = re.compile(r"[0-9]{1,15}(?:\.0*)?")
_DECIMAL = re.compile(r"(?=\.?[0-9])[0-9]{0,15}(?:\.[0-9]{0,15})?(?:[eE][+-]?[0-9]{1,2})?")
NAME_HIGHEST = 100
NS_HIGHEST = TIME.highest // PS_PER_NS
NUMBER_DIGITS = 18
"""Digits of a number that tsnkit's arrays of 64 bits surely hold."""

FAULTS_HIGHEST = 20
"""Rows of one file that the CSV reader cannot read; after so many it is no CSV file."""

_STREAM_COLUMNS = ("src", "dst", "size", "period", "deadline", "jitter")
_LINK_COLUMNS = ("link", "q_num", "rate", "t_proc", "t_prop")


class CsvRows:
    """The rows of one CSV file, and the faults found in it."""

    def __init__(self, name: str, text: str, columns: Iterable[str]) -> None:
        self.name = name
        self.problems: list[Problem] = []
        table = self._table(text)
        _, first = next(table, (1, []))
        header = [cell.strip() for cell in first]
        self.rows: list[tuple[int, dict[str, str]]] = []
        for column in columns:
            if column not in header and not self.problems:
                self.fault(1, column, f"no such column; the first line has {','.join(header)[:80]}")
            elif header.count(column) > 1:
                self.fault(1, column, f"the first line has it {header.count(column)} times")
        if self.problems:
            return
        for line, cells in table:
            if any(cell.strip() for cell in cells):
                row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
                self.rows.append((line, row))
                if len(cells) != len(header):
                    self.fault(line, "", f"{len(cells)} values, not {len(header)}")
        if not self.rows and not self.problems:
            self.fault(2, "", "no rows below the first line")

    def _table(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with the line that it begins at; what cannot be read is a fault there.

        Line ends are those of any system: LF, CR LF, or CR alone. Inside quotes they are part of
        the cell.
        """
        reader = csv.reader(io.StringIO(text, newline=None), strict=True)
        while len(self.problems) < FAULTS_HIGHEST:
            line = reader.line_num + 1
            try:
                yield line, next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # What follows a quote that is never closed has been read to the end by now.
                self.fault(line, "", f"no row of a CSV file: {error}")

    def fault(self, line: int, where: str, message: str) -> None:
        """Note what is wrong in a line, to be raised with all the rest."""
        self.problems.append(Problem(self.name, line, 1, where, message))

    def whole(
        self, line: int, row: Mapping[str, str], column: str, least: int, most: int = NS_HIGHEST
    ) -> int:
        """Read a whole number, such as a time; pandas may have written it as '1000.0'."""
        text = row.get(column, "")
        if not _WHOLE.fullmatch(text):
            self.fault(line, column, f"'{text[:40]}' is not a whole number such as '1000'")
            return max(least, 1)
        number = int(text.partition(".")[0])
        if number < least:
            self.fault(line, column, f"{number} is too small; at least {least}")
            return max(least, 1)
        if number > most:
            self.fault(line, column, f"{text[:40]} is out of range; at most {most:,}")
            return max(least, 1)
        return number


def read_problem(
    task: str, network: str, *, task_name: str = "task", network_name: str = "network"
) -> GateProblem:
    """Turn the text of a task file and a topology file into a problem.

    Raises InputError with all faults of both, each at its line.
    """
    links = CsvRows(network_name, network, _LINK_COLUMNS)
    ports: dict[str, GatePort] = {}
    for line, row in links.rows:
        port = _port(links, line, row)
        if port is not None and port.name in ports:
            links.fault(line, "link", f"{port.name} twice")
        elif port is not None:
            ports[port.name] = port
    nodes = {node for port in ports.values() for node in (port.source, port.target)}
    tasks = CsvRows(task_name, task, _STREAM_COLUMNS)
    streams: dict[str, GateStream] = {}
    for number, (line, row) in enumerate(tasks.rows):
        stream = _stream(tasks, line, row, number, nodes)
        if stream is not None and stream.name in streams:
            tasks.fault(line, "stream", f"{stream.name} twice")
        elif stream is not None:
            streams[stream.name] = stream
    problems = links.problems + tasks.problems
    if problems:
        raise InputError(problems)
    return GateProblem(
        title=f"{task_name} over {network_name}",
        overhead_bytes=0,
        ports=tuple(ports.values()),
        streams=tuple(streams.values()),
    )


def _port(rows: CsvRows, line: int, row: Mapping[str, str]) -> GatePort | None:
    match = LINK.fullmatch(row.get("link", ""))
    if match is None:
        found = row.get("link", "")[:40]
        rows.fault(line, "link", f"'{found}' is not a link; write it like '(0, 1)'")
        return None
    queues = rows.whole(line, row, "q_num", 1)
    if queues > 8:
        rows.fault(line, "q_num", f"{queues} queues; a port has at most 8")
        queues = 8
    source, target = str(int(match[1])), str(int(match[2]))
    return GatePort(
        name=f"{source}->{target}",
        source=source,
        target=target,
        rate_bps=_rate(rows, line, row.get("rate", "")),
        queues=queues,
        processing_ps=rows.whole(line, row, "t_proc", 0) * PS_PER_NS,
        propagation_ps=rows.whole(line, row, "t_prop", 0) * PS_PER_NS,
    )


def _rate(rows: CsvRows, line: int, text: str) -> int:
    """Read bits per nanosecond, such as 1 or 0.1."""
    rate = Fraction(text) * 10**9 if _DECIMAL.fullmatch(text) else Fraction(0)
    if rate.denominator != 1 or not 0 < rate <= 10**13:
        rows.fault(line, "rate", f"'{text[:40]}' is not a rate in bit/ns such as '1' or '0.1'")
        return 10**9
    return int(rate)


def _stream(
    rows: CsvRows, line: int, row: Mapping[str, str], number: int, nodes: set[str]
) -> GateStream | None:
    found = row.get("dst", "")
    if _LISTENERS.fullmatch(found) is None:
        what = "is no list of listeners; write it like '[15]' or '[15, 16]'"
        rows.fault(line, "dst", f"'{found[:40]}' {what}")
        return None
    targets = tuple(str(int(number)) for number in _NUMBER.findall(found))
    name = row.get("stream", row.get("id", str(number)))
    if not name or not name.isprintable() or len(name) > NAME_HIGHEST:
        rows.fault(line, "stream", f"{name[:40]!r} is not a name; write a number, such as '7'")
    source = str(rows.whole(line, row, "src", 0))
    for column, node in (("src", source), *(("dst", target) for target in targets)):
        if nodes and node not in nodes:
            rows.fault(line, column, f"no link has node {node}")
    if source in targets:
        rows.fault(line, "dst", f"talker and listener are both {source}")
    if len(set(targets)) < len(targets):
        rows.fault(line, "dst", f"'{found[:40]}' has a listener twice")
    return GateStream(
        name=name,
        source=source,
        target=targets if len(targets) > 1 else targets[0],
        frame_bytes=rows.whole(line, row, "size", 1, FRAME_BYTES_HIGHEST),
        period_ps=rows.whole(line, row, "period", 1) * PS_PER_NS,
        deadline_ps=rows.whole(line, row, "deadline", 1) * PS_PER_NS,
        jitter_ps=rows.whole(line, row, "jitter", 0) * PS_PER_NS,
    )


def write_problem(problem: GateProblem) -> dict[str, str]:
    """Return the texts of `task.csv` and `topo.csv`."""
    ports = [
        (
            _link(port),
            port.queues,
            _decimal(Fraction(port.rate_bps, 10**9)),
            _ns(port.processing_ps),
            _ns(port.propagation_ps),
        )
        for port in problem.ports
    ]
    streams = [
        (
            stream.name,
            stream.source,
            f"[{', '.join(stream.targets)}]",
            stream.frame_bytes + problem.overhead_bytes,
            _ns(stream.period_ps),
            _ns(stream.deadline_ps),
            _ns(stream.jitter_ps),
        )
        for stream in problem.streams
    ]
    return {
        "task.csv": _csv(("stream", *_STREAM_COLUMNS), streams),
        "topo.csv": _csv(_LINK_COLUMNS, ports),
    }


def write_schedule(problem: GateProblem, plan: GatePlan) -> dict[str, str]:
    """Return the texts of GCL, OFFSET, ROUTE, QUEUE and DELAY, keyed like 'GCL.csv'.

    Raises Infeasible where streams are left out or times are no whole nanoseconds: tsnkit's files
    cannot say either. A window that runs over the end of the cycle keeps its length.
    """
    refused = [made.name for made in plan.streams if made.status == "refused"]
    if refused:
        raise Infeasible(f"{len(refused)} streams are not scheduled, {refused[0]} is the first")
    several = [stream.name for stream in problem.streams if stream.packets > 1]
    if several:
        raise Infeasible(f"stream {several[0]} has several frames a period; tsnkit has one")
    ports = {port.name: port for port in problem.ports}
    windows: list[tuple[str, int, int, int, int]] = []
    offsets: list[tuple[int, int, int]] = []
    routes: list[tuple[int, str]] = []
    queues: list[tuple[int, int, str, int]] = []
    delays: list[tuple[int, int, int]] = []
    cycle = _ns(plan.cycle_ps)
    for stream, made in zip(problem.streams, plan.streams, strict=True):
        name = _number(stream.name)
        links = [_link(ports[port]) for port in made.ports]
        routes += [(name, link) for link in links]
        first = [hop for hop, port in enumerate(made.ports) if ports[port].source == stream.source]
        for frame, starts in enumerate(made.starts_ps):
            offsets.append((name, frame, _ns(starts[0] - frame * stream.period_ps)))
            delays.append((name, frame, _ns(max(starts) - starts[0])))
            if any(starts[hop] != starts[0] for hop in first):
                raise Infeasible(
                    f"stream {stream.name} leaves the ports of its talker at different times; "
                    "tsnkit has one offset for all"
                )
            for hop, link in enumerate(links):
                line = problem.window_ps(stream, ports[made.ports[hop]])
                begin = _ns(starts[hop] % plan.cycle_ps)
                windows.append((link, made.queues[hop], begin, begin + _ns(line), cycle))
                queues.append((name, frame, link, made.queues[hop]))
    return {
        "GCL.csv": _csv(("link", "queue", "start", "end", "cycle"), sorted(windows)),
        "OFFSET.csv": _csv(("stream", "frame", "offset"), sorted(offsets)),
        "ROUTE.csv": _csv(("stream", "link"), routes),
        "QUEUE.csv": _csv(("stream", "frame", "link", "queue"), sorted(queues)),
        "DELAY.csv": _csv(("stream", "frame", "delay"), sorted(delays)),
    }


def _link(port: GatePort) -> str:
    return f"({_number(port.source)}, {_number(port.target)})"


def _number(name: str) -> int:
    if not name.isascii() or not name.isdigit() or len(name) > NUMBER_DIGITS:
        raise Infeasible(f"'{name[:40]}' is not a number of 64 bits; tsnkit has no other names")
    return int(name)


def _ns(time_ps: int) -> int:
    if time_ps % PS_PER_NS:
        raise Infeasible(f"{time_ps} ps is not a whole number of nanoseconds; tsnkit has no others")
    return time_ps // PS_PER_NS


def _decimal(number: Fraction) -> str:
    text = format(Decimal(number.numerator) / Decimal(number.denominator), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _csv(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
