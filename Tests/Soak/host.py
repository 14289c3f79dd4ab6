"""A host of the soak: host.py http|dubbo|bolt NAME [PORT] [LIE]. Prints "PORT n".

SIGTERM ends it in order: it takes no new connections, answers what it has, and closes. Some answers take up to 50 ms, so that those
of one connection come in another order where the protocol has numbers. A lie is told once in 500 answers: `marker` answers the
request before, `silence` never answers, `cut` leaves out the last byte."""
import asyncio
import random
import signal
import sys

import wire

LIE_EVERY = 500


class Host:
    def __init__(self, protocol, name, lie):
        self.serve = {"http": self.http, "dubbo": self.dubbo, "bolt": self.bolt}[protocol]
        self.name, self.lie, self.random = name, lie, random.Random(name)
        self.count, self.before, self.active = 0, None, 0
        self.stopping, self.writers = asyncio.Event(), set()

    async def run(self, port):
        server = await asyncio.start_server(self.accept, "127.0.0.1", port, backlog=1024, limit=1 << 20)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopping.set)
        sys.stdout.write(f"PORT {server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await self.stopping.wait()
        server.close()
        while self.active:
            await asyncio.sleep(0.01)
        for writer in self.writers:
            writer.close()
        await asyncio.sleep(0.05)

    async def accept(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                await self.serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    def answer_to(self, asked):
        """The text of the answer; None: it never comes."""
        self.count += 1
        before, self.before = self.before, asked
        if not self.lie or self.count % LIE_EVERY:
            return wire.reply(self.name, asked)
        return {"marker": wire.reply(self.name, before), "silence": None,
                "cut": wire.reply(self.name, asked)[:-1]}[self.lie]

    async def answer(self, writer, asked, frame):
        self.active += 1
        try:
            if self.random.random() < 0.05:
                await asyncio.sleep(self.random.uniform(0.001, 0.05))
            value = self.answer_to(asked)
            if value is None:
                await asyncio.sleep(3600)
            writer.write(frame(value))
            await writer.drain()
        except OSError:
            pass
        finally:
            self.active -= 1

    # ---- protocols: one message each ----

    async def http(self, reader, writer):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        asked = await read_body(reader, fields)
        if not asked:                                       # all that a GET can say stands in its path
            asked = lines[0].split(" ")[1].partition("?")[2].replace("+", " ").encode()
        head = f"HTTP/1.1 200 OK\r\nx-host: {self.name}\r\n".encode()
        chunked = self.random.random() < 0.2

        def frame(value):
            if not chunked:
                return head + f"content-length: {len(value)}\r\n\r\n".encode() + value
            half = len(value) // 2
            parts = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (value[:half], value[half:]))
            return head + b"transfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
        await self.answer(writer, asked, frame)

    async def dubbo(self, reader, writer):
        flags, _, number, body = await wire.read_dubbo(reader)
        if flags & wire.EVENT:
            if flags & wire.TWO_WAY:
                writer.write(wire.dubbo_frame(wire.EVENT, wire.OK, number, body))
            return
        asyncio.ensure_future(self.answer(writer, wire.dubbo_asked(body), lambda value: wire.dubbo_answer(number, value)))

    async def bolt(self, reader, writer):
        _, command, _, number, _, content = await wire.read_bolt(reader)
        if command == wire.BOLT_HEARTBEAT:
            writer.write(wire.bolt_answer(number, b"", command))
            return
        asyncio.ensure_future(self.answer(writer, content, lambda value: wire.bolt_answer(number, value)))


async def read_body(reader, fields):
    """The body of an HTTP message whose names of fields are in lower case."""
    if fields.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(fields.get("content-length", 0)))
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


if __name__ == "__main__":
    _, kind, own_name, own_port, told = (sys.argv + ["0", ""])[:5]
    asyncio.run(Host(kind, own_name, told).run(int(own_port)))
