# A backup that is 1,000 events old takes the ledger's place: the site notices, and sends again what it lacks.

state=/var/lib/docksync-aggregator
# count NAME: the events of the ledger, as a checked copy of it has them.
count() { centre backup "$state/$1.sqlite" | sed -n 's/.*: \([0-9]*\) events in .*checked$/\1/p'; }
# staged: the events at the destination, and the different ones among them.
staged() {
    python3 -c 'import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute("SELECT count(*), count(DISTINCT event_id) FROM docksync_event").fetchone())' \
        "$work/root$state/staging.sqlite"
}

drop /srv/wms/export/ship before 5001 5010
check "events before the backup arrive" until_true 60 has_events before 10
old=$(count yesterday)
check "a backup while the service runs: $old events, checked" test "${old:-0}" -ge 10
drop /srv/wms/export/ship since 5101 6100
check "1,000 events after it arrive" until_true 90 has_events since 1000
all=$(count today)
check "... and are in the ledger" same "$all" $((old + 1000))
all_staged() { same "$(staged)" "$all $all"; }
check "... and at the destination" until_true 60 all_staged

said=$(centre restore "$state/yesterday.sqlite" 2>&1)
check "restore: refused while the service runs" holds "$said" "systemctl stop docksync-aggregator"
inside systemctl stop docksync-aggregator
said=$(centre restore "$state/yesterday.sqlite" 2>&1)
check "restore: never over a ledger" holds "$said" "move it away before a restore"
inside mv $state/ledger.sqlite $state/today.lost
check "restore: the backup is in the ledger's place" centre restore "$state/yesterday.sqlite"
check "... it lacks the 1,000 events" in_ledger SHIP_since.csv 0
inside systemctl start docksync-aggregator
begun=$SECONDS
check "the site sends what the ledger lacks, without a person" until_true 120 has_events since 1000
printf 'info    healed in %d s\n' $((SECONDS - begun))
check "... and nothing waits" until_true 60 waits 0
check "the ledger has as many events as before" same "$(count healed)" "$all"
check "... the destination too, each once" until_true 60 all_staged
drop /srv/wms/export/ship after 6101 6103
check "what comes next arrives" until_true 60 has_events after 3
check "... and the site's chains hold" agent queue verify
inside sh -c "rm -rf $state/yesterday.* $state/today.* $state/healed.*"
