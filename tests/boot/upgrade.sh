# Upgrades: nothing is lost, and what an administrator decided stays as it is.

before=$(inside sh -c 'cd /etc/docksync && find . -type f | sort | xargs sha256sum')
inside systemctl stop docksync-aggregator
drop /srv/wms/export/ship backlog 1001 1500
check "centre is away: 500 events wait" until_true 60 waits 500
captured=$(agent queue stat --json)
pid=$(show agent MainPID)
check "agent: upgrade with a backlog" install_deb agent new
check "agent: restarted into the new version" new_process agent "$pid"
check "agent: the same events wait" same "$(agent queue stat --json)" "$captured"
check "agent: every chain holds" agent queue verify
check "centre: upgrade" install_deb aggregator new
check "centre: an upgrade does not start what was stopped" is_state aggregator inactive
inside systemctl start docksync-aggregator
check "the backlog arrives" until_true 90 waits 0
check "... complete, each event once" same "$(centre events find SHIP_backlog.csv --limit 5000 --json | grep -o '"event_id"' | wc -l)" 500
check "edited settings are as they were" same "$(inside sh -c 'cd /etc/docksync && find . -type f | sort | xargs sha256sum')" "$before"

inside systemctl disable -q docksync-agent
pid=$(show agent MainPID)
check "disabled and running: upgrade" install_deb agent new
check "... restarted, for it ran" new_process agent "$pid"
check "... still disabled" is_enabled agent disabled
inside systemctl stop docksync-agent
check "disabled and stopped: upgrade" install_deb agent new
check "... still stopped" is_state agent inactive
check "... still disabled" is_enabled agent disabled
check "disabled: removed and installed again" typed "dpkg -r docksync-agent && dpkg -i $packages_in/new/docksync-agent_*.deb"
check "... still disabled" is_enabled agent disabled
check "... still stopped" is_state agent inactive
inside systemctl mask -q docksync-agent
check "masked: upgrade" install_deb agent new
check "... still masked" is_enabled agent masked
check "... still stopped" is_state agent inactive
inside systemctl unmask -q docksync-agent
inside systemctl enable -q --now docksync-agent

said=$(install_deb agent old)
check "downgrade: says what may happen" holds "$said" "going back from version"
check "... and runs where the form of the queue is the same" until_true 30 is_state agent active
inside systemctl stop docksync-agent
queue=$work/root/var/lib/docksync-agent/queue.db
# form [NUMBER]: tells, or changes, the number of the queue's form.
form() { python3 -c 'import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute("PRAGMA user_version" + sys.argv[2]).fetchone() or "")' "$queue" "${1:+ = $1}"; }
known=$(form)
form 99
newer=$(sha256sum <"$queue")
inside systemctl start --no-block docksync-agent
check "a queue of a newer version: refused with a sentence" until_true 30 journal_says agent "install the version that wrote it"
check "... with exit code 78" same "$(show agent ExecMainStatus)" 78
check "... once: another start would find the same" same "$(show agent NRestarts)" 0
inside systemctl stop docksync-agent
check "... and untouched" same "$(sha256sum <"$queue")" "$newer"
form "$known"
inside systemctl start docksync-agent
check "... the right one runs on" until_true 30 is_state agent active

queue=$work/root/var/lib/docksync-aggregator/ledger.sqlite
inside systemctl stop docksync-aggregator
known=$(form)
form 99
inside systemctl start --no-block docksync-aggregator
check "a ledger of a newer version: refused with a sentence" until_true 30 journal_says aggregator "install the newer docksync-aggregator"
check "... with exit code 78" same "$(show aggregator ExecMainStatus)" 78
check "... once" same "$(show aggregator NRestarts)" 0
inside systemctl stop docksync-aggregator
form "$known"
inside systemctl start docksync-aggregator
check "... the right one runs on" until_true 30 is_state aggregator active
