# The scriptlets of the .rpm, under the same systemd. Debian's rpm knows none of the libraries here, hence --nodeps.

rpm_do() { inside sh -c "rpm $1 --nodeps $packages_in/$2/docksync-agent-*.rpm 2>&1"; }
said=$(rpm_do -i old)
check "agent: installs, and says what comes next" holds "$said" "docksync-agent enroll --url"
check "... enabled" is_enabled agent enabled
check "... not started before it is enrolled" is_state agent inactive
check "... its user owns its folder" same "$(inside stat -c %U /var/lib/docksync-agent)" docksync-agent
install_rpm() { inside sh -c "rpm $1 --nodeps $packages_in/$2/docksync-aggregator-*.rpm 2>&1"; }
check "aggregator: installs" install_rpm -i old
inside tee /etc/docksync/aggregator.toml >/dev/null <<<$'[centre]\nname = "Boot test"\nmqtt = "127.0.0.1:8883"\nenroll = "127.0.0.1:8443"\ncertificate_names = ["centre.test"]'
check "... starts when it is configured" inside systemctl start docksync-aggregator
pid=$(show aggregator MainPID)
check "... upgrades" install_rpm -U new
check "... restarted, for it ran" new_process aggregator "$pid"
check "agent: upgrades" rpm_do -U new
check "... not started, for it did not run" is_state agent inactive
check "both: erased" inside rpm -e --nodeps docksync-agent docksync-aggregator
check "... ledger and settings are kept" inside ls /var/lib/docksync-aggregator/ledger.sqlite /etc/docksync/aggregator.toml
check "... nothing runs" refuses inside pgrep docksync
