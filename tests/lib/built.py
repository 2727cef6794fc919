# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the objects of a build say of the rules of the house: which of them need each other in a circle, and which
functions no shipped program, library or module has.

The build is configured with ARGUMENTS: each function and variable in a section of its own, the linker throws away what
nothing needs, and the compiler neither inlines nor clones. So a global function is in the symbols of a program exactly
if something in it calls the function or takes its address; exported symbols of a library are always there. (Of a build
that inlines, a function that only its own file calls is called dead: it could be static.)
"""

import collections
import json
import os
import shutil
import subprocess

ARGUMENTS = ["--buildtype=release", "-Dtests=false",
             "-Dc_args=-ffunction-sections -fdata-sections -fno-inline -fno-ipa-cp -fno-ipa-sra -fno-ipa-icf "
             "-fno-partial-inlining",
             "-Dc_link_args=-Wl,--gc-sections"]
DEFINED = set("TDBRVWC")
PRODUCTS = ("executable", "shared library", "shared module")


def run(*command, directory=None):
    """The output of a command; what it said where it failed."""
    result = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                            errors="replace")
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {result.stdout[-4000:]}")
    return result.stdout


def make(source, build):
    """Configures a build directory, once, and builds it."""
    if not os.path.exists(os.path.join(build, "build.ninja")):
        shutil.rmtree(build, ignore_errors=True)
        run("meson", "setup", build, source, *ARGUMENTS)
    run("ninja", "-C", build)


def symbols_of(path):
    """[(name, nm's letter)] of an object or a program."""
    lines = [line.split() for line in run("nm", "-P", path).splitlines()]
    return [(words[0], words[1]) for words in lines if len(words) > 1]


class Object:
    """An object of the build: where its source is, what it defines for others, and what it wants of them."""

    def __init__(self, source, path):
        self.source = source
        symbols = symbols_of(path)
        self.defined = {name for name, letter in symbols if letter in DEFINED}
        self.functions = {name for name, letter in symbols if letter == "T"}
        self.wanted = {name for name, letter in symbols if letter == "U"}


def objects_of(build):
    """{target's directory: its objects}"""
    targets = collections.defaultdict(list)
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    for command in commands:
        path = os.path.join(build, command["output"])
        if os.path.exists(path):  # not all targets are built by default
            source = os.path.realpath(os.path.join(command["directory"], command["file"]))
            targets[os.path.dirname(command["output"])].append((source, path))
    everything = [source for objects in targets.values() for source, _ in objects]
    inside = os.path.realpath(build) + os.sep
    top = os.path.commonpath([source for source in everything if not source.startswith(inside)] or everything)
    top = top if os.path.isdir(top) else os.path.dirname(top)
    return {target: [Object(os.path.relpath(source, top), path) for source, path in objects]
            for target, objects in targets.items()}


# ---- circles ----

def edges_of(objects):
    """{(object, object that it needs): the symbols that it needs of it}"""
    home = {name: item for item in objects for name in item.defined}
    edges = collections.defaultdict(set)
    for item in objects:
        for name in item.wanted:
            if name in home and home[name] is not item:
                edges[item, home[name]].add(name)
    return edges


def reached_from(start, needs):
    seen, waiting = set(), [start]
    while waiting:
        for other in needs[waiting.pop()]:
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return seen


def circles_among(objects):
    """[[(source, source that it needs, symbols)]], a list for each set of objects all of which need each other"""
    edges = edges_of(objects)
    needs = collections.defaultdict(set)
    for item, other in edges:
        needs[item].add(other)
    reached = {item: reached_from(item, needs) for item in objects}
    circles, done = [], set()
    for item in objects:
        members = {other for other in reached[item] if item in reached[other]}
        if item in done or len(members) < 2:
            continue
        done |= members
        circles.append(sorted((a.source, b.source, sorted(names)) for (a, b), names in edges.items()
                              if a in members and b in members))
    return circles


def circles(targets):
    """A breach for each circle."""
    found = {}
    for objects in targets.values():
        for circle in circles_among(objects):
            found.setdefault(tuple(sorted({source for source, _, _ in circle})), circle)
    for members, circle in sorted(found.items()):
        lines = [f"    {source} needs {other} for {', '.join(names)}" for source, other, names in circle]
        yield f"{len(members)} objects need each other in a circle:\n" + "\n".join(lines)


# ---- dead functions ----

def products_of(build):
    """The files that are installed."""
    with open(os.path.join(build, "meson-info", "intro-targets.json"), encoding="utf-8") as file:
        targets = json.load(file)
    return [target["filename"][0] for target in targets if target["installed"] and target["type"] in PRODUCTS]


def functions_of(product):
    """The functions of a program, library or module that were global in their objects. A static function, which may have
    the name of one elsewhere, stands below the name of its file; what a linker made local stands below no name."""
    file = ""
    for line in run("readelf", "--syms", "--wide", product).splitlines():
        words = line.split()  # number, value, size, type, binding, visibility, section, and, mostly, a name
        if len(words) > 6 and words[3] == "FILE":
            file = words[7] if len(words) > 7 else ""
        if len(words) > 7 and words[3] == "FUNC" and words[6] != "UND" and (words[4] != "LOCAL" or not file):
            yield words[7].split("@")[0]


def dead_functions(build, targets, excepted):
    """A breach for each global function that no product has, and for each exception that is none."""
    shipped = {name for product in products_of(build) for name in functions_of(product)}
    homes = {name: item.source for objects in targets.values() for item in objects for name in item.functions}
    dead = {name: home for name, home in homes.items() if name not in shipped}
    for name, home in sorted(dead.items(), key=lambda entry: (entry[1], entry[0])):
        if name not in excepted:
            yield f"{home}: no shipped program, library or module has {name}()"
    for name in sorted(set(excepted) - set(dead)):
        yield f"DEAD_FUNCTIONS names {name}, which is shipped or gone"
