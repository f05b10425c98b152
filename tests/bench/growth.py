"""growth.py - how what things cost grows with their number.

One axis at a time; the figure beside the costs is the exponent of a power law
through all points (the slope of their logarithms), and through the last two:
where something small grows beside something fixed that one says more.
"""
import math
import statistics

from culver import Failure
from scenarios import Open, Sessions

POINTS = {
    "full": dict(messages=(1, 1000, 100000, 1000000),
                 connections=(1, 10, 100, 1000, 10000),
                 users=(100, 1000, 10000, 100000, 1000000)),
    "small": dict(messages=(1, 100), connections=(1, 50),
                  users=(100, 1000)),
}


def slope(points):
    """Least squares on the logarithms; None if there is no such thing."""
    logs = [(math.log(n), math.log(cost)) for n, cost in points if cost > 0]
    if len(logs) < 2:
        return None
    x = statistics.fmean(a for a, _ in logs)
    y = statistics.fmean(b for _, b in logs)
    return sum((a - x) * (b - y) for a, b in logs) / \
        sum((a - x) ** 2 for a, _ in logs)


class Listing(Open):
    """A session that lists so many messages, small ones; time and memory."""

    def __init__(self, bench, storage, messages):
        super().__init__(bench, storage, messages=messages, median=1,
                         attached=0)

    def measure(self, server, boxes):
        figures = super().measure(server, boxes)
        before = server.pss()
        with self.load.holding(server, "LOGIN STAT LIST UIDL HOLD",
                               clients=1):
            pss = server.pss() - before
        server.settled_cpu()    # the next one finds no lock
        return {"ms": figures["ms"], "server ms": figures["server ms"],
                "session KiB": pss}


class Beside(Sessions):
    """Sessions beside so many idle connections, and what these take."""

    def __init__(self, bench, connections):
        super().__init__(bench, False, 16)
        self.connections = connections

    def measure(self, server, boxes):
        server.restart()
        self.load(server, self.PLAN, clients=8, sessions=16)
        before = server.pss()
        with self.load.holding(server, "HOLD",
                               clients=self.connections) as held:
            server.settled_cpu()
            pss = server.pss() - before
            figures = super().measure(server, boxes)
        if held["holding"] != self.connections:
            raise Failure(f"{server.name}: {held}")
        return {"server ms a session": figures["server ms"],
                "connections KiB": pss}


class Users(Sessions):
    """Sessions where so many users are in the passwd file."""

    def __init__(self, bench, users):
        super().__init__(bench, False, 16)
        self.have = min(users, self.scale["users"])
        self.options = {"more_users": users - self.have}

    def prepare(self, server, storage):
        return self.small(server, storage, self.have)

    def measure(self, server, boxes):
        figures = super().measure(server, boxes)
        return {"server ms a session": figures["server ms"],
                "server KiB": server.pss()}


def axes(bench, storages):
    points = POINTS[bench.args.scale]
    for storage in storages:
        # an mbox of so many is no use that anybody has
        yield f"messages ({storage})", storage, {
            n: Listing(bench, storage, n) for n in points["messages"]
            if storage != "mbox" or n < 10 ** 6}
    yield "connections", storages[0], {
        n: Beside(bench, n) for n in points["connections"]}
    yield "users", storages[0], {n: Users(bench, n) for n in points["users"]}


def text(x):
    return "" if x is None else f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def growth(bench, storages, say):
    """Lines of a table, and the figures for JSON."""
    culver = bench.servers[:1]
    lines, figures = [], {}
    for axis, storage, scenarios in axes(bench, storages):
        costs = {}
        for n, scenario in scenarios.items():
            say(f"{axis}: {n}")
            found = bench.run(scenario, storage, culver)["culver"]
            for metric, values in found.items():
                costs.setdefault(metric, []).append(
                    (n, statistics.median(values)))
        for metric, points in costs.items():
            all_of_them, last = slope(points), slope(points[-2:])
            lines.append(f"{axis:20} {metric:20} " + "  ".join(
                f"{n:,}: {text(cost)}" for n, cost in points) +
                f"  exponent {text(all_of_them)}, at the end {text(last)}")
            figures[f"{axis}, {metric}"] = dict(
                points=points, exponent=all_of_them, at_the_end=last)
    return lines, figures
