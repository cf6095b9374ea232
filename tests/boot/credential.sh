# A destination's secret: root's file, handed to the service alone by LoadCredential=.

secret="Bearer $(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')"
seen=$work/authorization
: >"$seen"
nsenter --target "$pid1" --net -- python3 - "$seen" <<'PY' 2>/dev/null &
import http.server, sys
class Erp(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with open(sys.argv[1], "a") as seen:
            print(self.headers.get("Authorization"), file=seen)
        self.send_response(200)
        self.send_header("Content-Length", "11")
        self.end_headers()
        self.wfile.write(b'{"id":"D1"}')
http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Erp).serve_forever()
PY
erp=$!

inside tee -a /etc/docksync/aggregator.toml >/dev/null <<'TOML'

[[consumer]]
name = "erp"
kind = "http"
url = "http://127.0.0.1:8099/events"
authorization_file = "/run/credentials/docksync-aggregator.service/erp"
TOML
printf '%s\n' "$secret" | inside sh -c 'umask 077; cat >/etc/docksync/erp.authorization'
check "the secret is root's alone" same "$(inside stat -c '%U %a' /etc/docksync/erp.authorization)" "root 600"
check "check takes the settings, whoever types it" inside sudo -u nobody docksync-aggregator check
check "... root too" inside docksync-aggregator check

check "without LoadCredential= the service starts: one destination waits, no site does" inside systemctl restart docksync-aggregator
check "... and the journal names the file" until_true 20 journal_says aggregator /run/credentials/docksync-aggregator.service/erp
inside install -d /etc/systemd/system/docksync-aggregator.service.d
inside tee /etc/systemd/system/docksync-aggregator.service.d/credentials.conf >/dev/null \
    <<<$'[Service]\nLoadCredential=erp:/etc/docksync/erp.authorization'
inside systemctl daemon-reload
check "with it the service starts, on a machine without ca-certificates" inside systemctl restart docksync-aggregator
inside install -D -m 644 /var/lib/docksync-aggregator/pki/ca.pem /etc/ssl/certs/ca-certificates.crt
check "... and with authorities of the system" inside systemctl restart docksync-aggregator
drop /srv/wms/export/ship secret 7001 7003
check "... events arrive" until_true 60 has_events secret 3
told() { [ -s "$seen" ] || { echo "nothing came"; return 1; }; }
check "... and are told to the destination" until_true 60 told
check "... each with the secret" same "$(sort -u "$seen")" "$secret"

check "commands need no secret" centre consumers list
check "other users cannot read it" refuses inside sudo -u wms cat /run/credentials/docksync-aggregator.service/erp
pid=$(show aggregator MainPID)
check "it is in no environment and no command line" refuses \
    inside grep -aq "${secret#Bearer }" "/proc/$pid/environ" "/proc/$pid/cmdline"
check "... and not in the journal" refuses journal_says aggregator "${secret#Bearer }"

kill "$erp"
centre_settings
inside rm -r /etc/systemd/system/docksync-aggregator.service.d /etc/docksync/erp.authorization
inside systemctl daemon-reload
inside systemctl reset-failed docksync-aggregator
check "runs on without that destination" inside systemctl restart docksync-aggregator
