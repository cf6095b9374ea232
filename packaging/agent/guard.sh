# What was counted when the program was removed; without that note nobody knows, and nothing is deleted.
unsent=0
[ ! -e "$state/queue.db" ] || unsent=$(cat "$state/removed" 2>/dev/null || echo unknown)
claimed=0
[ ! -d "$state/work" ] || claimed=$(find "$state/work" -type f | wc -l)
if [ "$unsent" != 0 ] || [ "$claimed" != 0 ]; then
    if [ "${DOCKSYNC_PURGE_UNSENT:-}" != 1 ]; then
        cat >&2 <<TEXT
docksync-agent: purge refused, nothing was deleted from $state.
  Events that the centre does not have: $unsent. Files taken and not read yet: $claimed.
  To send them: install docksync-agent again, start it, and wait until "docksync-agent queue stat" shows none waiting.
  To give them up: DOCKSYNC_PURGE_UNSENT=1 dpkg --purge docksync-agent
  They are then kept in /var/backups.
TEXT
        exit 1
    fi
    # Keys are left out: a copy of them must not outlive the purge.
    kept=/var/backups/docksync-agent-unsent-$(date -u +%Y%m%dT%H%M%SZ).tar.gz
    mkdir -p /var/backups
    (umask 077; tar -C "$state" --exclude=./identity --exclude=./identity.new --exclude=./archive -czf "$kept" .)
    echo "docksync-agent: what was not sent is kept in $kept"
fi
rm -rf "$state"
rm -f /etc/docksync/agent.toml
rm -rf /etc/docksync/feeds /etc/docksync/feeds.d
# Written by hand or by the agent's own command, never by the package.
rm -f /etc/systemd/system/docksync-agent.service.d/export-folder.conf
rmdir /etc/systemd/system/docksync-agent.service.d 2>/dev/null || true
