# A site's certificate comes to its end, and clocks are wrong. Time is libfaketime's: the services get it by a drop-in, as their
# sandbox lets it in; only the wall clock is moved, not the one by which they wait.

faketime=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1
day=86400

another_machine
install_deb aggregator old >/dev/null && install_deb agent old >/dev/null
inside cp -r /usr/share/docksync/feeds /etc/docksync/feeds
centre_settings
site_settings /srv/wms/export/ship
inside systemctl start docksync-aggregator
check "a site and a centre: enrolled" enroll DC7
inside systemctl start docksync-agent
drop /srv/wms/export/ship today 1 3
check "... events arrive" until_true 60 has_events today 3

# move PART SECONDS: its clock is so far ahead within two seconds; what runs goes on.
move() { inside tee "/run/docksync-$1.clock" >/dev/null <<<"$(printf %+d "$2")"; }
# clock_of PART SECONDS: starts the service anew with its clock so far ahead.
clock_of() {
    inside install -d "/run/systemd/system/docksync-$1.service.d"
    printf '[Service]\nEnvironment=LD_PRELOAD=%s FAKETIME_TIMESTAMP_FILE=%s FAKETIME_CACHE_DURATION=1 DONT_FAKE_MONOTONIC=1\n' \
        "$faketime" "/run/docksync-$1.clock" | inside tee "/run/systemd/system/docksync-$1.service.d/clock.conf" >/dev/null
    move "$1" "$2"
    inside systemctl daemon-reload
    inside systemctl restart "docksync-$1"
}
# at SECONDS USER COMMAND...: typed there at that time.
at() {
    local shift=$1 user=$2
    shift 2
    inside sudo -u "$user" env LD_PRELOAD="$faketime" FAKETIME="$(printf %+d "$shift")" "$@"
}
ends() { date -d "$(openssl x509 -noout -enddate -in "$work/root/var/lib/docksync-agent/identity/site.pem" | cut -d= -f2)" +%s; }
# before_end DAYS: how far ahead the clock is when the certificate has so many days left.
before_end() { echo $(($(ends) - $1 * day - $(date +%s))); }
is_renewed() { [ "$(ends)" -gt "$1" ] || { echo "site.pem still ends on $(date -d "@$1")"; return 1; }; }
journal_since() { holds "$(inside journalctl -q --no-pager -u docksync-agent --since "@$1")" "$2"; }

check "a certificate lives 90 days" same $((($(ends) - $(date +%s) + day / 2) / day)) 90

# The clock of a running service jumps, as when it is corrected.
shows() { site_says "$(TZ=America/Chicago date -d "@$(($(date +%s) + $1))" +'%d %b')"; }
knows_days() { holds "$(agent status --json)" "\"certificate_days\":$1,"; }
clock_of agent 0
pid=$(show agent MainPID)
for jump in 1:forward -1:back; do
    move agent $((${jump%:*} * day))
    check "the clock jumps a day ${jump#*:}" until_true 20 shows $((${jump%:*} * day))
    drop /srv/wms/export/ship "${jump#*:}" "4${#jump}1" "4${#jump}3"
    check "... events arrive" until_true 60 has_events "${jump#*:}" 3
    check "... from the process that was there" same "$(show agent MainPID)/$(show agent ActiveState)" "$pid/active"
done
move agent "$(before_end 40)"
check "days pass on a line that holds: the status counts the certificate's days" until_true 10 knows_days 39

# Two thirds of its life are over: nobody has to do anything. The agent looks soon after a start, and then every hour.
was=$(ends) now=$(before_end 29)
clock_of aggregator "$now"
clock_of agent "$now"
check "29 days left: renewed without a person" until_true 75 is_renewed "$was"
check "... and the status knows" until_true 10 knows_days 89
drop /srv/wms/export/ship renewed 11 13
check "... events arrive" until_true 60 has_events renewed 3
inside systemctl restart docksync-agent
drop /srv/wms/export/ship again 14 16
check "... and with the new certificate too" until_true 60 has_events again 3

# Weeks without a line, past two thirds.
was=$(ends) now=$(before_end 15)
inside systemctl stop docksync-aggregator
clock_of agent "$now"
drop /srv/wms/export/ship offline 21 23
check "15 days left, centre is away: files are captured" until_true 60 waits 3
clock_of aggregator "$now"
check "... events arrive when it is back" until_true 60 has_events offline 3
# Within the hour; a start is what a test can wait for.
inside systemctl restart docksync-agent
check "... and the certificate is renewed without a person" until_true 75 is_renewed "$was"

# Expired: needs a person, and says which and what to do.
now=$(before_end -10) since=$(date +%s)
clock_of aggregator "$now"
clock_of agent "$now"
drop /srv/wms/export/ship expired 31 33
check "expired: files are captured" until_true 60 waits 3
check "... the status says so" until_true 15 site_says "certificate has expired"
check "... and what to type, as it can be typed" site_says "sudo -u docksync-agent docksync-agent enroll"
check "... and so does the journal" journal_since "$since" "expired"
check "... with what to do" journal_since "$since" "ask the centre for a new token and enrol again"
# again SECONDS: enrols with a new token while the agent's clock is so far ahead.
again() {
    local token
    token=$(at "$now" docksync-aggregator docksync-aggregator sites token DC7 | grep -o 'dsk1-[^ ]*')
    at "$1" docksync-agent docksync-agent enroll --url https://centre.test:8443 --token-file - <<<"$token"
}
check "... a new token enrols again" again "$now"
check "... and events arrive, without a restart" until_true 60 has_events expired 3
check "... the status is good again" until_true 60 site_says WORKING

# The site's clock is wrong, the certificate is good.
for wrong in ahead:365 behind:-365; do
    far=$((now + ${wrong#*:} * day)) wrong=${wrong%:*}
    clock_of agent "$far"
    drop /srv/wms/export/ship "$wrong" "${#wrong}1" "${#wrong}3"
    check "clock a year $wrong: the service stays up" is_state agent active
    check "... the status says that it is the clock" until_true 15 site_says clock
    again "$far" >"$work/said" 2>&1
    check "... and so does enrolling" holds "$(cat "$work/said")" clock
    clock_of agent "$now"
    check "... corrected: its events arrive" until_true 60 has_events "$wrong" 3
    check "... and nothing waits" until_true 30 waits 0
done
all_once() { local name; for name in today forward back renewed again offline expired ahead behind; do in_ledger "SHIP_$name.csv" 3 || return 1; done; }
check "nothing is lost or doubled" all_once
