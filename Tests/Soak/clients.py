"""Clients of the soak. Each has connections that it keeps, closes and breaks off; what it asks follows from its seed."""
import asyncio
import collections
import itertools
import random
import time

import host
import wire

LONGEST = 25                                                # seconds that an answer may take at most
SMALL, LARGE = (30, 2000), (20_000, 300_000)                # bytes
Asked = collections.namedtuple("Asked", "text version start may_repeat")
LIMIT = 1 << 20


class Gone(Exception):
    """The connection has ended."""


class Client:
    """What clients of all protocols have in common."""

    def __init__(self, name, service, port, seed, world):
        self.name, self.service, self.port, self.world = name, service, port, world
        self.random = random.Random(f"{seed}/{name}")
        self.markers = itertools.count()

    async def run(self):
        while not self.world.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=LIMIT)
            except OSError as error:
                self.world.ledger.fault("connect", f"{self.name}: {error}")
                await asyncio.sleep(0.5)
                continue
            self.world.ledger.count((self.service.protocol, "connections"))
            try:
                await self.use(reader, writer, self.random.randrange(20, 2000))
            finally:
                writer.transport.abort() if self.random.random() < 0.3 else writer.close()

    def make(self):
        """A request: mostly small, now and then large, in either direction."""
        version = self.random.choices((None, "1.0", "2.0", "3.0", "9.9"), (50, 20, 20, 8, 2))[0]
        sizes = [self.random.randrange(*(LARGE if self.random.random() < 0.02 else SMALL)) for _ in range(2)]
        text = wire.question(f"{self.name}-{next(self.markers)}", *sizes)
        self.world.ledger.count((self.service.protocol, "requests"))
        return Asked(text, version, time.monotonic(), False)

    def take(self, asked, answer, told=None):
        end = time.monotonic()
        name, text = wire.fault_of(asked.text, answer)
        if text:
            return self.world.ledger.fault("wrong answer", f"{self.name}: {text}, from {name}")
        text, version = self.service.fault_of_answer(asked.version, asked.start, end, name, told)
        if text:
            return self.world.ledger.fault("wrong host", f"{self.name}: {text}")
        self.world.ledger.answered(self.service, version, asked.version, asked.start, end)

    def failed(self, asked, cause):
        """There is no good answer: is there a reason that is allowed?"""
        excuse = self.service.excuse_for_failure(asked.version, asked.start, time.monotonic(), asked.may_repeat)
        if excuse:
            return self.world.ledger.count((self.service.protocol, excuse))
        took = time.monotonic() - asked.start
        self.world.ledger.fault("failed", f"{self.name}: {cause}, asked for {asked.version}, after {took:.3f} s")

    async def pause(self):
        await asyncio.sleep(self.random.expovariate(1 / self.world.pause))


class HTTPClient(Client):
    """One request at a time, or up to four sent at once, which are answered in their order."""

    async def use(self, reader, writer, left):
        while left > 0 and not self.world.stopping:
            batch = [self.make_http() for _ in range(self.random.choice((1, 1, 1, 2, 4)))]
            writer.write(b"".join(request for _, request in batch))
            left -= len(batch)
            if self.random.random() < 0.005:
                self.world.ledger.count(("http", "broken off by the client"), len(batch))
                return
            for number, (asked, _) in enumerate(batch):
                try:
                    more = await asyncio.wait_for(self.read(reader, asked), LONGEST)
                except (OSError, Gone, asyncio.IncompleteReadError, ValueError) as error:
                    self.failed(asked, f"connection ended: {error!r}")
                    more = False
                except asyncio.TimeoutError:
                    self.world.ledger.fault("no answer", f"{self.name}: after {LONGEST} s")
                    more = False
                if not more:
                    # Those behind an answer that ends the connection were not taken.
                    self.world.ledger.count(("http", "behind the last one of a connection"), len(batch) - number - 1)
                    return
            await self.pause()

    def make_http(self):
        asked = self.make()
        is_small = len(asked.text) < 1000
        method = self.random.choice(("GET", "PUT", "POST")) if is_small else "POST"
        # What takes more than 64 KiB is not repeated.
        asked = asked._replace(may_repeat=method != "POST")
        head = f"Host: {self.service.name}\r\n" + (f"x-version: {asked.version}\r\n" if asked.version else "")
        if method == "GET":
            path = "?" + asked.text.decode().replace(" ", "+")
            return asked, f"GET /{path} HTTP/1.1\r\n{head}\r\n".encode()
        if self.random.random() < 0.2:
            body = f"{len(asked.text):x}\r\n".encode() + asked.text + b"\r\n0\r\n\r\n"
            head += "Transfer-Encoding: chunked\r\n"
        else:
            body = asked.text
            head += f"Content-Length: {len(asked.text)}\r\n"
        return asked, f"{method} / HTTP/1.1\r\n{head}\r\n".encode() + body

    async def read(self, reader, asked):
        """Takes an answer. Returns whether the connection goes on."""
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        except asyncio.IncompleteReadError as error:
            raise Gone("cut answer" if error.partial else "no answer") from None
        status = int(lines[0].split(" ")[1])
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        body = await host.read_body(reader, fields)
        if status == 200:
            self.take(asked, body, fields.get("x-greymesh-version", ""))
        else:
            self.failed(asked, f"{status} {fields.get('x-greymesh-error')}: {body[:200]!r}")
        return fields.get("connection") != "close"


class FramedClient(Client):
    """Up to sixteen requests in flight on a connection."""

    async def use(self, reader, writer, left):
        self.waiting, self.numbers = {}, itertools.count(self.random.randrange(1 << 20))
        room = asyncio.Semaphore(self.random.choice((1, 4, 16)))
        reading = asyncio.ensure_future(self.read_all(reader, room))
        try:
            while left > 0 and not self.world.stopping and not reading.done():
                await asyncio.wait_for(room.acquire(), LONGEST)
                asked, number = self.make(), next(self.numbers)
                self.waiting[number] = asked
                writer.write(self.frame(number, asked))
                left -= 1
                if self.random.random() < 0.001:
                    self.world.ledger.count((self.service.protocol, "broken off by the client"), len(self.waiting))
                    self.waiting.clear()
                    return
                await self.pause()
            end = time.monotonic() + LONGEST
            while self.waiting and not reading.done() and time.monotonic() < end:
                await asyncio.sleep(0.01)
        except asyncio.TimeoutError:
            pass
        finally:
            reading.cancel()
            for asked in self.waiting.values():
                if time.monotonic() - asked.start > LONGEST - 1:
                    self.world.ledger.fault("no answer", f"{self.name}: after {time.monotonic() - asked.start:.1f} s")
                else:
                    self.failed(asked, "connection ended")

    async def read_all(self, reader, room):
        try:
            while True:
                number, value, cause = await self.read(reader)
                if number is None:
                    continue
                asked = self.waiting.pop(number, None)
                if asked is None:
                    self.world.ledger.fault("wrong answer", f"{self.name}: to {number}, which was not asked")
                elif cause:
                    self.failed(asked, cause)
                else:
                    self.take(asked, value)
                room.release()
        except (OSError, asyncio.IncompleteReadError):
            room.release()


class DubboClient(FramedClient):
    def frame(self, number, asked):
        return wire.dubbo_call(number, asked.text, {"dubbo.tag": asked.version} if asked.version else {})

    async def read(self, reader):
        flags, status, number, body = await wire.read_dubbo(reader)
        if flags & wire.EVENT:
            return None, None, None
        if status != wire.OK:
            return number, None, f"status {status}: {body[:200]!r}"
        try:
            return number, wire.dubbo_value(body), None
        except ValueError as error:
            return number, None, str(error)


class BoltClient(FramedClient):
    def frame(self, number, asked):
        return wire.bolt_call(number, asked.text, {"x-version": asked.version} if asked.version else {})

    async def read(self, reader):
        _, command, status, number, header, content = await wire.read_bolt(reader)
        if command != wire.BOLT_ANSWER:
            return None, None, None
        if status != 0 or header:
            return number, None, f"status {status}: {header[:100]!r} {content[:200]!r}"
        return number, content, None


KINDS = {"http": HTTPClient, "dubbo": DubboClient, "bolt": BoltClient}
