# Removal keeps, purge refuses while anything would be lost, and a new installation finds everything.

state=/var/lib/docksync-agent
inside systemctl stop docksync-aggregator
drop /srv/wms/export/ship unsent 2001 2010
check "centre is away: 10 events wait" until_true 60 waits 10
check "agent: removed" inside dpkg -r docksync-agent
check "... program and unit are gone" refuses inside sh -c 'ls /usr/bin/docksync-agent /usr/lib/systemd/system/docksync-agent.service'
check "... queue, key and settings are kept" inside ls $state/queue.db $state/identity/site.key /etc/docksync/agent.toml
said=$(inside dpkg --purge docksync-agent 2>&1)
code=$?
check "purge refuses while events are unsent" refuses test "$code" = 0
check "... and says how many, and what to do" holds "$said" "Events that the centre does not have: 10."
check "... and deletes nothing" inside ls $state/queue.db $state/identity/site.key /etc/docksync/agent.toml /etc/docksync/feeds/ship-csv.toml
check "installed again" install_deb agent new
check "... it runs at once, for it is enrolled" until_true 30 is_state agent active
inside systemctl start docksync-aggregator
check "... and sends what waited" until_true 90 has_events unsent 10
check "nothing waits" until_true 30 waits 0

check "purge with nothing unsent" inside dpkg --purge docksync-agent
leftover() { inside sh -c 'find / -xdev \( -path /proc -o -path /sys -o -path /opt -o -path /var/lib/dpkg -o -path /srv \) -prune -o -name "*docksync-agent*" -print -o -name site.key -print'; }
check "... leaves nothing, no key either" same "$(leftover)" ""
check "... and the aggregator as it is" is_state aggregator active

settings=$(inside sh -c 'ls /etc/docksync')
check "... with its settings" same "$settings" aggregator.toml

# Given up on purpose.
check "a new installation" install_deb agent old
check "... is enabled and not started" is_enabled agent enabled
check "... because it is not enrolled" is_state agent inactive
inside tee /etc/docksync/agent.toml >/dev/null <<'TOML'
[site]
id = "DC8"
time_zone = "UTC"
[centre]
host = "centre.test"
[intake]
rescan = "1s"
[[feed]]
folder = "/srv/wms/export/ship"
profile = "/usr/share/docksync/feeds/ship-csv.toml"
TOML
check "... enrols" enroll DC8
inside systemctl stop docksync-aggregator
check "... starts without the centre" inside systemctl start docksync-agent
drop /srv/wms/export/ship given-up 3001 3005
some_wait() { [ "$(waiting)" -ge 5 ]; }
check "... events wait" until_true 60 some_wait
check "purge refuses again" refuses inside dpkg --purge docksync-agent
check "purge when told so" inside env DOCKSYNC_PURGE_UNSENT=1 dpkg --purge docksync-agent
kept=$(inside sh -c 'tar -tzf /var/backups/docksync-agent-unsent-*.tar.gz')
check "... keeps the queue in /var/backups" holds "$kept" ./queue.db
check "... without the key" refuses holds "$kept" site.key
check "... for root alone" same "$(inside sh -c 'stat -c "%U %a" /var/backups/docksync-agent-unsent-*')" "root 600"
check "... and leaves nothing else" refuses inside test -e $state

inside systemctl start docksync-aggregator
check "aggregator: removed" inside dpkg -r docksync-aggregator
check "... ledger, keys and settings are kept" inside sh -c 'ls /var/lib/docksync-aggregator/ledger.sqlite /var/lib/docksync-aggregator/pki/*.key /etc/docksync/aggregator.toml'
check "purge refuses while there is a ledger" refuses inside dpkg --purge docksync-aggregator
check "installed again" install_deb aggregator new
check "... it runs at once" until_true 30 is_state aggregator active
check "... and knows every event" in_ledger SHIP_unsent.csv 10
check "purge when told so" inside env DOCKSYNC_PURGE_LEDGER=1 dpkg --purge docksync-aggregator
check "... leaves nothing" refuses inside sh -c 'ls -d /var/lib/docksync-aggregator /etc/docksync'
