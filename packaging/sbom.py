#!/usr/bin/env python3
"""Bill of materials of one program, from Cargo.lock: CycloneDX 1.5 JSON, or the licence texts of what is linked into it.

    sbom.py sbom PACKAGE VERSION        components and who needs whom
    sbom.py notices PACKAGE             licence texts of all components, each text once

Cargo.lock does not say for which system a crate is needed, so crates for other systems are listed too; crates that only
tests use are not. Licences come from the sources that cargo has unpacked; where those are missing, a component has none.
The output depends on nothing else, so two runs give the same bytes.
"""

import hashlib
import json
import os
import pathlib
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE")


def locked():
    """Every package of the lock file, by name and by `name version`."""
    by_ref = {}
    for package in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]:
        by_ref.setdefault(package["name"], []).append(package)
        by_ref[f"{package['name']} {package['version']}"] = [package]
    return by_ref


def members():
    """Manifests of the workspace's own crates."""
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["members"]
    manifests = (tomllib.loads((ROOT / folder / "Cargo.toml").read_text()) for folder in workspace)
    return {manifest["package"]["name"]: manifest for manifest in manifests}


def needs(package, own):
    """What a package is linked with. The lock file names what only tests use as well, for our own crates alone."""
    wanted = package.get("dependencies", [])
    manifest = own.get(package["name"])
    if manifest is None:
        return wanted
    parts = [manifest, *manifest.get("target", {}).values()]
    real = {
        dependency.get("package", name) if isinstance(dependency, dict) else name
        for part in parts
        for kind in ("dependencies", "build-dependencies")
        for name, dependency in part.get(kind, {}).items()
    }
    shared = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"].get("dependencies", {})
    real = {shared[n].get("package", n) if isinstance(shared.get(n), dict) else n for n in real}
    return [ref for ref in wanted if ref.split()[0] in real]


def closure(root):
    """All packages below `root`, in order of name, each with what it needs."""
    by_ref, own = locked(), members()
    found, todo = {}, [by_ref[root][0]]
    while todo:
        package = todo.pop()
        key = (package["name"], package["version"])
        if key not in found:
            below = [by_ref[" ".join(ref.split()[:2])][0] for ref in needs(package, own)]
            found[key] = (package, sorted((p["name"], p["version"]) for p in below))
            todo.extend(below)
    return dict(sorted(found.items()))


def source(name, version):
    """Folder where cargo has unpacked a crate, if it has."""
    home = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")
    return next(iter(sorted(home.glob(f"registry/src/*/{name}-{version}"))), None)


def licence(name, version):
    """What a crate's manifest says."""
    folder = source(name, version)
    manifest = folder / "Cargo.toml" if folder else None
    if manifest is None or not manifest.exists():
        return None
    return tomllib.loads(manifest.read_text())["package"].get("license")


def sbom(root, version):
    """The CycloneDX document."""
    packages, own = closure(root), members()

    def ref(name, at):
        return f"pkg:cargo/{name}@{at}"

    def component(package):
        name, at = package["name"], package["version"]
        entry = {"type": "library", "bom-ref": ref(name, at), "name": name, "version": at, "purl": ref(name, at)}
        said = "Apache-2.0" if name in own else licence(name, at)
        if said:
            entry["licenses"] = [{"expression": said.replace("/", " OR ")}]
        if "checksum" in package:
            entry["hashes"] = [{"alg": "SHA-256", "content": package["checksum"]}]
        return entry

    main = {**component(packages[next(k for k in packages if k[0] == root)][0]), "type": "application", "version": version}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": main},
        "components": [component(p) for (name, _), (p, _) in packages.items() if name != root],
        "dependencies": [
            {"ref": ref(*key), "dependsOn": [ref(*below) for below in needed]} for key, (_, needed) in packages.items()
        ],
    }
    digest = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.UUID(digest[:32])}"
    json.dump(document, sys.stdout, indent=1)
    print()


def notices(root):
    """Licence texts; crates with the same text share it."""
    own, texts, without = members(), {}, []
    for name, version in closure(root):
        if name in own:
            continue
        folder = source(name, version)
        if folder is None:
            # Cargo unpacks what this system needs: the crate is for another one.
            continue
        inside = [*folder.iterdir(), *folder.glob("*/*")]
        files = sorted(f for f in inside if f.is_file() and f.name.upper().startswith(NAMES))
        if not files:
            without.append(f"{name} {version} ({licence(name, version) or 'see its page on crates.io'})")
        for file in files:
            text = file.read_text(errors="replace").strip().replace("\r\n", "\n")
            texts.setdefault(text, []).append(f"{name} {version}")
    print("The program is linked with these libraries; below, their licence texts.")
    if without:
        print("\nWithout a text of their own in their sources: " + ", ".join(without) + ".")
    for text, users in sorted(texts.items(), key=lambda item: item[1]):
        print("\n" + "=" * 100 + "\n" + ", ".join(users) + "\n" + "-" * 100 + "\n" + text)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["sbom", package, version]:
            sbom(package, version)
        case ["notices", package]:
            notices(package)
        case _:
            sys.exit(__doc__)
