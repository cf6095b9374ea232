# The site's disk is full: nothing is lost, the status says so, and with room again all goes on. The state folder moves to a disk
# of 40 MiB, of which somebody else takes a part.

state=/var/lib/docksync-agent small=/mnt/small
inside systemctl stop docksync-agent
inside mkdir -p $small
inside mount -t tmpfs -o size=40m,mode=750 tmpfs $small
inside chown docksync-agent:docksync-agent $small
inside sh -c "cp -a $state/. $small/ && mount --bind $small $state"
inside systemctl stop docksync-aggregator
check "the agent starts on a small disk" inside systemctl start docksync-agent
pid=$(show agent MainPID)
# Somebody else's file: 1.5 MiB above the ballast that the agent keeps are left.
free=$(inside df --output=avail -B1 $small | tail -n 1)
inside fallocate -l $((free - (19 << 19))) $small/of-somebody-else

export=/srv/wms/export/ship files=20 rows=2000
for file in $(seq $files); do
    drop $export "full-$file" $((100000 + file * rows)) $((100000 + file * rows + rows - 1))
done
check "full: the status says so" until_true 120 site_says "disk is full"
check "... monitoring too" same "$(agent status --check >/dev/null; echo $?)" 2
left() { inside sh -c "ls $export | grep -c '^SHIP_full.*csv'"; }
before=$(left)
check "... exports stay in their folder: $before of $files" test "$before" -gt 0
check "... what was taken is kept: $(waiting) events" test "$(waiting)" -gt 0
check "... the service is the one that was started" same "$(show agent MainPID)/$(show agent ActiveState)" "$pid/active"
# The rest of the disk goes too, to the last byte: even deleting needs room then, which only the ballast gives.
inside dd if=/dev/zero of=$small/of-somebody-else-too bs=64k status=none 2>/dev/null
check "... not one byte is left" same "$(inside df --output=avail -B1 $small | tail -n 1 | tr -d ' ')" 0

inside systemctl start docksync-aggregator
check "the centre is back: what is stored goes out, on the full disk" until_true 90 waits 0
check "... the service is still the same" same "$(show agent MainPID)" "$pid"
inside rm $small/of-somebody-else $small/of-somebody-else-too
empty() { same "$(left)" 0; }
check "room is made: all exports are taken" until_true 120 empty
all_arrived() { local file; for file in $(seq $files); do has_events "full-$file" $rows || return 1; done; }
check "... every event arrives, each once" until_true 120 all_arrived
check "... the status is good again" until_true 60 site_says WORKING
check "... it never died" same "$(show agent MainPID)" "$pid"
check "... and every chain holds" agent queue verify

inside systemctl stop docksync-agent
inside umount $state
inside sh -c "find $state -mindepth 1 -delete && cp -a $small/. $state/ && umount $small && rmdir $small"
inside systemctl start docksync-agent
check "back on its own disk" until_true 30 is_state agent active
