//! The way between agent and centre over mutual TLS: through the embedded endpoint, and through a real Mosquitto.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "transport/hub.rs"]
mod hub;

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use docksync_agent::uplink::mqtt::{AckReason, Connection, Event, LostReason, Source};
use docksync_aggregator::receive::transport::RefuseCode;
use docksync_proto::topic::{self, CENTRE, Leaf};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use hub::{Hub, Site, WILL, site_id, within};

async fn connected(site: &Site) -> Connection {
    let mut connection = Connection::open(&site.settings());
    assert!(matches!(within("login", connection.next()).await, Event::Connected));
    assert!(matches!(within("subscription", connection.next()).await, Event::Subscribed));
    connection
}

async fn lost(connection: &mut Connection) -> LostReason {
    loop {
        if let Event::Lost { why } = within("the end", connection.next()).await {
            return why;
        }
    }
}

async fn message(connection: &mut Connection) -> (Source, Bytes) {
    loop {
        match within("a message", connection.next()).await {
            Event::Message { source, payload } => return (source, payload),
            Event::Lost { why } => panic!("lost: {why}"),
            Event::Connected | Event::Subscribed | Event::PubAck { .. } => {}
        }
    }
}

async fn acknowledgement(connection: &mut Connection) -> (u64, AckReason) {
    loop {
        match within("an acknowledgement", connection.next()).await {
            Event::PubAck { token, reason } => return (token, reason),
            Event::Lost { why } => panic!("lost: {why}"),
            Event::Connected | Event::Subscribed | Event::Message { .. } => {}
        }
    }
}

/// What must hold whichever transport lies between.
async fn carries_both_ways(mut hub: Hub) {
    let site = hub.enroll("DC-1").await;
    hub.outbound.set_centre(Bytes::from_static(b"{\"online\":true}")).await.unwrap();
    let mut connection = connected(&site).await;
    assert_eq!(message(&mut connection).await, (Source::Centre, Bytes::from_static(b"{\"online\":true}")));

    connection.try_publish(Leaf::State, Bytes::from_static(b"{\"online\":true}"), 6).unwrap();
    let state = hub.inbound(Leaf::State).await;
    state.done.ack();
    assert_eq!(acknowledgement(&mut connection).await, (6, AckReason::Success));
    let presence = hub.presence().await;
    assert_eq!((presence.site, presence.online), (site_id("DC-1"), true));

    let frame = Bytes::from(vec![7; 64 * 1024]);
    connection.try_publish(Leaf::UpBatch, frame.clone(), 7).unwrap();
    let batch = hub.inbound(Leaf::UpBatch).await;
    assert_eq!((&batch.site, &batch.payload), (&site_id("DC-1"), &frame));
    batch.done.ack();
    assert_eq!(acknowledgement(&mut connection).await, (7, AckReason::Success));

    hub.outbound.publish(&site_id("DC-1"), Leaf::UpMark, Bytes::from_static(b"mark")).await.unwrap();
    assert_eq!(message(&mut connection).await, (Source::Leaf(Leaf::UpMark), Bytes::from_static(b"mark")));

    // A topic that belongs to the centre: refused with 0x87, and the session goes on.
    connection.try_publish(Leaf::UpMark, Bytes::from_static(b"forged"), 8).unwrap();
    assert_eq!(acknowledgement(&mut connection).await, (8, AckReason::NotAuthorized));

    drop(connection);
    let will = hub.inbound(Leaf::State).await;
    assert_eq!(will.payload, WILL);
    will.done.ack();
    assert!(!hub.presence().await.online);

    let mut first = connected(&site).await;
    let mut second = connected(&site).await;
    let why = lost(&mut first).await;
    // Mosquitto 2.0.11 closes the earlier connection without a word.
    let is_silent = hub.is_foreign() && matches!(why, LostReason::Network(_));
    assert!(matches!(why, LostReason::TakenOver) || is_silent, "{why:?}");
    second.try_publish(Leaf::UpBeat, Bytes::from_static(b"beat"), 9).unwrap();
    hub.inbound(Leaf::UpBeat).await.done.ack();
    assert_eq!(acknowledgement(&mut second).await, (9, AckReason::Success));
    second.close(Duration::from_secs(5)).await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_endpoint_carries_both_ways() {
    carries_both_ways(Hub::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mosquitto_with_the_generated_configuration_carries_both_ways() {
    match Hub::mosquitto().await {
        Some(hub) => carries_both_ways(hub).await,
        None => hub::say("skipped: no mosquitto here"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_waits_for_the_receiving_room_and_keeps_the_order() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let mut connection = connected(&site).await;
    connection.try_publish(Leaf::UpBatch, Bytes::from_static(b"one"), 1).unwrap();
    connection.try_publish(Leaf::UpBatch, Bytes::from_static(b"two"), 2).unwrap();
    let one = hub.inbound(Leaf::UpBatch).await;
    let two = hub.inbound(Leaf::UpBatch).await;

    two.done.refuse(RefuseCode::QuotaExceeded);
    hub.outbound.publish(&site_id("DC-1"), Leaf::UpMark, Bytes::from_static(b"mark")).await.unwrap();
    // The mark was written after the second verdict: had an acknowledgement gone out, it would come first.
    let next = within("the mark", connection.next()).await;
    assert!(matches!(next, Event::Message { source: Source::Leaf(Leaf::UpMark), .. }), "{next:?}");
    one.done.ack();

    assert_eq!(acknowledgement(&mut connection).await, (1, AckReason::Success));
    assert_eq!(acknowledgement(&mut connection).await, (2, AckReason::QuotaExceeded));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_room_drops_is_never_acknowledged_and_ends_the_connection() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let mut connection = connected(&site).await;
    connection.try_publish(Leaf::UpBatch, Bytes::from_static(b"one"), 1).unwrap();

    drop(hub.inbound(Leaf::UpBatch).await);

    let next = within("the end", connection.next()).await;
    assert!(matches!(next, Event::Lost { why: LostReason::ServerClosed { .. } }), "{next:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_messages_than_the_room_takes_wait_and_lose_nothing() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let mut connection = connected(&site).await;
    let room = connection.room();

    for token in 0..room as u64 {
        connection.try_publish(Leaf::UpBatch, Bytes::copy_from_slice(&token.to_be_bytes()), token).unwrap();
    }
    assert!(connection.try_publish(Leaf::UpBatch, Bytes::new(), 99).is_err());
    for token in 0..room as u64 {
        let message = hub.inbound(Leaf::UpBatch).await;
        assert_eq!(message.payload, token.to_be_bytes().as_slice());
        message.done.ack();
    }

    for token in 0..room as u64 {
        assert_eq!(acknowledgement(&mut connection).await, (token, AckReason::Success));
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_do_not_hold_a_login_up() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(("127.0.0.1", hub.port)).await.unwrap());
    }

    let connection = connected(&site).await;

    drop(connection);
    hub.stop().await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_nobody_gets_in() {
    let hub = Hub::embedded().await;
    let connector = tokio_rustls::TlsConnector::from(hub.tls_without_certificate());
    let tcp = TcpStream::connect(("127.0.0.1", hub.port)).await.unwrap();

    // In TLS 1.3 the client is done before the server has looked at its certificate: the first read tells.
    let refused = match connector.connect("localhost".try_into().unwrap(), tcp).await {
        Ok(mut stream) => within("the alert", stream.read_u8()).await.unwrap_err(),
        Err(error) => error,
    };

    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_cannot_log_in_with_the_will_of_another() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let mut settings = site.settings();
    settings.site = site_id("DC-2");

    let mut connection = Connection::open(&settings);

    assert!(matches!(lost(&mut connection).await, LostReason::NotAuthorized));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_closes_the_live_session_and_refuses_the_next() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let mut connection = connected(&site).await;

    hub.revoke("DC-1");

    assert!(matches!(lost(&mut connection).await, LostReason::NotAuthorized));
    let mut again = Connection::open(&site.settings());
    assert!(matches!(lost(&mut again).await, LostReason::NotAuthorized));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_stop_the_site_hears_that_the_centre_shuts_down() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let mut connection = connected(&site).await;

    hub.stop().await;

    assert!(matches!(lost(&mut connection).await, LostReason::ServerShuttingDown));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_way_is_named() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let mut wrong_name = site.settings();
    wrong_name.host = "127.0.0.2".to_owned();
    let mut no_port = site.settings();
    no_port.port = 1;
    let mut no_host = site.settings();
    no_host.host = "centre.invalid".to_owned();

    let name = lost(&mut Connection::open(&wrong_name)).await;
    let port = lost(&mut Connection::open(&no_port)).await;
    let host = lost(&mut Connection::open(&no_host)).await;

    // The endpoint listens on 127.0.0.1 only, so the other loopback address refuses.
    assert!(matches!(name, LostReason::TcpRefused { .. }), "{name}");
    assert!(matches!(port, LostReason::TcpRefused { .. }), "{port}");
    assert!(matches!(host, LostReason::Dns { .. }), "{host}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_centre_is_an_unknown_authority() {
    let mut hub = Hub::embedded().await;
    let mut other = Hub::embedded().await;
    let (site, stranger) = (hub.enroll("DC-1").await, other.enroll("DC-1").await);
    let mut settings = site.settings();
    settings.port = other.port;

    let why = lost(&mut Connection::open(&settings)).await;
    assert_eq!(why.to_string(), "the certificate shown is not of the centre's authority");
    let error = hub.enroll_with(&stranger.token, "DC-1").await.unwrap_err();
    assert!(error.to_string().contains("is not the centre that gave this token"), "{error}");
    hub.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_enrols_once_and_a_certificate_renews() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let before = std::fs::read(site.dir.join("site.key")).unwrap();

    let error = hub.enroll_with(&site.token, "elsewhere").await.unwrap_err();
    assert!(error.to_string().contains("already used by DC-1 (127.0.0.1)"), "{error}");
    let renewed = docksync_agent::enroll::renew(&site.dir, hub::now()).await.unwrap();

    assert_eq!(renewed.site, site_id("DC-1"));
    assert_ne!(std::fs::read(site.dir.join("site.key")).unwrap(), before);
    let site = Site { identity: renewed, ..site };
    drop(connected(&site).await);
    hub.stop().await;
}

/// Runs a foreign client with the site's certificate; `None` where it is not installed.
async fn foreign(port: u16, site: &Site, program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let port = port.to_string();
    let file = |name: &str| site.dir.join(name).display().to_string();
    let (ca, certificate, key) = (file("ca.pem"), file("site.pem"), file("site.key"));
    let mut command = Command::new(program);
    command
        .args(["-h", "localhost", "-p", &port, "--cafile", &ca, "--cert", &certificate, "--key", &key])
        .args(arguments)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = match within(program, output).await.unwrap() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            hub::say(&format!("skipped: no {program} here"));
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_pub_publishes_its_own_topics_and_is_refused_others() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    let (own, other) = (topic::of(&site_id("DC-1"), Leaf::UpBatch), topic::of(&site_id("DC-2"), Leaf::UpBatch));
    let (port, mut receiver) = (hub.port, hub.take_receiver());
    let mut room = JoinSet::new();
    room.spawn(async move {
        let message = receiver.recv().await.expect("a message");
        message.done.ack();
        (message.site, message.payload)
    });

    let arguments = ["-V", "mqttv5", "-q", "1", "-m", "hello", "-t"];
    let Some(refused) = foreign(port, &site, "mosquitto_pub", &[&arguments[..], &[&other]].concat()).await else {
        return hub.stop().await;
    };
    let taken = foreign(port, &site, "mosquitto_pub", &[&arguments[..], &[&own]].concat()).await;
    let old = foreign(port, &site, "mosquitto_pub", &["-V", "mqttv311", "-m", "hello", "-t", &own]).await;

    assert!(refused.1.contains("Not authorized"), "{refused:?}");
    assert_eq!(taken, Some((true, String::new())));
    assert_eq!(
        within("the room", room.join_next()).await.unwrap().unwrap(),
        (site_id("DC-1"), Bytes::from_static(b"hello"))
    );
    assert!(old.as_ref().is_some_and(|(ok, text)| !ok && text.contains("protocol version")), "{old:?}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_sub_hears_the_centre_and_no_wildcards() {
    let mut hub = Hub::embedded().await;
    let site = hub.enroll("DC-1").await;
    hub.outbound.set_centre(Bytes::from_static(b"centre is here")).await.unwrap();

    for qos in ["0", "1"] {
        let arguments = ["-V", "mqttv5", "-q", qos, "-C", "1", "-t", CENTRE];
        let Some(heard) = foreign(hub.port, &site, "mosquitto_sub", &arguments).await else { break };
        assert_eq!(heard, (true, "centre is here\n".to_owned()), "QoS {qos}");
        let all = foreign(hub.port, &site, "mosquitto_sub", &["-V", "mqttv5", "-q", qos, "-t", "docksync/1/#"]).await;
        assert!(all.as_ref().is_some_and(|(_, text)| text.contains("denied")), "{all:?}");
    }
    hub.stop().await;
}
