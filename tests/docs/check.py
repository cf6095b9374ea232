"""The checks of tests/docs/run. One line for each: `ok` or `FAILED` with what is wrong; then `docs: N passed, M failed`."""

import argparse
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request

import yaml

import figures

ROOT = pathlib.Path(__file__).resolve().parents[2]
MONITORING = ROOT / "packaging/monitoring"
MAN = ROOT / "packaging/man"
BROKERS = ROOT / "packaging/brokers"
RULES = MONITORING / "docksync.rules.yml"
RULE_TESTS = sorted(MONITORING.glob("*.test.yml"))
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
PAGES = ["docksync-agent.8", "docksync-aggregator.8", "docksync-agent.toml.5", "docksync-aggregator.toml.5", "docksync-feed.toml.5"]
PROGRAMS = ["docksync-agent", "docksync-aggregator"]
OWNERS = {"nobody", "wms_operator", "site_it", "integration", "erp_team"}
# Series that Prometheus makes itself.
OF_PROMETHEUS = {"up"}

passed, failed, skipped = [], [], []


def check(name, problems):
    problems = [str(problem) for problem in problems if problem]
    if problems:
        failed.append(name)
        print(f"FAILED {name}")
        for problem in problems[:30]:
            print("       " + problem.rstrip().replace("\n", "\n       "))
    else:
        passed.append(name)
        print(f"ok     {name}")
    sys.stdout.flush()


def command(*words, **more):
    """What a command says where it fails; empty where it does not."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **more)
    return "" if done.returncode == 0 else (done.stdout + done.stderr) or f"{words[0]} ended with {done.returncode}"


# ---- monitoring


def alerts():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def rule_problems(rule):
    name, notes, labels = rule["alert"], rule.get("annotations", {}), rule.get("labels", {})
    for key in ("summary", "description", "owner", "runbook_url"):
        if not notes.get(key):
            yield f"{name}: no annotation {key}"
    if labels.get("severity") not in ("critical", "warning", "info"):
        yield f"{name}: severity {labels.get('severity')}"
    if labels.get("owner") not in OWNERS:
        yield f"{name}: owner {labels.get('owner')} is none of {', '.join(sorted(OWNERS))}"
    if "for" not in rule:
        yield f"{name}: no `for`"
    if notes.get("runbook_url") != f"file:///usr/share/docksync/monitoring/alerts.html#{name}":
        yield f"{name}: runbook_url {notes.get('runbook_url')}"


def code_problems(rules):
    """A code leads from the alert to the site's page, so the page must have it."""
    shown = "".join(path.read_text() for path in (ROOT / "agent/src").rglob("*.rs"))
    for rule in rules:
        code = rule["annotations"].get("code")
        if code and f'"{code}"' not in shown:
            yield f"{rule['alert']}: no page shows the code {code}"


def test_problems(names):
    fires, rests = set(), set()
    for path in RULE_TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                (fires if case.get("exp_alerts") else rests).add(case["alertname"])
    for name in names:
        if name not in fires:
            yield f"{name}: no test in which it fires"
        if name not in rests:
            yield f"{name}: no test in which it does not fire"
    for name in (fires | rests) - set(names):
        yield f"{name}: tested and not there"


def sections():
    text = (MONITORING / "alerts.md").read_text()
    parts = re.split(r"^### ", text, flags=re.M)[1:]
    return {part.split()[0]: re.split(r"^## ", part, flags=re.M)[0] for part in parts}


def section_problems(rules):
    told = sections()
    for rule in rules:
        name, code = rule["alert"], rule["annotations"].get("code")
        text = told.get(name, "")
        body = text.split("\n", 1)[1].strip() if "\n" in text else ""
        if len(body) < 100:
            yield f"{name}: no paragraph in alerts.md"
        elif not re.search(r"\b(Site IT|Integration team|WMS operator|ERP team)\b", body):
            yield f"{name}: alerts.md does not say whose move it is"
        head = text.split("\n", 1)[0]
        if head and head != (f"{name} ({code})" if code else name):
            yield f"{name}: its code is {code}, its heading is `{head}`"
    for name in set(told) - {rule["alert"] for rule in rules}:
        yield f"{name}: told in alerts.md and not there"


def html_problems(rules):
    done = subprocess.run([MONITORING / "alerts-html"], capture_output=True, text=True)
    if done.returncode:
        yield done.stderr
    for rule in rules:
        if f'id="{rule["alert"]}"' not in done.stdout:
            yield f"{rule['alert']}: alerts.html has no such place"


def used(expression):
    """Names of series in an expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expression)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"\b(docksync_\w+|up|ALERTS)\b", bare)) | set(re.findall(r"\b(docksync_\w+)", expression))


def panel_expressions(board):
    for panel in board["panels"]:
        for inner in [panel, *panel.get("panels", [])]:
            for target in inner.get("targets", []):
                yield f"{inner['title']}", target.get("expr", "")
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["definition"]


def board_problems(path, known):
    try:
        board = json.loads(path.read_text())
    except ValueError as error:
        yield f"no JSON: {error}"
        return
    panels = [inner for panel in board["panels"] for inner in [panel, *panel.get("panels", [])]]
    ids = [panel["id"] for panel in panels]
    for twice in {one for one in ids if ids.count(one) > 1}:
        yield f"panel id {twice} is there {ids.count(twice)} times"
    names = {variable["name"] for variable in board["templating"]["list"]}
    checked = []
    for title, expression in panel_expressions(board):
        for name in used(expression) - known:
            yield f"{title}: there is no figure {name}"
        for name in set(re.findall(r"\$\{?(\w+)", expression)) - names - {"__rate_interval", "__range", "__interval"}:
            yield f"{title}: there is no variable {name}"
        if not title.startswith("variable "):
            plain = re.sub(r"\$\{?\w+\}?", "X", expression)
            checked.append({"record": "a:b", "expr": plain, "labels": {"n": str(len(checked))}})
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "panels", "rules": checked}]}, file)
        file.flush()
        yield command("promtool", "check", "rules", file.name)
    for panel in panels:
        if panel["type"] != "row" and not panel.get("description"):
            yield f"panel {panel['title']} has no description"
        if panel["type"] != "row" and panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            yield f"panel {panel['title']} names a data source of its own"
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"panel {panel['title']} is too wide"
    if not board.get("uid") or not board.get("title"):
        yield "no uid, or no title"


def known_figures():
    found, problems = set(), []
    for path in ("agent/src/status/metrics.rs", "aggregator/src/insight/metrics.rs"):
        text = (ROOT / path).read_text()
        try:
            own = figures.names(text)
        except figures.Unknown as error:
            problems.append(f"{path}: {error}")
            continue
        problems += [f"{path}: its tests expect {name}" for name in figures.asserted(text) - own]
        found |= own
    return found, problems


def monitoring():
    known, problems = known_figures()
    check("figures: the two metrics.rs are understood", problems)
    known |= OF_PROMETHEUS
    rules = alerts()
    names = [rule["alert"] for rule in rules]
    check("rules: promtool check", [command("promtool", "check", "rules", RULES)])
    for path in RULE_TESTS:
        check(f"rules: promtool test {path.name}", [command("promtool", "test", "rules", path)])
    check("rules: every alert is tested both ways", list(test_problems(names)))
    check("rules: names, labels and annotations", [p for rule in rules for p in rule_problems(rule)] + [n for n in names if names.count(n) > 1])
    check("rules: every code is one of the site's page", list(code_problems(rules)))
    check("rules: every figure is there", [f"{r['alert']}: there is no figure {n}" for r in rules for n in used(r["expr"]) - known])
    check("alerts.md: a paragraph for each alert", list(section_problems(rules)))
    check("alerts.html: a place for each alert", list(html_problems(rules)))
    check("prometheus.example.yml: promtool check", [command("promtool", "check", "config", MONITORING / "prometheus.example.yml")])
    check("dashboards: three at least", [] if len(DASHBOARDS) >= 3 else [f"{len(DASHBOARDS)} found"])
    uids = [json.loads(path.read_text()).get("uid") for path in DASHBOARDS]
    check("dashboards: names of their own", [] if len(set(uids)) == len(uids) else uids)
    for path in DASHBOARDS:
        check(f"dashboard {path.name}", list(board_problems(path, known)))
    return known


# ---- manual pages


def rendered(page):
    text = subprocess.run(["mandoc", "-Tutf8", "-Owidth=500", MAN / page], capture_output=True, text=True, check=True).stdout
    return re.sub(r"\s+", " ", re.sub(".\b", "", text))


def lint(page):
    # A reference to a page that is not installed here is none of the page's faults.
    said = subprocess.run(["mandoc", "-Tlint", "-W", "warning", MAN / page], capture_output=True, text=True)
    yield from (line for line in (said.stdout + said.stderr).splitlines() if "outdated mandoc.db" not in line)
    drawn = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", MAN / page], capture_output=True, text=True)
    yield from drawn.stderr.splitlines()


def help_of(program, words=()):
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{program.name} {' '.join(words)} --help: {done.stderr}")
    return done.stdout


def walk(program, words=()):
    """Every command of the help, with its long flags and its words."""
    text = help_of(program, words)
    yield words, set(re.findall(r"^\s+(?:-\w, )?--([\w-]+)", text, re.M)), re.findall(r"^\s+\[?<?([A-Z_]+)>?\]?(?:\.\.\.)?\s{2,}", text, re.M)
    listed = re.search(r"^Commands:\n((?:  .*\n?)+)", text, re.M)
    for line in listed[1].splitlines() if listed else []:
        name = re.match(r"  (\S+)", line)
        if name and name[1] != "help":
            yield from walk(program, (*words, name[1]))


def command_problems(program, page):
    text = rendered(page)
    source = (MAN / page).read_text()
    flags = set(re.findall(r"Fl -([\w-]+)", source))
    for words, own, _ in walk(program):
        name = " ".join(words)
        if name and not re.search(rf"\b{re.escape(name)}\b", text) and not together(words, text):
            yield f"`{name}` is not in {page}"
        for flag in own - flags:
            yield f"--{flag} of `{name}` is not in {page}"
    crate = program.name.removeprefix("docksync-")
    written = {flag for path in (ROOT / crate / "src/cli").rglob("*.rs") for flag in long_flags(path.read_text())}
    for flag in flags - {flag for _, own, _ in walk(program) for flag in own} - written:
        yield f"--{flag} is in {page} and not in the help"


def long_flags(text):
    """Flags in the source: programs that were built before are no reason to leave a new one out of the page."""
    found = re.findall(r'#\[arg\(long(?: = "([\w-]+)")?[^\]]*\)\]\s*pub (\w+):', text)
    return {given or name.replace("_", "-") for given, name in found}


def synopsis(page):
    """Commands of each entry of the SYNOPSIS, as tuples of words, with the entry's flags."""
    source = (MAN / page).read_text()
    for entry in re.split(r"^\.Nm\n", re.search(r"^\.Sh SYNOPSIS\n(.*?)^\.Sh ", source, re.M | re.S)[1], flags=re.M):
        named = re.search(r"^\.Cm (.*)$", entry, re.M)
        if not named:
            continue
        first, *others = [part.split() for part in named[1].split(" | ")]
        yield [tuple(first), *(tuple(first[:-1] + other) for other in others)], set(re.findall(r" -([a-z][\w-]*)", entry))


def synopsis_problems(program, page):
    of = {words: own - {"help", "version"} for words, own, _ in walk(program)}
    # Taken everywhere, used here by nobody.
    of[("completions",)] = of.get(("completions",), set()) - {"config"}
    leaves = {words for words in of if not any(other[: len(words)] == words and other != words for other in of)}
    seen = set()
    for commands, flags in synopsis(page):
        seen.update(commands)
        known = set().union(*(of.get(words, set()) for words in commands))
        for words in commands:
            if words not in leaves and words != ("help",):
                yield f"`{' '.join(words)}` stands in the SYNOPSIS of {page} and is no command"
            for flag in sorted(of.get(words, set()) - flags):
                yield f"--{flag} of `{' '.join(words)}` is not in its line of the SYNOPSIS of {page}"
        for flag in sorted(flags - known):
            yield f"--{flag} in the SYNOPSIS of `{' '.join(commands[0])}` is no flag of it"
    for words in sorted(leaves - seen):
        yield f"`{' '.join(words)}` is not in the SYNOPSIS of {page}"


def together(words, text):
    """`queue stat | verify` stands for both."""
    if len(words) < 2:
        return False
    return re.search(rf"\b{re.escape(words[0])} (?:[\w-]+ \| )*{re.escape(words[-1])}\b", text) is not None


def keys_of(text):
    """Keys of a TOML reference, those in comments too, with the table they stand in."""
    table, found = "", set()
    for line in text.splitlines():
        line = re.sub(r"^# (?=\[|[a-z_]+ = )", "", line)
        head = re.match(r"\[+([\w.]+)\]+", line)
        if head:
            table = head[1]
            found.add(("table", table))
            continue
        key = re.match(r"([a-z_]+)\s*=", line)
        if key:
            found.add((table, key[1]))
    return found


# Tables whose keys are the site's own words.
FREE = {"consumer.sites", "consumer.items", "consumer.units", "consumer.statuses", "consumer.reasons", "reconcile.units", "reconcile.statuses"}


def key_problems(reference, page):
    documented, text = keys_set(page), rendered(page)
    for table, key in sorted(keys_of((ROOT / reference).read_text())):
        if table == "table":
            if f"[{key}]" not in text:
                yield f"table [{key}] of {reference} is not in {page}"
        elif table not in FREE and key not in documented:
            yield f"key {key} of [{table}] is not in {page}"


def keys_set(page):
    return set(re.findall(r"[a-z_]+", " ".join(re.findall(r"^\.It Ic (.*)$", (MAN / page).read_text(), re.M))))


def tables_in(value, path=""):
    """Every key of a parsed profile."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield path, key
            # What stands below these are the partner's words, or an event.
            if key not in ("map", "rows", "sites", "expect"):
                yield from tables_in(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from tables_in(inner, path)


def profile_problems(page):
    source = (MAN / page).read_text()
    documented = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"^\.(?:It )?Ic (.*)$", source, re.M))))
    text = rendered(page)
    for path in sorted((ROOT / "config/feeds").glob("*.toml")):
        for table, key in set(tables_in(tomllib.loads(path.read_text()))):
            if key not in documented and f"[{key}]" not in text:
                yield f"key {key} of {table or 'the profile'} in {path.name} is not in {page}"
        for field in tomllib.loads(path.read_text()).get("field", []):
            to = field["to"]
            last = to.split(".", 1)[-1]
            if to.startswith(("references.", "lines.references.")):
                last = to.split("references.")[-1].removesuffix(".date")
            if to.startswith("parties."):
                last = to.split(".")[1]
            last = last.removeprefix("contents.")
            if not to.startswith("extensions.") and not re.search(rf"\b{re.escape(last)}\b", text):
                yield f"field {to} of {path.name} is not in {page}"


def feed_code_problems(page):
    """What the reader of profiles asks for must be documented as well."""
    source = (MAN / page).read_text()
    documented = set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"^\.(?:It )?Ic (.*)$", source, re.M))))
    asked = set()
    for name in ("read", "fields", "cases", "response"):
        text = (ROOT / f"agent/src/decode/profile/{name}.rs").read_text().split("#[cfg(test)]")[0]
        asked |= set(re.findall(r'(?:\b(?:section|feed|root|table|parse|rows)\.(?:node|text|texts|flag|number|word|section|sections|measured|required_text)\(\s*|byte\(\w+, )"([a-z_]+)"', text))
    asked |= set(re.findall(r'\("([a-z0-9_]+)", OptionKind', (ROOT / "agent/src/decode/profile/dialect.rs").read_text()))
    text = rendered(page)
    yield from (f"key {key} of the code is not in {page}" for key in sorted(asked - documented) if f"[{key}]" not in text)
    events = set(re.findall(r'= \d+ "([a-z_]+)"', re.search(r"\n    EventType \{(.*?)\n    \}", (ROOT / "proto/src/event.rs").read_text(), re.S)[1]))
    kinds = set(re.findall(r'= \d+ "([a-z_]+)"', re.search(r"\n    RefKind \{(.*?)\n    \}", (ROOT / "proto/src/event.rs").read_text(), re.S)[1]))
    yield from (f"{word} is not in {page}" for word in sorted(events | kinds) if not re.search(rf"\b{word}\b", text))


def config_code_problems(paths, page, pattern):
    documented, text = keys_set(page), rendered(page)
    for path in paths:
        body = (ROOT / path).read_text().split("#[cfg(test)]")[0]
        for key in sorted(set(re.findall(pattern, body)) - documented):
            if f"[{key}]" not in text and f".{key}]" not in text:
                yield f"key {key} of {path} is not in {page}"


def reload_problems(page):
    """Which keys a reload takes is said as agent/src/config/values.rs has it."""
    body = (ROOT / "agent/src/config/values.rs").read_text().split("#[cfg(test)]")[0]
    says = {key: how for key, how in re.findall(r'\badd\("([\w.]+)",.*?\b(now|restart)\);', body, re.S)}
    source = (MAN / page).read_text()
    told = {}
    for item, how in (("reload", "now"), ("restart", "restart")):
        part = re.search(rf"^\.It {item}\n(.*?)^\.(?:It|El)", source, re.M | re.S)
        told |= dict.fromkeys(re.findall(r"^\.Ic (\w+\.[\w.]+)", part[1] if part else "", re.M), how)
    if len(says) < 15:
        yield f"values.rs is not understood: {says}"
    for key in sorted(says.keys() | told.keys()):
        if says.get(key) != told.get(key):
            yield f"{key}: the program says {says.get(key)}, {page} says {told.get(key)}"


def exit_problems(page, path, pattern):
    text = rendered(page)
    for code in sorted(set(re.findall(pattern, (ROOT / path).read_text())), key=int):
        if not re.search(rf"EXIT STATUS.*\b{code} ", text):
            yield f"exit code {code} is not in {page}"


def pages(bin_dir):
    check("man: all pages are there", [f"{page} is missing" for page in PAGES if not (MAN / page).exists()])
    for page in PAGES:
        check(f"man {page}: no warnings", list(lint(page)))
    asked = r'\.(?:node|text|texts|flag|number|word|section|sections|measured|required_text)\(\s*"([a-z_]+)"'
    check("man docksync-agent.toml.5: every key of the reference", list(key_problems("config/agent.toml", "docksync-agent.toml.5")))
    agent = ["agent/src/config/read.rs", "agent/src/config/feeds.rs"]
    check("man docksync-agent.toml.5: every key of the code", list(config_code_problems(agent, "docksync-agent.toml.5", asked)))
    check("man docksync-agent.toml.5: what a reload takes", list(reload_problems("docksync-agent.toml.5")))
    check("man docksync-aggregator.toml.5: every key of the reference", list(key_problems("config/aggregator.toml", "docksync-aggregator.toml.5")))
    centre = sorted(path.relative_to(ROOT) for path in (ROOT / "aggregator/src/config").glob("*.rs") if path.stem not in ("read", "report"))
    own = r'(?:\.(?:text|texts|parsed|word|words|number|flag|pairs|table|tables|table_if_any)\(\s*|required\(section, |address\(|\bnumber\()"([a-z_]+)"'
    check("man docksync-aggregator.toml.5: every key of the code", list(config_code_problems(centre, "docksync-aggregator.toml.5", own)))
    check("man docksync-feed.toml.5: every key of the profiles that come along", list(profile_problems("docksync-feed.toml.5")))
    check("man docksync-feed.toml.5: every key, event and reference of the code", list(feed_code_problems("docksync-feed.toml.5")))
    check("man docksync-agent.8: every exit code", list(exit_problems("docksync-agent.8", "agent/src/cli/mod.rs", r"u8 = (\d+);")))
    check("man docksync-aggregator.8: every exit code", list(exit_problems("docksync-aggregator.8", "aggregator/src/cli/mod.rs", r"=> (\d+),")))
    for program in PROGRAMS:
        name = f"man {program}.8: every command and flag of --help"
        in_synopsis = f"man {program}.8: every command with its flags in the SYNOPSIS"
        if bin_dir:
            check(name, list(command_problems(bin_dir / program, f"{program}.8")))
            check(in_synopsis, list(synopsis_problems(bin_dir / program, f"{program}.8")))
        else:
            for left_out in (name, in_synopsis):
                skipped.append(left_out)
                print(f"skip   {left_out}: no --bin-dir")


# ---- words in the texts


def typed(path):
    """Commands of a text: quoted or indented ones of Markdown, those of a manual page's examples, any in the words after an installation."""
    text = path.read_text()
    if path.suffix == ".md":
        found = re.findall(r"`(docksync-(?:agent|aggregator) [^`]*)`|^    (docksync-(?:agent|aggregator) .*)$", text, re.M)
        return [one or two for one, two in found]
    if path.suffix in (".5", ".8"):
        parts = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S)
        return re.findall(r"^(?:sudo (?:-u \S+ )?)?(docksync-(?:agent|aggregator) .*)$", "".join(parts).replace("\\e\n", ""), re.M)
    return re.findall(r"(?<![-/\w])(docksync-(?:agent|aggregator) (?!is |docksync-).*?)(?=,|; |$)", text, re.M)


def text_problems(path, commands):
    for quoted in typed(path):
        words = quoted.split()
        program, rest = words[0], words[1:]
        best = max((c for c in commands[program] if tuple(rest[: len(c)]) == c), key=len, default=())
        flags = {word[2:] for word in rest if word.startswith("--")}
        if not best or (len(best) < 2 and any(c[:1] == best and len(c) > 1 for c in commands[program])):
            yield f"{path.name}: there is no command `{' '.join(words)}`"
        elif flags - commands[program][best]:
            yield f"{path.name}: `{' '.join(words)}`: no flag {', '.join(flags - commands[program][best])}"


def broker_problems():
    for name in ("mosquitto.md", "emqx.md", "vernemq.md", "hivemq.md"):
        path = BROKERS / name
        if not path.exists():
            yield f"{name} is missing"
            continue
        text = path.read_text()
        if (name != "mosquitto.md") != ("**Not tested here.**" in text):
            yield f"{name}: does it say whether it was tested here?"
        if "## Sources" not in text:
            yield f"{name}: names no sources"
        for leaf in re.findall(r'Self::\w+ => "([a-z]+(?:/[a-z]+)?)"', (ROOT / "proto/src/topic.rs").read_text()):
            if leaf not in text:
                yield f"{name}: nothing about the topic {leaf}"
        if "4198400" not in text or "docksync-centre" not in text:
            yield f"{name}: lacks the packet size, or the centre's name"


def mosquitto_problems(bin_dir):
    """What the page shows is what the command writes."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "a.toml").write_text(f'[centre]\nname = "T"\ncertificate_names = ["localhost"]\n[state]\ndir = "{folder}/state"\n')
        problem = command(bin_dir / "docksync-aggregator", "--config", folder / "a.toml", "broker", "mosquitto", "--dir", folder / "m")
        if problem:
            yield problem
            return
        page = (BROKERS / "mosquitto.md").read_text()
        for line in (folder / "m/acl").read_text().splitlines():
            if line and not line.startswith("#") and line not in page:
                yield f"mosquitto.md lacks the right `{line}`"
        for line in (folder / "m/mosquitto.conf").read_text().splitlines():
            key, _, value = line.partition(" ")
            if key in ("max_packet_size", "max_inflight_messages", "max_queued_messages", "max_keepalive", "tls_version"):
                if not re.search(rf"`{key}` \| `?{re.escape(value)}", page):
                    yield f"mosquitto.md: {key} is {value}"


def texts(bin_dir):
    check("brokers: a page each, with sources and topics", list(broker_problems()))
    if not bin_dir:
        completions = [f"completions: {name}" for name in PROGRAMS]
        for name in (*completions, "texts: every command that they name is there", "brokers: mosquitto.md says what the command writes", "figures: the running programs"):
            skipped.append(name)
            print(f"skip   {name}: no --bin-dir")
        return
    commands = {name: {words: flags for words, flags, _ in walk(bin_dir / name)} for name in PROGRAMS}
    files = [MONITORING / "alerts.md", *sorted(BROKERS.glob("*.md")), *(MAN / page for page in PAGES)]
    files += [ROOT / f"packaging/{part}/next-steps" for part in ("agent", "aggregator")]
    check("texts: every command that they name is there", [p for path in files for p in text_problems(path, commands)])
    check("brokers: mosquitto.md says what the command writes", list(mosquitto_problems(bin_dir)))
    for name in PROGRAMS:
        check(f"completions: {name}", list(completion_problems(bin_dir / name)))


def completion_problems(program):
    """What bash offers behind every command, and that the other shells' files are not empty."""
    def made(shell):
        done = subprocess.run([program, "completions", shell], capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""
    for shell in ("zsh", "fish"):
        if program.name not in made(shell):
            yield f"{shell}: nothing about {program.name}"
    # As packaging/build mends it.
    script = made("bash").replace("docksync__subcmd__", "docksync__")
    function = re.search(r"complete -F (\S+)", script)
    if not function:
        yield "bash: no completion is defined"
        return
    commands = [(words, flags) for words, flags, _ in walk(program) if words]
    for words, _ in commands:
        script += f"\nCOMP_WORDS=({program.name} {' '.join(words)} --) COMP_CWORD={len(words) + 1}; COMPREPLY=()\n"
        script += f'{function[1]} {program.name} -- {words[-1]}; echo "${{COMPREPLY[*]}}"\n'
    offered = subprocess.run(["bash"], input=script, capture_output=True, text=True)
    if offered.stderr:
        yield offered.stderr
    for (words, flags), line in zip(commands, offered.stdout.splitlines(), strict=True):
        for flag in sorted(flags - set(line.replace("--", "").split())):
            yield f"bash does not offer --{flag} behind `{' '.join(words)}`"


# ---- the running programs


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def scraped(program, arguments, folder, port_of):
    """Sample names of /metrics of a program that was just started."""
    with open(folder / "said", "w") as said:
        running = subprocess.Popen([program, *arguments], stdout=said, stderr=said)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and running.poll() is None:
            try:
                page = port_of(json.loads((folder / "state/run.json").read_text()))
                with urllib.request.urlopen(f"http://{page}/metrics", timeout=5) as answer:
                    lines = answer.read().decode().splitlines()
                return {re.match(r"[\w:]+", line)[0] for line in lines if line and not line.startswith("#")}
            except (OSError, ValueError):
                time.sleep(0.2)
        raise RuntimeError((folder / "said").read_text()[-2000:] or "no answer")
    finally:
        running.terminate()
        running.wait(timeout=30)


def live_problems(bin_dir, known):
    settings = {
        "docksync-agent": ('[site]\nid = "DC7"\ntime_zone = "UTC"\n[centre]\nhost = "localhost"\nport = {a}\n[state]\ndir = "{dir}/state"\n'
                           '[status]\nlisten = "127.0.0.1:0"\n[[feed]]\nfolder = "{dir}/in"\nprofile = "{root}/config/feeds/pick-csv.toml"\n'),
        "docksync-aggregator": ('[centre]\nname = "T"\nmqtt = "127.0.0.1:{a}"\nenroll = "127.0.0.1:{b}"\npage = "127.0.0.1:{c}"\n'
                                'certificate_names = ["localhost"]\n[state]\ndir = "{dir}/state"\n'),
    }
    for name, text in settings.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "in").mkdir()
            config = folder / "c.toml"
            config.write_text(text.format(a=free_port(), b=free_port(), c=free_port(), dir=folder, root=ROOT))
            if name == "docksync-aggregator":
                problem = command(bin_dir / name, "--config", config, "sites", "add", "DC7")
                if problem:
                    yield problem
            try:
                seen = scraped(bin_dir / name, ["run", "--config", config], folder, lambda run: run.get("page") or run["addresses"]["page"])
            except RuntimeError as error:
                yield f"{name}: {error}"
                continue
            for figure in sorted(seen - known):
                yield f"{name} exports {figure}, which was not found in its metrics.rs"
            if len(seen) < 5:
                yield f"{name} exports only {sorted(seen)}"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bin-dir", type=pathlib.Path, help="folder of docksync-agent and docksync-aggregator")
    bin_dir = arguments.parse_args().bin_dir
    bin_dir = bin_dir.resolve() if bin_dir else None
    known = monitoring()
    pages(bin_dir)
    texts(bin_dir)
    if bin_dir:
        check("figures: the running programs", list(live_problems(bin_dir, known)))
    print(f"docs: {len(passed)} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    sys.exit(1 if failed else 0)


main()
