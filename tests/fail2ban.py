"""The fail2ban filter in contrib, as fail2ban would use it."""
import re
from pathlib import Path

FILTER = Path(__file__).resolve().parents[1] / "contrib/fail2ban"


def failregexes():
    """The expressions of the filter with fail2ban's tags replaced."""
    found = []
    for path in sorted(FILTER.rglob("*.conf")):
        for m in re.finditer(r"^failregex\s*=\s*(.*(?:\n[ \t]+.*)*)",
                             path.read_text(), re.M):
            found += [x.strip() for x in m.group(1).splitlines()
                      if x.strip()]
    return found


def compiled():
    # fail2ban takes the time stamp away first and puts these in
    return [re.compile(r.replace("<HOST>", r"(?P<host>[0-9a-fA-F:.]+)")
                       .replace("<ADDR>", r"(?P<host>[0-9a-fA-F:.]+)")
                       .replace("%(__prefix_line)s", r"^.*?")
                       .replace("<F-USER>", "(?P<user>")
                       .replace("</F-USER>", ")"))
            for r in failregexes()]


def without_time(line):
    return re.sub(r"^\d{4}-\d\d-\d\d[T ][\d:.]+(Z|[+-]\d\d:?\d\d)?\s*", "",
                  line)


def matches(line):
    for text in (line, without_time(line)):
        for r in compiled():
            m = r.search(text)
            if m:
                return m.group("host")
    return None
