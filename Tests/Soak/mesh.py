"""The processes around the hosts: greymesh, the development registry and etcd, and the lists that hosts stand in."""
import asyncio
import base64
import json
import os
import random
import re
import shutil
import signal
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

from harness import Failure, memory_kib, process_tree

SETTLE = 2                                                  # seconds after an outage of a registry, and for lists that shrink
# What an outage of a registry brings: an upgrade is refused then, by the old process or the new one.
EXPECTED = re.compile(r"event=registry\.|is away, and the hosts of")


def free_port():
    """One that stays free while nobody listens there: none that the system gives to connections."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def ask(method, url, body=None, seconds=30):
    request = urllib.request.Request(url, data=body, method=method)
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return answer.read().decode()


async def in_thread(work, *arguments):
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


async def until(condition, what, seconds=30):
    """Waits until a condition is true; what it throws counts as false."""
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (OSError, urllib.error.URLError):
            pass
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s in vain for {what}")
        await asyncio.sleep(0.05)


class NacosList:
    """The development registry. It forgets everything when it is restarted."""

    def __init__(self, run, binary):
        self.run, self.binary, self.port = run, binary, free_port()
        self.url, self.base = f"nacos://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port}/nacos/v1/ns/"

    async def start(self):
        self.process = self.run.start("registry", [self.binary, "registry", "--listen", f"127.0.0.1:{self.port}"])
        await until(lambda: ask("GET", self.base + "operator/metrics"), "the registry")

    def stop(self):
        self.run.stop(self.process)

    @staticmethod
    def query(service, port, version=None):
        name = service.name if service.protocol == "http" else f"providers:{service.name}::"
        fields = {"serviceName": name, "ip": "127.0.0.1", "port": port, "ephemeral": "false"}
        if version:
            labels = {"version": version} if service.protocol == "http" else {
                "dubbo.tag": version, "protocol": "dubbo", "interface": service.name, "path": service.name,
                "side": "provider", "category": "providers", "methods": "say", "warmup": "0"}
            fields["metadata"] = json.dumps(labels)
        return "instance?" + urllib.parse.urlencode(fields)

    async def put(self, service, name, port, version, is_new):
        # A host whose labels change is registered again, as a program does it that is started anew.
        await in_thread(ask, "POST" if is_new else "PUT", self.base + self.query(service, port, version))

    async def remove(self, service, name, port):
        await in_thread(ask, "DELETE", self.base + self.query(service, port))


class EtcdList:
    """A real etcd, in kratos' layout."""

    def __init__(self, run):
        self.run, self.folder, self.port = run, run.path("etcd"), free_port()
        self.url = f"etcd://127.0.0.1:{self.port}?layout=kratos"

    async def start(self):
        client, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        self.process = self.run.start("etcd", [
            "etcd", "--data-dir", self.folder, "--logger", "zap", "--log-level", "error", "--unsafe-no-fsync",
            "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"])
        await until(lambda: ask("GET", client + "/health"), "etcd")

    def stop(self):
        self.run.stop(self.process)

    async def send(self, call, service, name, value=None):
        body = {"key": code(f"/microservices/{service.name}/{name}")} | ({"value": code(json.dumps(value))} if value else {})
        await in_thread(ask, "POST", f"http://127.0.0.1:{self.port}/v3/kv/{call}", json.dumps(body).encode())

    async def put(self, service, name, port, version, is_new):
        await self.send("put", service, name, {
            "id": name, "name": service.name, "version": version, "endpoints": [f"http://127.0.0.1:{port}"]})

    async def remove(self, service, name, port):
        await self.send("deleterange", service, name)


def code(text):
    return base64.b64encode(text.encode()).decode()


class FileList:
    """A file of hosts, written anew for each change."""

    def __init__(self, run):
        self.run, self.hosts, self.url = run, {}, "file:services.yaml"

    async def start(self):
        self.write()

    async def put(self, service, name, port, version, is_new):
        self.hosts[service.name, name] = f'{{address: "127.0.0.1:{port}", metadata: {{version: "{version}"}}}}'
        self.write()

    async def remove(self, service, name, port):
        del self.hosts[service.name, name]
        self.write()

    def write(self):
        names = sorted({service for service, _ in self.hosts})
        lines = [f"  {service}: [" + ", ".join(text for (own, _), text in self.hosts.items() if own == service) + "]\n"
                 for service in names]
        path = self.run.write("services.new", "services:" + ("\n" + "".join(lines) if lines else " {}\n"))
        os.replace(path, self.run.path("services.yaml"))


class Mesh:
    """A greymesh under a parent that stays, so that upgrades change neither the process that was started nor its log."""

    def __init__(self, run, binary, services, lists):
        self.run, self.services, self.lists = run, services, lists
        # A file of its own, so that nobody else's build changes it meanwhile.
        self.binary = shutil.copy2(binary, run.path("greymesh"))
        self.admin, self.ports = free_port(), {protocol: free_port() for protocol in ("http", "dubbo", "bolt")}
        self.lock, self.upgrades, self.seen = asyncio.Lock(), 0, 0

    def configure(self):
        def policy(service):
            rules = service.rules.current
            split = ", ".join(f'"{version}": {weight}' for version, weight in (rules.split or {}).items())
            return (f'{{mode: {"strict" if service.strict else "fallback"}, timeout: 20s, stable: "{rules.stable}", '
                    f"split: {{{split}}}"
                    + (", retries: {attempts: 3, on: [connect, reset], budget: 100}" if service.repeats else "") + "}")
        registries = "".join(f'  - {{url: "{one.url}"' + (
            "}\n" if one.url.startswith("file") else f", poll: 500ms, confirm: {SETTLE}s, settle: {SETTLE}s}}\n")
            for one in self.lists)
        self.run.write("greymesh.yaml", f"""\
admin: {{listen: "127.0.0.1:{self.admin}"}}
workers: 2
drain_timeout: 25s
registries:
{registries}listeners:
""" + "".join(f'  - {{name: {name}, protocol: {name}, listen: "127.0.0.1:{port}"}}\n' for name, port in self.ports.items())
            + "services:\n" + "".join(f"  {service.name}: {policy(service)}\n" for service in self.services))

    async def start(self):
        self.configure()
        self.process = self.run.start(
            "greymesh", [self.binary, "run", "--config", self.run.path("greymesh.yaml")],
            env=dict(os.environ, GREYMESH_STAY="1"))
        await until(lambda: "event=ready" in self.log(), "greymesh")

    def log(self):
        return self.run.log("greymesh")

    async def reload(self):
        """Has the configuration read, and waits until it is."""
        self.configure()
        before = self.log().count(" event=configuration.")
        self.process.send_signal(signal.SIGHUP)
        await until(lambda: self.log().count(" event=configuration.") > before, "the configuration to be read")

    async def upgrade(self):
        command = [self.binary, "upgrade", "--admin", f"127.0.0.1:{self.admin}"]
        upgrading = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        said = (await upgrading.communicate())[0].decode().strip()
        if upgrading.returncode == 0:
            self.upgrades += 1
        return upgrading.returncode == 0, said

    # ---- looking ----

    def serving(self):
        """The process that serves: the last that said it was ready."""
        return int(re.findall(r" event=ready .*?\bpid=(\d+)", self.log())[-1])

    def processes(self):
        return [pid for pid in process_tree(self.process.pid) if pid != self.process.pid]

    def metrics(self):
        return ask("GET", f"http://127.0.0.1:{self.admin}/metrics", seconds=5)

    def active(self):
        """Requests that hosts have, and connections of clients, as the metrics tell."""
        text = self.metrics()
        def total(name):
            return int(sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)", text, re.M))))
        return total("greymesh_host_active_requests"), total("greymesh_connections")

    def memory_mib(self):
        return memory_kib(self.serving(), "Rss") / 1024

    def descriptors(self, living):
        """Those that are no connection to a port of a living host or registry: these are kept as long as they are of use."""
        ports = {}
        with open("/proc/net/tcp") as file:
            for line in list(file)[1:]:
                fields = line.split()
                ports[f"socket:[{fields[9]}]"] = int(fields[2].split(":")[1], 16)
        folder, count = f"/proc/{self.serving()}/fd", 0
        for name in os.listdir(folder):
            try:
                count += ports.get(os.readlink(os.path.join(folder, name))) not in living
            except FileNotFoundError:
                pass
        return count

    def complaints(self):
        """Lines of the log that should not be there."""
        return [line for line in self.log().splitlines()
                if not EXPECTED.search(line) and (not line.startswith("time=") or re.search(
                    r"level=(error|fatal)|event=upgrade\.(lost|predecessor_lost)", line))]
