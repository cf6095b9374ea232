# Settings by `docksync-agent init` alone: it finds what lies there, and its drop-in opens a folder with a blank in its name, and one below
# /home, to the service.

another_machine
check "aggregator and agent install" inside sh -c "dpkg -i $packages_in/old/docksync-a*.deb 2>&1"
centre_settings
check "centre: starts" inside systemctl start docksync-aggregator
inside useradd --create-home wms
inside install -d -m 2775 -o wms -g wms "/srv/wms/ship out" /home/wms/export
inside chmod 755 /home/wms
# plain FOLDER NAME NUMBER: an export whose columns tell what they are.
plain() {
    printf 'order_number,shipment_number,sku,quantity,ship_time\nSO-%s,S-%s,4711,5,2026-11-23T10:00:00\n' "$3" "$3" |
        inside sudo -u wms tee "$1/SHIP_$2.csv" >/dev/null
}
plain "/srv/wms/ship out" 20261123 1
plain /home/wms/export 20261124 2

said=$(inside docksync-agent init --no-input --site DC7 --time-zone America/Chicago --centre centre.test 2>&1)
check "init writes settings that are good" holds "$said" "0 errors"
check "... and says what comes next" holds "$said" "sudo -u docksync-agent docksync-agent enroll"
check "... the service's user may read them" inside sudo -u docksync-agent cat /etc/docksync/agent.toml
check "a second init changes nothing" refuses inside docksync-agent init --no-input --site DC8
check "... the settings are as they were" inside grep -q '"DC7"' /etc/docksync/agent.toml
check "the site enrols" enroll DC7
inside systemctl daemon-reload
check "the drop-in opens a folder with a blank in its name" holds \
    "$(inside systemctl show -p ReadWritePaths docksync-agent)" "/srv/wms/ship out"
check "... and one below /home" holds "$(inside systemctl show -p BindPaths docksync-agent)" "/home/wms/export"
check "... and joins the group that may write there" holds \
    "$(inside systemctl show -p SupplementaryGroups docksync-agent)" "$(inside id -g wms)"
check "... and starts" inside systemctl start docksync-agent
check "what lay in the folder with a blank is in the ledger" until_true 60 has_events 20261123 1
check "what lay below /home too" until_true 60 has_events 20261124 1
gone() { refuses inside test -e "$1"; }
check "... and both were taken out of their folders" until_true 30 gone "/srv/wms/ship out/SHIP_20261123.csv"
check "... also below /home" until_true 30 gone /home/wms/export/SHIP_20261124.csv
