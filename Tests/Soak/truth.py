"""What is true while the soak runs: which hosts were listed with which version, which rules held, what was killed or frozen; and
whether an answer can be right.

Whatever changes is known everywhere only after a while (TOLERANCE): until then what was true before is right as well."""
import collections
import time

TOLERANCE = 4.0                 # seconds: a poll takes up to 0.55 s, the rest is for a machine that has much else to do
KILLED = 0.6                    # seconds after a host was killed in which a request may still have been given to it
VERSIONS = ("1.0", "2.0", "3.0")    # of which the last has hosts only now and then

Rules = collections.namedtuple("Rules", "stable split")     # split: weights by version, or None
Spell = collections.namedtuple("Spell", "since until value")


def overlapping(spells, start, end, tolerance=TOLERANCE):
    """What was true at some time between two moments."""
    return [spell.value for spell in spells
            if spell.since <= end and (spell.until is None or spell.until + tolerance >= start)]


class History:
    """One thing that has a value at each moment; None is none."""

    def __init__(self):
        self.spells = []

    def set(self, value, now):
        if self.spells and self.spells[-1].until is None:
            self.spells[-1] = self.spells[-1]._replace(until=now)
        if value is not None:
            self.spells.append(Spell(now, None, value))

    def confirm(self, now):
        """The change has been made now: until then the value before it held as well."""
        if len(self.spells) > 1:
            self.spells[-2] = self.spells[-2]._replace(until=now)

    @property
    def current(self):
        return self.spells[-1].value if self.spells and self.spells[-1].until is None else None

    def values(self, start, end, tolerance=TOLERANCE):
        return overlapping(self.spells, start, end, tolerance)


class Listed:
    """A host as the soak knows it."""

    def __init__(self, name):
        self.name, self.version, self.frozen = name, History(), History()
        self.killed_at, self.is_busy = None, False          # busy: something is being done to it

    def is_healthy(self):
        return self.version.current is not None and self.killed_at is None and not self.is_busy

    def could_serve(self, version, start, end):
        """Whether it served that version at every moment up to the end of a request."""
        return self.killed_at is None and self.frozen.current is None and any(
            spell.value == version and spell.until is None and spell.since + TOLERANCE < start for spell in self.version.spells)


class Service:
    """A service with all the hosts that it has ever had."""

    def __init__(self, name, protocol, strict, repeats=False):
        self.name, self.protocol, self.strict, self.repeats = name, protocol, strict, repeats
        self.hosts, self.rules = {}, History()

    def healthy(self, version):
        return [host for host in self.hosts.values() if host.is_healthy() and host.version.current == version]

    def versions_for(self, asked, start, end):
        """The versions that may answer a request; None for one that no host may answer."""
        if asked in VERSIONS and (self.strict or self.is_served(asked, start, end)):
            return {asked}
        found = {asked} if asked in VERSIONS else set()
        if self.strict and asked:
            return found
        for rules in self.rules.values(start, end):
            weighted = {version for version, weight in (rules.split or {}).items() if weight > 0}
            found |= weighted if weighted and not asked else {rules.stable}
        return found

    def is_served(self, version, start, end):
        return any(host.could_serve(version, start, end) for host in self.hosts.values())

    def was_killed(self, start, end):
        return any(host.killed_at is not None and host.killed_at <= end and start <= host.killed_at + KILLED
                   for host in self.hosts.values())

    def was_frozen(self, start, end):
        return any(host.frozen.values(start, end, 0.5) for host in self.hosts.values())

    # ---- judging ----

    def fault_of_answer(self, asked, start, end, name, told=None):
        """What is wrong with it that this host has answered, and which version it has; `told` is what the answer says of that."""
        host = self.hosts.get(name)
        if host is None:
            return f"answered by {name}, which is no host of {self.name}", None
        had = set(host.version.values(start, end))
        if not had:
            return f"answered by {name}, which is not listed", None
        allowed = self.versions_for(asked, start, end)
        if not had & allowed:
            return f"asked for {asked}, answered by {name} of version {'/'.join(sorted(had))}, allowed: {sorted(allowed)}", None
        if told is not None and told not in had:
            return f"the answer of {name} says version {told}, which it does not have", None
        return None, told or min(had & allowed)

    def excuse_for_failure(self, asked, start, end, may_repeat):
        """Why a request may have failed; None: it may not."""
        if self.strict and asked and not self.is_served(asked, start, end):
            return "no host of the version"
        if not (self.repeats and may_repeat) and self.was_killed(start, end):
            return "in flight to a killed host"
        return None


class Ledger:
    """Counts, and what should not have happened."""

    MOST_SHOWN = 20

    def __init__(self):
        self.counts, self.faults, self.shown = collections.Counter(), collections.Counter(), []
        self.versions, self.slowest = collections.Counter(), (0.0, "")
        self.is_counting = True

    def count(self, what, number=1):
        self.counts[what] += number

    def answered(self, service, version, asked, start, end):
        self.counts[service.protocol, "answered"] += 1
        self.versions[service.name, version] += 1
        if end - start > self.slowest[0] and not service.was_frozen(start, end):
            self.slowest = end - start, f"{service.name}, asked for {asked}"

    def fault(self, kind, text):
        self.faults[kind] += 1
        if self.faults[kind] <= 3 and len(self.shown) < self.MOST_SHOWN:
            # The log's own notation of time.
            self.shown.append(f"{time.strftime('%H:%M:%S', time.gmtime())}Z {kind}: {text}")
            print("FAULT", self.shown[-1], flush=True)
