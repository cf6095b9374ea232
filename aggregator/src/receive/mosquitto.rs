//! Configuration of an outside Mosquitto 2: the same rights, by its access list, as the embedded listener gives.

use std::{fmt::Write, net::SocketAddr, path::Path};

use docksync_proto::topic::{CENTRE, Leaf, ROOT};

use super::listener::PACKET_BYTES_MAX;
use crate::pki::CENTRE_NAME;

/// Messages that Mosquitto keeps for a subscriber that is away or slow; the centre subscribes with a clean start.
const QUEUED_MESSAGES_MAX: u32 = 10_000;

/// What Mosquitto must know.
#[derive(Debug, Clone)]
pub struct MosquittoSettings<'a> {
    /// Where it listens for sites and for the centre.
    pub addr: SocketAddr,
    /// `trust.pem` of the authority: all that count while it is being replaced.
    pub ca: &'a Path,
    /// `server.pem`.
    pub certificate: &'a Path,
    /// `server.key`; the user that Mosquitto runs as must be able to read it.
    pub key: &'a Path,
    /// `crl.pem`; after each revocation Mosquitto needs a SIGHUP, and live sessions end only when they reconnect.
    pub crl: &'a Path,
    /// The access list of [`acl`].
    pub acl: &'a Path,
    /// Folder of its database.
    pub persistence: &'a Path,
    /// Unacknowledged messages per client.
    pub inflight_max: u16,
}

/// The text of `mosquitto.conf`.
pub fn config(settings: &MosquittoSettings<'_>) -> String {
    let MosquittoSettings { addr, ca, certificate, key, crl, acl, persistence, inflight_max } = settings;
    let (ca, certificate, key, crl) = (ca.display(), certificate.display(), key.display(), crl.display());
    let (acl, port, ip) = (acl.display(), addr.port(), addr.ip());
    // The broker wants one slash at its end.
    let persistence = persistence.to_string_lossy();
    let persistence = persistence.trim_end_matches('/');
    format!(
        "# Written by docksync-aggregator for Mosquitto 2.0 or later.
per_listener_settings false
listener {port} {ip}
allow_anonymous false
require_certificate true
use_identity_as_username true
use_username_as_clientid true
cafile {ca}
certfile {certificate}
keyfile {key}
crlfile {crl}
tls_version tlsv1.2
acl_file {acl}
max_packet_size {PACKET_BYTES_MAX}
max_inflight_messages {inflight_max}
max_queued_messages {QUEUED_MESSAGES_MAX}
max_keepalive 120
set_tcp_nodelay true
persistence true
persistence_location {persistence}/
autosave_interval 60
"
    )
}

/// The text of the access list: `%u` is the common name of the client's certificate.
pub fn acl() -> String {
    let mut text = format!(
        "# Written by docksync-aggregator. A site uses its own topics and no others.
user {CENTRE_NAME}
topic readwrite {ROOT}/#

pattern read {CENTRE}
"
    );
    for leaf in Leaf::ALL {
        let access = if leaf.is_from_site() { "write" } else { "read" };
        // Writing to a String cannot fail.
        let written = writeln!(text, "pattern {access} {ROOT}/%u/{}", leaf.as_str());
        debug_assert!(written.is_ok());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_access_list_gives_each_site_its_own_topics_and_no_others() {
        let text = acl();
        let rules: Vec<_> =
            text.lines().filter(|line| line.starts_with("pattern") || line.starts_with("topic")).collect();

        assert_eq!(
            rules,
            [
                "topic readwrite docksync/1/#",
                "pattern read docksync/1/centre",
                "pattern write docksync/1/%u/state",
                "pattern write docksync/1/%u/up/batch",
                "pattern write docksync/1/%u/up/hello",
                "pattern write docksync/1/%u/up/beat",
                "pattern read docksync/1/%u/up/mark",
                "pattern read docksync/1/%u/down/batch",
                "pattern write docksync/1/%u/down/mark",
            ]
        );
    }
}
