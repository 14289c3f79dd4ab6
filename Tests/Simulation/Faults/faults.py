"""Reads faults.txt and puts its faults into a copy of the sources, each behind a switch. What the file's lines mean stands there."""
import os
import re
import sys

SWITCH = '''import Glibc

/// Which fault is put back; 0 for none.
public enum PutBack {
    public static let fault = getenv("SIMULATED_FAULT").flatMap { Int(String(cString: $0)) } ?? 0
}
'''
TOKEN = re.compile(r'\s+|\${0,2}[A-Za-z_]\w*|\d+|"(?:[^"\\]|\\.)*"|.', re.S)


class Fault:
    def __init__(self, number, name, text):
        self.number, self.name, self.text = number, name, text
        self.places = []                                    # (function, kind, code, instead)


def read(path):
    """All faults of a file, numbered from 1 in its order."""
    faults, function, place = [], None, None
    for line in open(path):
        line = line.rstrip("\n")
        if line.startswith("fault "):
            name, _, text = line[6:].partition(": ")
            faults.append(Fault(len(faults) + 1, name, text))
            function, place = None, None
        elif line.startswith("in "):
            function, place = line[3:].strip(), None
        elif line[:2] in ("- ", "= ", "< ", "> "):
            if place and place[1] == line[0] and not place[3]:
                place[2] += "\n" + line[2:]
            else:
                place = [function, line[0], line[2:], ""]
                faults[-1].places.append(place)
        elif line[:2] == "+ ":
            place[3] += ("\n" if place[3] else "") + line[2:]
    return faults


def pattern(code):
    """A regular expression for code, however it is spaced."""
    parts, seen, before = [], set(), ""
    for token in TOKEN.findall(code):
        if token.isspace():
            continue
        if before:
            parts.append(r"\s+" if re.match(r"[\w$]", token) and re.match(r"[\w$]", before) else r"\s*")
        if token[0] == "$" and len(token) > 1:
            name = token.lstrip("$")
            form = r"[A-Za-z_]\w*" if token[1] != "$" else r"[A-Za-z_][\w.]*"
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{form})")
            seen.add(name)
        else:
            parts.append(re.escape(token))
        before = token
    start = r"(?<![\w.])" if re.match(r"[\w$]", code) else ""
    end = r"(?!\w)" if re.search(r"\w$", code) else ""
    return re.compile(start + "".join(parts) + end)


def regions(source, function):
    """Where functions, properties or initializers of a name are."""
    if function is None:
        return [(0, len(source))]
    word = r"\binit\(" if function == "init" else rf"\b(?:func|var) {function}\b"
    found = []
    for match in re.finditer(rf"^([ ]*)(?:\S.*)?{word}.*$", source, re.M):
        closing = re.compile(rf"^{match.group(1)}}}", re.M).search(source, match.end())
        is_short = re.search(r"\{.*\}\s*$", match.group())
        found.append((match.start(), match.end() if is_short or not closing else closing.start()))
    return found


def switched(fault, kind, old, new):
    condition = f"PutBack.fault == {fault.number}"
    if kind == "=":
        return f"({condition} ? ({new}) : ({old}))"
    if kind == "<":
        return f"if {condition} {{ {new} }}\n{old}"
    if kind == ">":
        return f"{old}\nif {condition} {{ {new} }}"
    return f"if {condition} {{ {new} }} else {{ {old} }}"


def put_back(faults, sources):
    """Changes `sources`, a dictionary of paths and texts. Returns the faults whose code is not there, with the reason."""
    missing, edits = {}, {}
    for fault in faults:
        for function, kind, code, instead in fault.places:
            expression, hits = pattern(code), []
            words = [token for token in TOKEN.findall(code) if re.match(r"[A-Za-z_]", token)] + ([function] if function else [])
            for path, text in sources.items():
                if any(word not in text for word in words):
                    continue
                for start, end in regions(text, function):
                    hits += [(path, hit) for hit in expression.finditer(text, start, end)]
            if len(hits) != 1:
                missing[fault.name] = f"its code is in {len(hits)} places: {code.splitlines()[0]}"
                break
            path, hit = hits[0]
            new = re.sub(r"\$+(\w+)", lambda name: hit.groupdict().get(name.group(1)) or name.group(), instead)
            edits.setdefault(path, []).append((hit.start(), hit.end(), fault, kind, new))
    for path, changes in edits.items():
        sources[path] = changed(sources[path], [change for change in changes if change[2].name not in missing])
    return missing


def changed(text, changes):
    """The text with all changes; several faults may be in one place."""
    result, position = "", 0
    groups = []
    for change in sorted(changes, key=lambda change: change[:2]):
        if groups and change[0] < groups[-1][0][1]:
            groups[-1].append(change)
        else:
            groups.append([change])
    for group in groups:
        start, end = min(change[0] for change in group), max(change[1] for change in group)
        code = text[start:end]
        for from_, to, fault, kind, new in sorted(group, key=lambda change: change[1] - change[0]):
            old = text[from_:to]
            if old not in code:
                raise SystemExit(f"{fault.name}: its code is also that of another fault, by half")
            code = code.replace(old, switched(fault, kind, old, new), 1)
        result += text[position:start] + code
        position = end
    result += text[position:]
    if changes and not re.search(r"^import Runtime$", result, re.M):
        result = "import Runtime\n" + result
    return result


def read_sources(folder):
    """The texts of all Swift files below a folder by their paths."""
    texts = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".swift"):
                with open(os.path.join(place, name)) as file:
                    texts[os.path.join(place, name)] = file.read()
    return texts


def main():
    """Tells of faults whose code has changed. Ends with 1 when there are any."""
    here = os.path.dirname(os.path.realpath(__file__))
    missing = put_back(read(os.path.join(here, "faults.txt")), read_sources(os.path.join(here, "../../../Sources")))
    for name, reason in missing.items():
        print(f"Tests/Simulation/Faults/faults.txt: {name}: {reason}")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
