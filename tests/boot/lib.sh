# Shared by the parts of tests/boot/run: the container, and how a check is made and told. Sourced, not run.

passed=0 failed=0 pid1=
packages_in=/opt/packages
SECONDS=0

die() {
    echo "$*" >&2
    exit 1
}

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

# check WHAT COMMAND...: one line on the outcome; on failure also what the command said.
check() {
    local what=$1 answer
    shift
    # Without it every refusal would look like a success.
    [ -z "$pid1" ] || kill -0 "$pid1" 2>/dev/null || die "the container is gone; its last words: $(tail -n 1 "$work/boot.log")"
    if answer=$("$@" 2>&1); then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$what"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$what"
        printf '%s\n' "$answer" | tail -n 12 | sed 's/^/          /'
    fi
}

# until_true SECONDS COMMAND...: the command becomes true before the deadline.
until_true() {
    local deadline=$((SECONDS + $1)) answer
    shift
    until answer=$("$@" 2>&1); do
        if [ "$SECONDS" -ge "$deadline" ]; then
            printf 'not in time: %s\n%s\n' "$*" "$answer"
            return 1
        fi
        sleep 0.2
    done
}

refuses() { ! "$@"; }
same() { [ "$1" = "$2" ] || { printf 'wanted: %s\nfound:  %s\n' "$2" "$1"; return 1; }; }
holds() { case $1 in *"$2"*) ;; *) printf 'not there: %s\nin: %s\n' "$2" "$1"; return 1 ;; esac; }

# A bare Debian, once. Another list of packages is another base.
make_base() {
    local include=systemd,systemd-sysv,dbus,procps,iproute2,libpam-systemd,init-system-helpers,sudo,rpm,libfaketime
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/docksync-boot mirror
    base=$cache/bookworm-$(printf '%s' "$include" | sha256sum | cut -c1-12)
    [ ! -d "$base" ] || return 0
    mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
        grep -v snapshot | head -n 1 | tr -d ' ')
    echo "making a bare Debian, once: takes some minutes"
    mkdir -p "$cache"
    rm -rf "$base.new"
    if ! debootstrap --variant=minbase --include="$include" bookworm "$base.new" ${mirror:+"$mirror"} \
        >"$work/debootstrap.log" 2>&1; then
        skip "debootstrap failed: $(tail -n 1 "$work/debootstrap.log")"
    fi
    rm -rf "$base.new"/var/cache/apt/archives/*.deb
    # What is half done has another name: an interrupted run leaves no base behind that looks whole.
    mv "$base.new" "$base"
}

# Two versions of everything; what differs is the number alone.
make_packages() {
    local part pids programs=$work/programs
    # What packaging/build would do three times.
    mkdir -p "$programs"
    strip --strip-unneeded -o "$programs/docksync-agent" "$bin_dir/docksync-agent" &
    strip --strip-unneeded -o "$programs/docksync-aggregator" "$bin_dir/docksync-aggregator" && wait
    old_version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version *= *"\(.*\)"/\1/p' "$root/Cargo.toml")
    new_version=$old_version.1
    pids=()
    for part in "old $old_version" "new $new_version" "again $old_version"; do
        "$root/packaging/build" --bin-dir "$programs" --out "$work/${part% *}" --version "${part#* }" --fast \
            >"$work/build-${part% *}.log" 2>&1 &
        pids+=($!)
    done
    for part in "${pids[@]}"; do
        wait "$part" || { tail -n 5 "$work"/build-*.log; exit 1; }
    done
}

# Starts the container and waits until systemd says that it is up; its PID 1 as seen from here is `pid1`.
boot() {
    local deadline=$((SECONDS + 90)) child state
    mkdir -p "$work/root$packages_in"
    [ -d "$work/root$packages_in/old" ] || cp -a "$work/old" "$work/new" "$work/root$packages_in/"
    echo site >"$work/root/etc/hostname"
    printf '127.0.0.1 localhost site centre.test centre.example.com\n' >"$work/root/etc/hosts"
    systemd-nspawn --quiet --directory="$work/root" --machine="docksync-boot-$$" --boot --register=no --keep-unit \
        --private-network --console=pipe </dev/null >>"$work/boot.log" 2>&1 &
    nspawn=$!
    pid1=
    while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$nspawn" 2>/dev/null; do
        child=$(pgrep -P "$nspawn" | head -n 1)
        if [ -n "$child" ] && [ "$(cat "/proc/$child/comm" 2>/dev/null)" = systemd ]; then
            pid1=$child
            state=$(inside systemctl is-system-running 2>/dev/null)
            case $state in running | degraded) return 0 ;; esac
        fi
        sleep 0.2
    done
    return 1
}

# The bare Debian with a layer of its own for what is written, or a copy of it where the file system has no layers.
make_root() {
    mkdir -p "$work/root" "$work/upper" "$work/layer"
    mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/layer" docksync-boot "$work/root" 2>/dev/null ||
        cp -a "$base/." "$work/root/"
}

remove_root() {
    ! mountpoint -q "$work/root" || umount "$work/root" || return
    rm -rf --one-file-system "$work/root" "$work/upper" "$work/layer"
}

# A machine on which nothing was installed yet, in the place of the one there is.
another_machine() {
    power_off
    remove_root || die "cannot take the old container down"
    make_root
    boot || die "another container does not boot: $(tail -n 1 "$work/boot.log")"
}

# inside COMMAND...: as root in the container.
inside() {
    nsenter --target "$pid1" --mount --uts --ipc --net --pid --cgroup -- \
        env -i --chdir=/ PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TERM=dumb DEBIAN_FRONTEND=noninteractive "$@"
}

# What people type, in the container's shell.
typed() { inside bash -c "$*"; }

agent() { inside docksync-agent "$@"; }
centre() { inside sudo -u docksync-aggregator docksync-aggregator "$@"; }
show() { inside systemctl show --value -p "$2" "docksync-$1"; }
is_state() { same "$(show "$1" ActiveState)" "$2"; }
is_enabled() { same "$(inside systemctl is-enabled "docksync-$1" 2>/dev/null)" "$2"; }
install_deb() { inside sh -c "dpkg -i $packages_in/$2/docksync-$1_*.deb 2>&1"; }
new_process() { local now; now=$(show "$1" MainPID); [ "$now" != 0 ] && [ "$now" != "$2" ] && is_state "$1" active; }
waiting() { agent queue stat --json | sed -n 's/.*"waiting":\([0-9]*\).*/\1/p'; }
waits() { same "$(waiting)" "$1"; }
in_ledger() { same "$(centre events find "$1" --limit 100000 --json | grep -o '"event_id"' | wc -l)" "$2"; }
site_says() { holds "$(agent status)" "$1"; }
journal_says() { holds "$(inside journalctl -q --no-pager -u "docksync-$1")" "$2"; }
has_events() { in_ledger "SHIP_$1.csv" "$2"; }

# A centre with one destination.
centre_settings() {
    inside tee /etc/docksync/aggregator.toml >/dev/null <<'TOML'
[centre]
name = "Boot test"
mqtt = "127.0.0.1:8883"
enroll = "127.0.0.1:8443"
certificate_names = ["centre.test"]

[[consumer]]
name = "staging"
kind = "sql"
path = "/var/lib/docksync-aggregator/staging.sqlite"
TOML
}

# site_settings FOLDER...: a site with a WMS that exports into these folders, and with little patience.
site_settings() {
    local folder
    inside useradd --create-home wms
    inside install -d -o wms -g wms /srv/wms /srv/wms/export "$@"
    {
        printf '[site]\nid = "DC7"\nname = "Memphis"\ntime_zone = "America/Chicago"\n'
        printf '[centre]\nhost = "centre.test"\nreconnect_max = "2s"\n[intake]\nrescan = "1s"\n'
        for folder in "$@"; do
            printf '[[feed]]\nname = "ship%s"\nfolder = "%s"\nprofile = "feeds/ship-csv.toml"\n' "${folder//\//-}" "$folder"
        done
    } | inside tee /etc/docksync/agent.toml >/dev/null
}

# enroll SITE: by a one-time token of the centre.
enroll() {
    local token
    token=$(centre sites add "$1" --name Memphis --time-zone America/Chicago | grep '^dsk1-') || return 1
    inside sudo -u docksync-agent docksync-agent enroll --url https://centre.test:8443 --token-file - <<<"$token"
}

# drop FOLDER NAME FROM TO: an export with one shipment for each number, as a WMS writes it: aside, then renamed.
drop() {
    {
        echo 'order;shipment;ship_date;ship_time;customer;carrier;line;item;ean;ordered;shipped;unit;status;sscc'
        seq -f '%.0f' "$3" "$4" | sed 's/.*/SO-&;S-&;23.11.2026;09:15;C1;abcd;1;4711;;12;12;STK;C;/'
    } | inside sudo -u wms tee "$1/SHIP_$2.tmp" >/dev/null
    inside sudo -u wms mv "$1/SHIP_$2.tmp" "$1/SHIP_$2.csv"
}

power_off() {
    [ -n "$pid1" ] && kill -0 "$nspawn" 2>/dev/null || return 0
    inside systemctl poweroff >/dev/null 2>&1
    until_true 60 refuses kill -0 "$nspawn" >/dev/null || kill -s RTMIN+4 "$pid1"
    wait "$nspawn" 2>/dev/null
}

finish() {
    power_off
    if [ -n "$keep" ]; then
        echo "kept: $work; to be rid of it: umount $work/root, if mounted, and rm -rf $work"
    else
        remove_root && rm -rf --one-file-system "$work"
    fi
}

summary() {
    if [ "$failed" -gt 0 ]; then
        say "the journal's end"
        inside journalctl --no-pager -q -n 60 -u docksync-agent -u docksync-aggregator
    fi
    printf '\nboot: %d passed, %d failed (%d s)\n' "$passed" "$failed" "$SECONDS"
    [ "$failed" -eq 0 ]
}
