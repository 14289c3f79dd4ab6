"""Parts that scripts/bench and scripts/budget share: processes, figures in /proc, hosts, load, configuration."""
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = [os.path.join(os.path.dirname(os.path.abspath(__file__)), name) for name in ("traffic.c", "protocols.c")]
INTERFACE = "com.example.demo.OrderService"
SERVICES = {                                            # those that traffic asks for, and where the versions of hosts stand
    "http": ("order-service", "version"), "dubbo": (INTERFACE, "dubbo.tag"), "bolt": (INTERFACE, "version")}


class Failure(Exception):
    """Ends the script with a message."""


def run(main):
    """Runs the script; a failure is one line and status 1, and whatever was started is stopped in any case."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def before_start():
    """In the child: it must not outlive the script, and thousands of connections need as many descriptors."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Bench:
    """A folder for files, and the processes of a run. Leaving it ends them and removes it."""

    def __init__(self, protocol, proxy_core=None, load_core=None):
        self.protocol, self.proxy_core, self.load_core = protocol, proxy_core, load_core
        self.folder, self.running = tempfile.mkdtemp(prefix="greymesh-load."), []
        self.hosts = []

    def __enter__(self):
        try:
            self.traffic = self.compile()
            self.hosts = [self.start_host(mark) for mark in "12"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.running[:]):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def compile(self):
        return self.compile_sources("traffic", SOURCES)

    def compile_sources(self, name, sources):
        compiler = os.environ.get("CC") or shutil.which("clang") or shutil.which("cc")
        if not compiler:
            raise Failure("no C compiler: clang comes with Swift, put its usr/bin on PATH")
        done = subprocess.run([compiler, "-O2", "-o", self.path(name), *sources], capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"cannot compile {sources[0]}:\n{done.stderr}")
        return self.path(name)

    # ---- processes ----

    def start(self, name, command, core=None, **options):
        """Starts a process in a session of its own; what it says goes to NAME.log."""
        pin = ["taskset", "-c", str(core)] if core is not None else []
        with open(self.path(name + ".log"), "wb") as log:
            options = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL, **options}
            process = subprocess.Popen(pin + command, start_new_session=True, preexec_fn=before_start, **options)
        process.name = name
        self.running.append(process)
        return process

    def stop(self, process):
        """Ends a process and what it has started; the load holds nothing that would need an orderly end."""
        self.running.remove(process)
        tree = process_tree(process.pid) if process.poll() is None else []
        for pid in tree:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()

    def log(self, name):
        with open(self.path(name + ".log"), errors="replace") as file:
            return file.read()

    def wait_for(self, process, what, condition, seconds=30):
        """Waits until the condition is true of what the process has said."""
        end = time.monotonic() + seconds
        while not condition(self.log(process.name)):
            if process.poll() is not None or time.monotonic() > end:
                state = "has ended" if process.poll() is not None else f"took longer than {seconds} s"
                raise Failure(f"waited in vain for {what}: {process.name} {state}\n{self.log(process.name)[-2000:]}")
            time.sleep(0.01)

    def wait_for_port(self, process, port):
        def is_listening(_):
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        self.wait_for(process, f"port {port}", is_listening)

    # ---- hosts and load ----

    def start_host(self, mark):
        host = self.start(f"host-v{mark}", [self.traffic, "serve", self.protocol, mark], self.load_core)
        self.wait_for(host, "a host", lambda text: "PORT" in text)
        return int(self.log(host.name).split()[1])

    def load(self, port, *arguments, seconds=120, begin=lambda: None, end=lambda: None, strict=True):
        """Runs `traffic call`, with `begin` and `end` called around what it measures; returns its figures.

        A wrong answer is a failure unless it is not strict; an ended connection always is."""
        pin = ["taskset", "-c", str(self.load_core)] if self.load_core is not None else []
        command = pin + [self.traffic, "call", self.protocol, str(port), *map(str, arguments)]
        process = self.start("load", command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        alarm = signal.signal(signal.SIGALRM, lambda *_: os.kill(process.pid, signal.SIGKILL))
        signal.alarm(int(seconds) + 1)
        try:
            figures = None
            for line in process.stdout:
                if line == "BEGIN\n":
                    begin()
                    process.stdin.write("\n")
                    process.stdin.flush()
                elif line == "END\n":
                    end()
                else:
                    figures = json.loads(line)
            if process.wait() != 0 and strict or figures is None:
                raise Failure(f"load on port {port} went wrong: {self.log('load').strip() or 'not done in time'}")
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, alarm)
            self.stop(process)
            process.stdin.close()
            process.stdout.close()
        return figures

    def hold(self, port, connections):
        """Opens connections that have made one request each; they live until the process is stopped."""
        command = [self.traffic, "idle", self.protocol, str(port), str(connections)]
        process = self.start("idle", command, self.load_core, stdin=subprocess.PIPE)
        self.wait_for(process, f"{connections} connections", lambda text: "IDLE" in text)
        return process

    # ---- greymesh ----

    def start_greymesh(self, binary, services=10, prefix=(), seconds=30, registry=None, sections="",
                       policy=""):
        """Starts it with so many services of two versions each, which have `policy`, and those of a further registry, of which
        `sections` tell; returns the process and the port of its listener."""
        port, (own, key) = free_port(), SERVICES[self.protocol]
        names = [own] + [f"{own}_{number:05}" for number in range(1, services)]
        hosts = ", ".join(f"{{address: 127.0.0.1:{host}, metadata: {{{key}: v{mark}}}}}"
                          for mark, host in enumerate(self.hosts, 1))
        self.write("services.yaml", "services:\n" + "".join(f"  {name}: [{hosts}]\n" for name in names))
        registries = ", ".join(f'{{url: "{url}"}}' for url in ("file:services.yaml", registry) if url)
        config = self.write("greymesh.yaml", f"""\
admin: {{listen: 127.0.0.1:0}}
workers: 1
registries: [{registries}]
listeners: [{{name: {self.protocol}, protocol: {self.protocol}, listen: "127.0.0.1:{port}"}}]
services:
""" + "".join(f"  {name}: {{mode: strict{policy}}}\n" for name in names) + sections)
        command = [*prefix, binary, "run", "--config", config]
        process = self.start("greymesh", command, self.proxy_core)
        self.wait_for(process, "greymesh", lambda text: "event=ready" in text, seconds)
        return process, port

    def wait_until_idle(self, process, seconds=120):
        """Waits until all threads sleep in ten looks in a row: what was read at the start has reached the workers."""
        end, looks = time.monotonic() + seconds, 0
        while looks < 10:
            looks = looks + 1 if is_asleep(process.pid) else 0
            if time.monotonic() > end:
                raise Failure(f"{process.name} does not come to rest within {seconds} s")
            time.sleep(0.02)


# ---- /proc ----

def process_tree(root):
    """The process, its descendants and all of its session."""
    parents, sessions = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(name)], sessions[int(name)] = int(fields[1]), int(fields[3])
    tree = {pid for pid in parents if pid == root or sessions[pid] == root}
    while more := {pid for pid in parents if parents[pid] in tree} - tree:
        tree |= more
    return sorted(tree)


def cpu_seconds(pids):
    """CPU time of all threads of the processes by the scheduler's clock, or by its ticks where that is not kept."""
    total = 0.0
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    total += int(file.read().split()[0]) / 1e9
        except FileNotFoundError:
            if os.path.exists("/proc/self/schedstat"):
                continue                                    # the thread or process has ended
            with open(f"/proc/{pid}/stat") as file:
                ticks = file.read().rpartition(")")[2].split()[11:13]
            total += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return total


def is_asleep(pid):
    """Whether no thread of a process runs or wants to."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] != "S":
                return False
    return True


def memory_kib(pid, field):
    """A field of the memory of a process, summed over all of its mappings: Rss, Private_Dirty."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(rf"^{field}:\s+(\d+)", file.read(), re.M).group(1))
