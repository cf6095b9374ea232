"""Names of the figures that the programs export, read from the two metrics.rs.

The exporter writes OpenMetrics: counters end in _total, figures with a unit in its name, an info in _info. A form that is not known
here is an error, so that no figure is overlooked in silence.
"""

import re


class Unknown(Exception):
    """A registration that is not understood."""


def names(text):
    """Every sample name of one metrics.rs."""
    text = text.split("#[cfg(test)]")[0]
    prefix = one(r'sub_registry_with_prefix\("(\w+)"\)', text)
    families = dict(families_of(text))
    found = set()
    for call, name, suffix in helpers(text):
        found.add(f"{prefix}_{name}{suffix}")
    for match in re.finditer(r'(\w+)\.register(_with_unit)?\(\s*("?[\w]+"?),(.*?)\);', text, re.S):
        registry, with_unit, name, rest = match[1], match[2], match[3], match[4]
        if not name.startswith('"'):
            continue  # within a helper
        name = name.strip('"')
        value = rest.strip().split(",")[-1].strip() or rest.strip().split(",")[-2].strip()
        base = name if registry == "registry" else f"{prefix}_{name}"
        unit = re.search(r"Unit::(\w+)", rest)
        if unit:
            base += f"_{unit[1].lower()}"
        if families.get(value) == "Counter":
            base += "_total"
        elif value == "build" or "Info::new" in rest:
            base += "_info"
        elif value not in families:
            raise Unknown(f"figure {name}: the kind of `{value}` is not known")
        found.add(base)
    return found


def asserted(text):
    """Sample names that the unit tests of the file expect."""
    return set(re.findall(r'"(docksync_\w+)(?:\{| )', text.split("#[cfg(test)]")[-1]))


def one(pattern, text):
    found = re.findall(pattern, text)
    if len(found) != 1:
        raise Unknown(f"{pattern}: found {len(found)} times")
    return found[0]


def families_of(text):
    """Names that a `let` binds to figures, with the kind of each: families, and figures without labels."""
    for left, right in re.findall(r"let ([^=;]*?) = ([^;]*);", text, re.S):
        kinds = [one or two or "Gauge" for one, two in re.findall(r"Family::<\w+, (\w+)>::default|\b(Gauge|Counter)::<\w+>::default|\bValue::default", right)]
        bound = re.findall(r"\w+", left)
        if kinds and len(bound) != len(kinds):
            raise Unknown(f"figures {left}")
        yield from zip(bound, kinds)


SUFFIX = {"gauge": "", "bytes": "_bytes", "seconds": "_seconds", "moment": "_seconds", "counter": "_total"}


def helpers(text):
    for call, name in re.findall(r'\b(gauge|bytes|seconds|moment|counter)\(\s*to,\s*"(\w+)"', text):
        yield call, name, SUFFIX[call]
    # `moment(to, name, ...)` with the name from a match above it.
    for body in re.findall(r"\nfn \w+\([^)]*\)[^{]*\{\n(.*?)\n}\n", text, re.S):
        called = re.search(r"\b(gauge|bytes|seconds|moment|counter)\(to, name,", body)
        arms = re.findall(r'=> "(\w+)"', body)
        if called and arms:
            for name in arms:
                yield called[1], name, SUFFIX[called[1]]
