"""goals.py - what the figures of tests/bench/run are to be: numbers, and
multiples of what another server has in the same run."""

UP, DOWN = "at least", "at most"

GOALS = {
    ("sessions-plain-16", "sessions/s"): (
        (UP, 4, "dovecot-hp"), (UP, 1, "dovecot-vmail")),
    ("sessions-plain-16", "server ms"): ((DOWN, 0.6, None),),
    ("sessions-plain-16/sqlite", "server ms"): ((DOWN, 1.0, None),),
    ("first-login", "sessions/s"): ((UP, 3, "dovecot-hp"),),
    ("first-login", "first / second"): ((DOWN, 1.2, None),),
    ("sessions-tls-16", "sessions/s"): (
        (UP, 0.7, "sham"), (UP, 1, "dovecot-vmail")),
    ("poll", "sessions/s"): (
        (UP, 3.5, "dovecot-hp"), (UP, 1, "dovecot-vmail")),
    ("retr-plain", "MB/s"): ((UP, 2, "dovecot-hp"), (UP, 0.5, "sham")),
    ("retr-tls", "MB/s"): ((UP, 0.8, "sham"),),
    ("retr-lockstep", "messages/s"): (
        (UP, 20000, None), (UP, 1.5, "dovecot-hp")),
    ("maildir-unchanged", "ms"): ((DOWN, 30, None),),
    ("maildir-one-new", "ms"): ((DOWN, 40, None),),
    ("maildir-no-sizes", "ms"): (
        (DOWN, 1400, None), (DOWN, 0.333, "dovecot-hp")),
    ("maildir-cold", "ms"): ((DOWN, 0.5, "dovecot-hp"),),
    ("maildir-sw-cold", "ms"): ((DOWN, 0.25, "dovecot-hp"),),
    ("mbox-unchanged", "ms"): ((DOWN, 15, None),),
    ("sqlite-unchanged", "ms"): ((DOWN, 60, None),),
    ("idle-plain", "KiB (PSS)"): ((DOWN, 1.5, None),),
    ("idle-tls", "KiB (PSS)"): ((DOWN, 30, None),),
    ("idle-logged-in", "KiB (PSS)"): ((DOWN, 120, None),),
    ("idle-logged-in/sqlite", "KiB (PSS)"): ((DOWN, 180, None),),
    ("idle-many", "% of without"): ((UP, 90, None),),
}


def judged(row, metric, medians):
    """A table's cell: what is wanted, and NO before what is not so."""
    said = []
    for way, factor, other in GOALS.get((row, metric), ()):
        if other is not None and other not in medians:
            continue
        limit = factor * (medians[other] if other else 1)
        good = medians["culver"] >= limit if way == UP else \
            medians["culver"] <= limit
        said.append(("" if good else "NO: ") + f"{way} {factor:g}" +
                    (f" x {other}" if other else ""))
    return "; ".join(said)
