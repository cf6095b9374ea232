# The ledger and the authority's keys exist once: sites delete what it has, and trust nobody else.
if [ -e "$state/ledger.sqlite" ] && [ "${DOCKSYNC_PURGE_LEDGER:-}" != 1 ]; then
    cat >&2 <<TEXT
docksync-aggregator: purge refused, nothing was deleted from $state.
  It holds the ledger of all sites and the keys by which they know the centre.
  To keep a copy: install docksync-aggregator again, and run: docksync-aggregator backup FILE
  To delete them: DOCKSYNC_PURGE_LEDGER=1 dpkg --purge docksync-aggregator
TEXT
    exit 1
fi
rm -rf "$state"
rm -f /etc/docksync/aggregator.toml
