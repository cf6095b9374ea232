# Fresh installation of both programs on one machine, looked at closely.

another_machine

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

centre_settings
check "centre: settings are good" inside docksync-aggregator check
check "centre: starts, and systemd knows when it is ready" inside systemctl start docksync-aggregator
check "centre: active" is_state aggregator active

site_settings /srv/wms/export/ship /home/wms/export
check "site: settings are good" agent check
check "site: enrols with a one-time token" enroll DC7
check "site: its key is its user's alone" same \
    "$(inside stat -c '%U %a' /var/lib/docksync-agent/identity/site.key)" "docksync-agent 600"
check "site: starts, and systemd knows when it is ready" inside systemctl start docksync-agent
check "site: active" is_state agent active
