left=0
[ ! -e "$state/ledger.sqlite" ] || left=ledger
