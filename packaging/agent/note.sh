# The program is gone when a purge comes, so what waits is counted now. Settings of its own, because those of the site may be
# broken, and because only this folder is ever purged.
left=unknown
if [ ! -e "$state/queue.db" ]; then
    left=0
elif settings=$(mktemp); then
    printf '[site]\nid = "X"\ntime_zone = "UTC"\n[centre]\nhost = "localhost"\n[state]\ndir = "%s"\n' "$state" >"$settings"
    answer=$(docksync-agent queue stat --json --config "$settings" 2>&1) || answer=
    case $answer in
        *'"waiting":'*) left=$(printf '%s' "$answer" | sed -n 's/.*"waiting":\([0-9][0-9]*\).*/\1/p') ;;
        'nothing was captured yet'*) left=0 ;;
    esac
    rm -f "$settings"
fi
