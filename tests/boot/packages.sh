# What can be said about the packages without installing them.

lint() {
    local said
    said=$(lintian --fail-on error "$1" 2>&1) || { printf '%s\n' "$said"; return 1; }
}
for package in "$work"/old/*.deb; do
    check "lintian finds no error in $(basename "$package")" lint "$package"
done
check "built twice, every package has the same bytes" cmp "$work/old/SHA256SUMS" "$work/again/SHA256SUMS"
check "SHA256SUMS names what was built" sh -c "cd '$work/old' && sha256sum --check --quiet SHA256SUMS"

files_of() { dpkg-deb --fsys-tarfile "$1" | tar -tf - | grep -v '/$' | sort; }
ships() { local list=$1 want; shift; for want in "$@"; do grep -qx "\./$want" <<<"$list" || { echo "no $want"; return 1; }; done; }
for part in agent aggregator; do
    list=$(files_of "$work"/old/docksync-${part}_*.deb)
    check "$part: program, unit, user, folder, sample and bill of materials are in their places" ships "$list" \
        usr/bin/docksync-$part usr/lib/systemd/system/docksync-$part.service usr/lib/sysusers.d/docksync-$part.conf \
        usr/lib/tmpfiles.d/docksync-$part.conf usr/share/docksync/$part.toml usr/share/doc/docksync-$part/sbom.cdx.json \
        usr/share/doc/docksync-$part/copyright
    check "$part: nothing below /etc is the package's, so no upgrade asks about it" refuses grep '^\./etc/' <<<"$list"
done
both=$(for part in agent aggregator; do files_of "$work"/old/docksync-${part}_*.deb; done | sort | uniq -d)
check "no file is in both packages" same "$both" ""
field() { dpkg-deb --field "$work"/old/docksync-"$1"_*.deb "$2"; }
check "aggregator: asks for the system's authorities, for destinations over HTTPS" same "$(field aggregator Recommends)" ca-certificates
check "... the rpm too" holds "$(rpm -qp --recommends "$work"/old/docksync-aggregator-*.rpm)" ca-certificates
check "agent: trusts the centre's own authority, and asks for none" same "$(field agent Recommends)" ""
