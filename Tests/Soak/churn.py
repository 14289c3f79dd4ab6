"""What happens to hosts, rules and processes while the soak runs. What comes next, and when, follows from the seed."""
import asyncio
import os
import random
import signal
import sys
import time

import mesh
from harness import Failure
from truth import TOLERANCE, VERSIONS, Listed, Rules

MOST_HOSTS = 4                                              # of a version
HEALTHY = 2                                                 # of a version that is never without hosts, at least


class Host:
    """The process of a host."""

    def __init__(self, process, port):
        self.process, self.port = process, port


class Churn:
    def __init__(self, world, seed):
        self.world, self.random, self.number = world, random.Random(seed), 0
        self.hosts, self.free_ports = {}, []                # processes by name; ports of killed hosts
        self.listing = asyncio.Lock()                       # no registry goes away while lists change
        self.changed_at, self.tasks = 0.0, set()

    def add(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        return task

    # ---- hosts ----

    async def start_host(self, service, version, port=0):
        self.number += 1
        name = f"{service.protocol}-{self.number}"
        program = os.path.join(os.path.dirname(__file__), "host.py")
        lie = self.world.lie if self.world.lie in ("marker", "silence", "cut") and self.number == 2 else ""
        process = self.world.run.start(name, [sys.executable, "-B", program, service.protocol, name, str(port), lie])
        await mesh.until(lambda: self.world.run.log(name).startswith("PORT") or process.poll() is not None, "a host")
        if process.poll() is not None:                      # somebody else has taken the port
            return await self.start_host(service, version) if port else self.fail(name)
        self.hosts[name] = Host(process, int(self.world.run.log(name).split()[1]))
        service.hosts[name] = Listed(name)
        await self.list_host(service, name, version, is_new=True)

    def fail(self, name):
        raise Failure(f"{name} does not start: {self.world.run.log(name)[-500:]}")

    async def list_host(self, service, name, version, is_new):
        async with self.listing:
            service.hosts[name].version.set(version, time.monotonic())
            told = "2.0" if self.world.lie == "version" and self.number == 2 else version
            await service.list.put(service, name, self.hosts[name].port, told, is_new)
            self.changed_at = time.monotonic()
            service.hosts[name].version.confirm(self.changed_at)

    async def unlist(self, service, name):
        async with self.listing:
            await service.list.remove(service, name, self.hosts[name].port)
            self.changed_at = time.monotonic()
            service.hosts[name].version.set(None, self.changed_at)

    async def stop_host(self, service, name):
        """It leaves the list, serves on until everybody knows, answers what it has, and ends."""
        await self.unlist(service, name)
        await asyncio.sleep(TOLERANCE)
        process = self.hosts[name].process
        process.terminate()
        await mesh.until(lambda: process.poll() is not None, f"{name} to end")
        self.forget(name)

    async def kill_host(self, service, name):
        """It ends in the middle of everything; the list loses it later, when it has missed its beats. Another one follows."""
        service.hosts[name].killed_at = time.monotonic()
        self.hosts[name].process.kill()
        version, port = service.hosts[name].version.current, self.hosts[name].port
        await asyncio.sleep(self.random.uniform(1, 5))
        await self.unlist(service, name)
        self.forget(name)
        await self.start_host(service, version, port if self.random.random() < 0.5 else 0)

    async def freeze_host(self, service, name):
        host, process = service.hosts[name], self.hosts[name].process
        host.frozen.set(True, time.monotonic())
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self.random.uniform(0.1, 2.5))
        process.send_signal(signal.SIGCONT)
        host.frozen.set(None, time.monotonic())

    def forget(self, name):
        self.world.run.stop(self.hosts.pop(name).process)

    # ---- what may happen ----

    def spare(self, service):
        """Healthy hosts that can be done without: (name, version)."""
        return [(host.name, version) for version in VERSIONS
                for host in service.healthy(version)[(0 if version == VERSIONS[2] else HEALTHY):]]

    async def host_starts(self, service):
        version = self.random.choice(VERSIONS)
        if len(service.healthy(version)) >= MOST_HOSTS:
            return False
        await self.start_host(service, version)

    async def host_stops(self, service):
        return await self.with_spare(service, self.stop_host)

    async def host_is_killed(self, service):
        return await self.with_spare(service, self.kill_host)

    async def host_freezes(self, service):
        return await self.with_spare(service, self.freeze_host)

    async def with_spare(self, service, work):
        spare = self.spare(service)
        if not spare:
            return False
        name = self.random.choice(spare)[0]
        service.hosts[name].is_busy = True
        await work(service, name)
        service.hosts[name].is_busy = False

    async def host_changes_version(self, service):
        spare = self.spare(service)
        if not spare:
            return False
        name, version = self.random.choice(spare)
        service.hosts[name].is_busy = True
        await self.list_host(service, name, self.random.choice([one for one in VERSIONS if one != version]), is_new=False)
        service.hosts[name].is_busy = False

    async def rules_change(self, service):
        weight = self.random.choice((None, 0, 10, 50, 90, 100))
        split = None if weight is None else {"1.0": 100 - weight, "2.0": weight}
        async with self.world.mesh.lock:
            service.rules.set(Rules(self.random.choice(VERSIONS[:2]), split), time.monotonic())
            await self.world.mesh.reload()
            service.rules.confirm(time.monotonic())

    async def upgrade(self, _):
        if time.monotonic() > self.world.last_upgrade:
            return False
        async with self.world.mesh.lock:
            is_good, said = await self.world.mesh.upgrade()
        if not is_good and self.listing.locked() and ("is away" in said or "does not list" in said):
            self.world.ledger.count(("done", "upgrade refused while a registry was away"))
            return False
        if not is_good:
            self.world.ledger.fault("upgrade", said)

    async def registry_restarts(self, _):
        """It forgets all hosts, which come back at once. Nothing is taken from a list until that has settled."""
        async with self.listing:
            await asyncio.sleep(max(0, self.changed_at + TOLERANCE - time.monotonic()))
            registry = self.world.registry
            registry.stop()
            await asyncio.sleep(self.random.uniform(0.1, 5))
            await registry.start()
            for service in self.world.services:
                for name, host in service.hosts.items():
                    if service.list is registry and host.version.current:
                        await registry.put(service, name, self.hosts[name].port, host.version.current, True)
            await asyncio.sleep(mesh.SETTLE + TOLERANCE)

    CHOICES = {"host starts": (host_starts, 8), "host stops in order": (host_stops, 8), "host is killed": (host_is_killed, 6),
               "host is frozen": (host_freezes, 6), "host changes version": (host_changes_version, 5),
               "rules change": (rules_change, 6), "upgrade": (upgrade, 2), "registry restarts": (registry_restarts, 1)}

    # ---- running ----

    async def begin(self):
        """Two hosts of each version that always has some."""
        for service in self.world.services:
            for version in VERSIONS[:2]:
                for _ in range(HEALTHY):
                    await self.start_host(service, version)

    async def go_on(self, end):
        """Something happens twice a second on average, beside what is still happening."""
        weights = [weight for _, weight in self.CHOICES.values()]
        while time.monotonic() < end:
            await asyncio.sleep(self.random.expovariate(2))
            name = self.random.choices(list(self.CHOICES), weights)[0]
            service = self.random.choice(self.world.services)
            self.add(self.happen(name, service))
            for task in [task for task in self.tasks if task.done()]:
                self.tasks.discard(task)
                task.result()
        while self.tasks:
            await self.tasks.pop()

    async def happen(self, name, service):
        if await self.CHOICES[name][0](self, service) is not False:
            self.world.ledger.count(("done", name))
