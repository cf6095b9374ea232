# The process dies, hangs, is set up wrongly; the machine starts again.

for part in aggregator agent; do
    pid=$(show "$part" MainPID)
    inside kill -9 "$pid"
    check "$part: back after kill -9" until_true 60 new_process "$part" "$pid"
done
drop /srv/wms/export/ship killed 31 33
check "... and events arrive" until_true 60 has_events killed 3

# The watchdog, with a patience that a test has: some pings long.
for part in agent:3 aggregator:12; do
    patience=${part#*:} part=${part%:*}
    inside install -d "/run/systemd/system/docksync-$part.service.d"
    inside tee "/run/systemd/system/docksync-$part.service.d/watchdog.conf" >/dev/null <<<$'[Service]\nWatchdogSec='"$patience"
    inside systemctl daemon-reload
    inside systemctl restart "docksync-$part"
    pid=$(show "$part" MainPID)
    inside kill -STOP "$pid"
    check "$part: back after it hung" until_true 90 new_process "$part" "$pid"
    check "... by the watchdog" journal_says "$part" "Watchdog timeout"
    inside rm "/run/systemd/system/docksync-$part.service.d/watchdog.conf"
done
inside systemctl daemon-reload

# Refused settings: one start, one sentence, no loop. `failed` is where systemd ends; a loop would pass through auto-restart.
for part in agent aggregator; do
    inside cp -p "/etc/docksync/$part.toml" /root/good.toml
    inside sh -c "echo 'sitte = 1' >>/etc/docksync/$part.toml; sed -i '1i sitte = 1' /etc/docksync/$part.toml"
    check "$part: refused settings, the start fails" refuses inside systemctl restart "docksync-$part"
    check "$part: exit code 78" same "$(show "$part" ExecMainStatus)" 78
    check "$part: it stays down" same "$(show "$part" ActiveState)/$(show "$part" SubState)" failed/failed
    check "$part: started once" same "$(show "$part" NRestarts)" 0
    check "$part: the journal names the mistake" journal_says "$part" sitte
    inside cp -p /root/good.toml "/etc/docksync/$part.toml"
    check "$part: runs again when it is corrected" inside systemctl start "docksync-$part"
done

# A reboot ends nspawn; starting it again is the power button.
inside systemctl reboot >/dev/null 2>&1
until_true 60 refuses kill -0 "$nspawn" || die "the container does not go down"
wait "$nspawn" 2>/dev/null
boot || die "the container does not come up again: $(tail -n 1 "$work/boot.log")"
for part in agent aggregator; do
    check "$part: runs after a reboot" until_true 60 is_state "$part" active
    check "$part: ... with the watchdog of its unit" same "$(show "$part" WatchdogUSec)" 2min
done
drop /home/wms/export rebooted 41 43
check "... and events arrive" until_true 60 has_events rebooted 3
