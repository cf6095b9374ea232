# The README's chapter "Install for real", typed as it stands there by an administrator with sudo, on a machine that has nothing.
# Edited is only what it tells the reader to edit. What a site has before Docksync comes: a WMS, its folders, a name in the DNS.

chapter() { awk '/^## / { inside = ($0 == "## Install for real") } inside' "$root/README.md"; }
chapter_commands() { chapter | sed -n 's/^    \([^#]*[^# ]\).*/\1/p'; }
by_admin() { inside sudo -H -u admin bash -c "cd; $1" <<<"$token" | tee "$work/said"; }

inside useradd --create-home --shell /bin/bash admin
inside tee /etc/sudoers.d/admin >/dev/null <<<'admin ALL=(ALL) NOPASSWD: ALL'
inside sh -c "cp $packages_in/old/*.deb /home/admin/"
inside useradd --create-home wms
inside install -d -o wms -g wms /srv/wms /srv/wms/export /srv/wms/export/{pick,ship,receipt,stock,events}
head -n 2 "$root/tests/golden/feeds/pick-csv.csv" | inside tee /home/admin/PICK_20261123.csv >/dev/null

# What the reader does between two commands, for the comments and the text beside them say so.
between() {
    case $1 in
        *'cp /usr/share/docksync/aggregator.toml '*)
            # Destinations: the two that need a server of their own go.
            inside perl -0pi -e 's/\[\[consumer\]\]\nname = "erp-api".*?(?=# Reconciliation)//s' /etc/docksync/aggregator.toml ;;
        *'cp -r /usr/share/docksync/agent.toml '*)
            inside sed -i -e 's/^id = "DC7"/id = "DC01"/' -e 's/^host = .*/host = "centre.example.com"/' /etc/docksync/agent.toml ;;
        *'docksync-aggregator sites add '*) token=$(grep -o 'dsk1-[^ ]*' "$work/said") ;;
        *'export-folder.conf.example '*)
            inside chgrp -R docksync-agent /srv/wms/export
            inside chmod -R g+ws /srv/wms/export ;;
    esac
}

token='' begun=$SECONDS
while read -r command <&3; do
    # Run by make_packages in lib.sh: it needs Rust, and minutes.
    [ "$command" != ./packaging/build ] || continue
    check "typed: $command" by_admin "$command"
    between "$command"
done 3< <(chapter_commands)
drop /srv/wms/export/ship first 1 1
check "the first export is in the ledger" until_true 120 has_events first 1
printf 'info    from the first command to the first event in the ledger: %d s\n' $((SECONDS - begun))

taken() { refuses inside test -e "$1"; }
check "... and was taken out of its folder" until_true 30 taken /srv/wms/export/ship/SHIP_first.csv
for part in agent aggregator; do
    check "$part: active and enabled" same "$(show "$part" ActiveState)/$(show "$part" UnitFileState)" active/enabled
done
check "the site's status says that it works" until_true 30 site_says WORKING
said=$(inside sudo -u admin docksync-agent status 2>&1)
check "... and to who may not look, not that no agent runs" refuses holds "$said" "no agent runs"
said=$(inside sudo -u admin docksync-aggregator check 2>&1)
check "... and that a ledger is there, not that it will be created" refuses holds "$said" "will be created"

# The table below the commands.
there() { typed "for path in $1; do ls -d \$path >/dev/null || exit 1; done"; }
# shellcheck disable=SC2016 # backquotes of Markdown
check "every path of the chapter is there" there "$(chapter | grep -o '`/[^` ]*`' | tr -d '\`' | tr '\n' ' ')"
listens() { inside ss -Hltn | awk '{ print $4 }' | sort | tr '\n' ' '; }
check "the ports are those of the chapter" same "$(listens)" "0.0.0.0:8443 0.0.0.0:8883 127.0.0.1:8077 127.0.0.1:8078 "
check "the users are those of the chapter" inside id docksync-agent docksync-aggregator
check "the packages put nothing below /etc/docksync, and nothing of the administrator's was touched" same \
    "$(typed 'dpkg -L docksync-agent docksync-aggregator | grep "^/etc/" | sort -u')" /etc/docksync
