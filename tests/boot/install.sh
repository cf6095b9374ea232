# Fresh installation of both programs on one machine, by the README's words.

said=$(install_deb aggregator old)
check "aggregator installs, and says what comes next" holds "$said" "cp /usr/share/docksync/aggregator.toml /etc/docksync/aggregator.toml"
said=$(install_deb agent old)
check "agent installs, and says what comes next" holds "$said" "docksync-agent enroll --url"
for part in agent aggregator; do
    check "$part: enabled" is_enabled "$part" enabled
    check "$part: not started before it is set up" is_state "$part" inactive
    check "$part: a start before that is skipped, not failed" inside systemctl start "docksync-$part"
    check "$part: ... and it does not run" is_state "$part" inactive
    check "$part: user without shell" holds "$(inside getent passwd "docksync-$part")" ":/usr/sbin/nologin"
    check "$part: state folder is the user's" same \
        "$(inside stat -c '%U:%G %a' "/var/lib/docksync-$part")" "docksync-$part:docksync-$part 750"
    unit=/usr/lib/systemd/system/docksync-$part.service
    check "$part: systemd-analyze verify has nothing to say" same "$(inside systemd-analyze verify --man=no "$unit" 2>&1)" ""
    score=$(inside systemd-analyze security --offline=true "$unit" | sed -n 's/.*level for .*: \([0-9.]*\) .*/\1/p')
    check "$part: exposure is $score, at most 1.5" inside systemd-analyze security --offline=true --threshold=15 "$unit"
done

# What the steps after the installation say, on the samples as they are.
inside cp /usr/share/docksync/agent.toml /usr/share/docksync/aggregator.toml /etc/docksync/
inside cp -r /usr/share/docksync/feeds /etc/docksync/feeds
check "agent: the sample is good as it is" agent check
check "aggregator: the sample is good as it is" inside docksync-aggregator check

# The centre, by hand as anyone would.
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
check "centre: settings are good" inside docksync-aggregator check
check "centre: starts, and systemd knows when it is ready" inside systemctl start docksync-aggregator
check "centre: active" is_state aggregator active

# The site.
inside useradd --create-home wms
inside install -d -o wms -g wms /srv/wms /srv/wms/export /srv/wms/export/ship /home/wms/export
inside tee /etc/docksync/agent.toml >/dev/null <<'TOML'
[site]
id = "DC7"
name = "Memphis"
time_zone = "America/Chicago"

[centre]
host = "centre.test"
reconnect_max = "2s"

[intake]
rescan = "1s"

[[feed]]
folder = "/srv/wms/export/ship"
profile = "feeds/ship-csv.toml"

[[feed]]
folder = "/home/wms/export"
profile = "feeds/ship-csv.toml"
name = "ship-home"
TOML
check "site: settings are good" agent check
enroll() {
    local token
    token=$(centre sites add "$1" --name Memphis --time-zone America/Chicago | grep '^dsk1-') || return 1
    inside sudo -u docksync-agent docksync-agent enroll --url https://centre.test:8443 --token-file - <<<"$token"
}
check "site: enrols with a one-time token" enroll DC7
check "site: its key is its user's alone" same \
    "$(inside stat -c '%U %a' /var/lib/docksync-agent/identity/site.key)" "docksync-agent 600"
check "site: starts, and systemd knows when it is ready" inside systemctl start docksync-agent
check "site: active" is_state agent active
