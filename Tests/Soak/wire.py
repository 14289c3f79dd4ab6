"""Messages as hosts and clients of the soak write and read them: Dubbo with hessian2, Bolt 1, and what all of them carry.

A request carries a marker of its own and the length of the answer that it wants; the answer carries the host's name, that marker,
and the length and checksum of what the host has read. So an answer says which request it belongs to and who gave it."""
import struct
import zlib

OK = 20                                                     # of Dubbo
INTERFACE = "com.example.soak.DubboService"
BOLT_INTERFACE = "com.example.soak.BoltService"
REQUEST, TWO_WAY, EVENT, HESSIAN2 = 0x80, 0x40, 0x20, 2
BOLT_HEARTBEAT, BOLT_CALL, BOLT_ANSWER = 0, 1, 2


# ---- what is asked and answered ----

def question(marker, wanted, length):
    """A request of so many bytes at least, the answer to which is to have `wanted` bytes at least."""
    return f"{marker} {wanted} ".encode().ljust(length, b"q")


def reply(name, asked):
    marker, wanted, _ = asked.split(b" ", 2)
    return f"{name} {marker.decode()} {len(asked)} {zlib.crc32(asked)} ".encode().ljust(int(wanted), b"a")


def fault_of(asked, answer):
    """Who has answered, and what is wrong with the answer as an answer to that request; None when nothing is.

    >>> asked = question("m1", 40, 20)
    >>> fault_of(asked, reply("host-1", asked))
    ('host-1', None)
    >>> fault_of(asked, reply("host-1", question("m2", 40, 20)))
    ('host-1', 'the answer to request m2 came for m1')
    >>> fault_of(asked, reply("host-1", asked)[:-1])
    ('host-1', 'it has 39 bytes in place of 40')
    """
    parts = answer.split(b" ", 4)
    if len(parts) != 5:
        return "?", f"unreadable answer: {answer[:80]!r}"
    name, marker, length, checksum, _ = parts
    own, wanted, _ = asked.split(b" ", 2)
    expected = reply(name.decode(errors="replace"), asked)
    text = None
    if marker != own:
        text = f"the answer to request {marker.decode(errors='replace')} came for {own.decode()}"
    elif int(length) != len(asked) or int(checksum) != zlib.crc32(asked):
        text = f"the host has read {length.decode()} bytes in place of the {len(asked)} that were sent, or others"
    elif len(answer) != len(expected):
        text = f"it has {len(answer)} bytes in place of {len(expected)}"
    elif answer != expected:
        text = "its bytes are not those that the host has sent"
    return name.decode(errors="replace"), text


# ---- hessian2 ----

def text(value):
    value = value.encode() if isinstance(value, str) else value
    if len(value) < 32:
        return bytes([len(value)]) + value
    if len(value) < 1024:
        return bytes([0x30 + (len(value) >> 8), len(value) & 255]) + value
    chunks = [value[at:at + 0x8000] for at in range(0, len(value), 0x8000)]
    return b"".join((b"S" if chunk is chunks[-1] else b"R") + struct.pack(">H", len(chunk)) + chunk for chunk in chunks)


def read_text(body, at):
    """The text at an offset, and the offset behind it."""
    parts = []
    while True:
        code = body[at]
        is_last = code != 0x52
        if code < 0x20:
            length, at = code, at + 1
        elif 0x30 <= code < 0x34:
            length, at = (code - 0x30) << 8 | body[at + 1], at + 2
        elif code in (0x52, 0x53):
            length, at = struct.unpack_from(">H", body, at + 1)[0], at + 3
        else:
            raise ValueError(f"no text: {body[at:at + 20]!r}")
        parts.append(body[at:at + length])
        at += length
        if is_last:
            return b"".join(parts), at


# ---- Dubbo ----

def dubbo_frame(flags, status, number, body):
    return struct.pack(">HBBqI", 0xdabb, flags | HESSIAN2, status, number, len(body)) + body


def dubbo_call(number, asked, attachments):
    attachments = {"path": INTERFACE, "interface": INTERFACE, "version": "0.0.0", **attachments}
    body = b"".join(map(text, ("2.0.2", INTERFACE, "0.0.0", "say", "Ljava/lang/String;", asked)))
    body += b"H" + b"".join(text(key) + text(value) for key, value in attachments.items()) + b"Z"
    return dubbo_frame(REQUEST | TWO_WAY, 0, number, body)


def dubbo_asked(body):
    at = 0
    for _ in range(5):
        _, at = read_text(body, at)
    return read_text(body, at)[0]


def dubbo_answer(number, value):
    return dubbo_frame(0, OK, number, b"\x91" + text(value))


async def read_dubbo(reader):
    """(flags, status, number, body) of the next frame."""
    magic, flags, status, number, length = struct.unpack(">HBBqI", await reader.readexactly(16))
    if magic != 0xdabb:
        raise ValueError("no Dubbo frame")
    return flags, status, number, await reader.readexactly(length)


def dubbo_value(body):
    """The text of an answer's body with status OK; an exception has another first byte than a value."""
    if body[0] not in (0x91, 0x94):
        raise ValueError(f"an exception: {body[:200]!r}")
    return read_text(body, 1)[0]


# ---- Bolt ----

def entries(header):
    return b"".join(struct.pack(">I", len(part)) + part.encode() for pair in header.items() for part in pair)


def bolt_call(number, asked, header):
    service = f"{BOLT_INTERFACE}:1.0"
    header = entries({"sofa_head_target_service": service, "service": service, "sofa_head_method_name": "say", **header})
    name = b"com.alipay.sofa.rpc.core.request.SofaRequest"
    return struct.pack(">BBHBIBiHHI", 1, 1, BOLT_CALL, 1, number, 1, 30_000, len(name), len(header), len(asked)) \
        + name + header + asked


def bolt_answer(number, value, command=BOLT_ANSWER):
    name = b"com.alipay.sofa.rpc.core.response.SofaResponse" if command == BOLT_ANSWER else b""
    return struct.pack(">BBHBIBHHHI", 1, 0, command, 1, number, 1, 0, len(name), 0, len(value)) + name + value


async def read_bolt(reader):
    """(kind, command, status, number, header, content) of the next frame."""
    head = await reader.readexactly(20)
    if head[0] != 1:
        raise ValueError("no Bolt frame")
    kind, command, number = head[1], *struct.unpack_from(">HxI", head, 2)
    status = struct.unpack_from(">H", head, 10)[0] if kind == 0 else 0
    rest = head[12:] if kind == 0 else head[14:] + await reader.readexactly(2)
    name, header, content = struct.unpack(">HHI", rest)
    body = await reader.readexactly(name + header + content)
    return kind, command, status, number, body[name:name + header], body[name + header:]


if __name__ == "__main__":
    import doctest
    raise SystemExit(doctest.testmod().failed != 0)
