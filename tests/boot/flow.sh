# Exports become events in the ledger, from folders that the sandbox closes and a drop-in opens.

headline() { [ -n "$(show "$1" StatusText)" ]; }
for part in agent aggregator; do
    check "$part: systemctl status tells the headline" until_true 20 headline "$part"
done
drop /srv/wms/export/ship readonly 1 3
check "a folder that may only be read: events arrive" until_true 60 has_events readonly 3
check "... and the export stays where it is" inside test -e /srv/wms/export/ship/SHIP_readonly.csv

inside install -D -m 644 /usr/share/doc/docksync-agent/examples/export-folder.conf.example \
    /etc/systemd/system/docksync-agent.service.d/export-folder.conf
inside sed -i -e 's/^#BindPaths=/BindPaths=/' -e 's/^#SupplementaryGroups=/SupplementaryGroups=/' \
    /etc/systemd/system/docksync-agent.service.d/export-folder.conf
inside chmod 2775 /srv/wms/export/ship /home/wms/export
inside chmod 750 /home/wms
inside sh -c 'echo private >/home/wms/private; chmod 644 /home/wms/private'
inside systemctl daemon-reload
check "with the drop-in that opens /srv and /home: starts" inside systemctl restart docksync-agent
drop /srv/wms/export/ship srv 11 13
drop /home/wms/export home 21 23
check "/srv: events arrive" until_true 60 has_events srv 3
check "/home: events arrive" until_true 60 has_events home 3
gone() { refuses inside test -e "$1"; }
check "/srv: the export was taken out of its folder" until_true 20 gone /srv/wms/export/ship/SHIP_srv.csv
check "/home: the export was taken out of its folder" until_true 20 gone /home/wms/export/SHIP_home.csv
check "each event is in the ledger once" in_ledger SO-12 1

# The sandbox as the process has it.
within() { inside nsenter --target "$(show agent MainPID)" --mount -- "$@"; }
fact() { inside sed -n "s/^$2:[[:space:]]*//p" "/proc/$(show "$1" MainPID)/status"; }
check "the rest of /home is hidden" refuses within test -e /home/wms/private
for part in agent aggregator; do
    check "$part: no capability" same "$(fact "$part" CapEff)" 0000000000000000
    check "$part: no new privileges" same "$(fact "$part" NoNewPrivs)" 1
    check "$part: system calls are filtered" same "$(fact "$part" Seccomp)" 2
    check "$part: the system is read-only to it" refuses \
        inside nsenter --target "$(show "$part" MainPID)" --mount -- touch /etc/docksync/probe
done
