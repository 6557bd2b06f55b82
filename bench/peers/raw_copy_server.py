"""Copies bytes between pairs of connections: s00003 to r00003."""

import select
import socket
import sys

CHUNK = 256 * 1024
NAME = len("s00000")


def main(port: int) -> None:
    """Serve for ever."""
    listening = socket.create_server(("127.0.0.1", port), backlog=4096)
    epoll = select.epoll()
    epoll.register(listening.fileno(), select.EPOLLIN)
    named: dict[str, socket.socket] = {}
    unnamed: dict[int, socket.socket] = {}
    sources: dict[int, tuple[socket.socket, str]] = {}
    room = memoryview(bytearray(CHUNK))
    while True:
        for descriptor, _ in epoll.poll():
            if descriptor == listening.fileno():
                new, _ = listening.accept()
                new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                unnamed[new.fileno()] = new
                epoll.register(new.fileno(), select.EPOLLIN)
            elif descriptor in unnamed:
                new = unnamed.pop(descriptor)
                name = new.recv(NAME).decode()
                if not name:
                    epoll.unregister(descriptor)
                    new.close()
                    continue
                named[name] = new
                sources[descriptor] = new, "r" + name[1:]
                new.sendall(b"!")
            else:
                source, target = sources[descriptor]
                got = source.recv_into(room)
                if not got:
                    epoll.unregister(descriptor)
                    source.close()
                    continue
                # Blocks until the receiver reads: it has nothing else to do.
                named[target].sendall(room[:got])


main(int(sys.argv[1]))
