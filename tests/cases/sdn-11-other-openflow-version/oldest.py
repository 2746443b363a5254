"""A hub in OpenFlow 1.0, with one rule of its own: oldest.py PORT."""
import select, socket, struct, sys

server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(64)
rest = {}


def message(kind, number, body=b""):
    return struct.pack("!BBHI", 1, kind, 8 + len(body), number) + body


while True:
    for one in select.select([server, *rest], [], [])[0]:
        if one is server:
            switch, _ = server.accept()
            rest[switch] = b""
            every = struct.pack("!I36x", 0x3FFFFF)
            flood = struct.pack("!HHHH", 0, 8, 0xFFFB, 0)
            rule = every + struct.pack("!QHHHHIHH", 0, 0, 0, 0, 1, 0xFFFFFFFF, 0xFFFF, 0) + flood
            switch.sendall(message(0, 1) + message(5, 2) + message(14, 3, rule))
            continue
        came = one.recv(1 << 16)
        if not came:
            del rest[one]
            continue
        rest[one] += came
        while len(rest[one]) >= 8:
            _, kind, length, number = struct.unpack("!BBHI", rest[one][:8])
            if len(rest[one]) < length:
                break
            body, rest[one] = rest[one][8:length], rest[one][length:]
            if kind == 2:
                one.sendall(message(3, number, body))
