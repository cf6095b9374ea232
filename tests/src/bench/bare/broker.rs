//! A Mosquitto with TLS on loopback, and the two clients of the bare pipeline.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use rumqttc::{
    AsyncClient, Broker as Address, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS, TlsConfiguration,
    Transport,
};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;

const PROGRAM: &str = "mosquitto";
/// Where distributions put it; not every user has the folder in the path.
const PLACES: &[&str] = &["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
const TOPIC: &str = "bare/batch";
const IN_FLIGHT: u16 = 48;
const PACKET_BYTES_MAX: u32 = 1 << 20;
const KEEP_ALIVE_SECS: u16 = 30;

/// The broker; ended when dropped.
pub(super) struct Broker {
    child: Child,
    port: u16,
    certificate: CertificateDer<'static>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended before; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Broker {
    /// Starts it; `None` where it is not installed.
    pub(super) fn start(dir: &Path) -> anyhow::Result<Option<Self>> {
        let program = PLACES.iter().find(|p| Path::new(p).exists()).copied().unwrap_or(PROGRAM);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        fs::write(dir.join("server.pem"), made.cert.pem())?;
        fs::write(dir.join("server.key"), made.signing_key.serialize_pem())?;
        // Mosquitto cannot bind port 0 and tell; the port is free a moment before.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (certificate, key) = (dir.join("server.pem"), dir.join("server.key"));
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\ncertfile {}\nkeyfile {}\nset_tcp_nodelay true\n\
             max_inflight_messages {IN_FLIGHT}\nmax_queued_messages 0\nlog_dest none\n",
            certificate.display(),
            key.display()
        );
        let config = dir.join("mosquitto.conf");
        fs::write(&config, text)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else { return Ok(None) };
        let broker = Self { child, port, certificate: made.cert.der().clone() };
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        crate::harness::await_that("mosquitto's port", Duration::from_secs(10), is_up)?;
        Ok(Some(broker))
    }

    fn client(&self, name: &str) -> anyhow::Result<(AsyncClient, EventLoop)> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut options = MqttOptions::new(name, Address::tcp("localhost", self.port));
        options
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))))
            .set_keep_alive(KEEP_ALIVE_SECS)
            .set_clean_start(true)
            .set_max_packet_size(Some(PACKET_BYTES_MAX))
            .set_outgoing_inflight_upper_limit(IN_FLIGHT);
        Ok(AsyncClient::builder(options).capacity(usize::from(IN_FLIGHT)).build())
    }

    /// Publishes what is handed over, until the door closes and everything is acknowledged.
    pub(super) fn send(&self, batches: &mpsc::Receiver<Vec<u8>>) -> anyhow::Result<()> {
        let (client, mut polls) = self.client("bare-edge")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut sent, mut acked, mut is_over) = (0_u64, 0_u64, false);
        runtime.block_on(async {
            // While it connects the library starts over when its future is dropped.
            while !matches!(polls.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
            while !is_over || acked < sent {
                // What waits goes out at once; else the connection is driven, at most a moment.
                while !is_over && sent - acked < u64::from(IN_FLIGHT) {
                    match batches.try_recv() {
                        Ok(body) => {
                            client.try_publish(TOPIC, body, PublishOptions::at_least_once())?;
                            sent += 1;
                        }
                        Err(mpsc::TryRecvError::Empty) => break,
                        Err(mpsc::TryRecvError::Disconnected) => is_over = true,
                    }
                }
                if let Ok(event) = tokio::time::timeout(Duration::from_millis(1), polls.poll()).await
                    && let Event::Incoming(Packet::PubAck(_)) = event?
                {
                    acked += 1;
                }
            }
            anyhow::Ok(())
        })
    }

    /// Hands over what arrives until all batches of so many events have.
    pub(super) fn receive(
        &self,
        events: u64,
        arrived: &mpsc::SyncSender<Vec<u8>>,
        subscribed: &mpsc::SyncSender<()>,
    ) -> anyhow::Result<()> {
        let (client, mut polls) = self.client("bare-centre")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut left = events.div_ceil(super::BATCH as u64);
        runtime.block_on(async {
            client.subscribe(TOPIC, QoS::AtLeastOnce).await?;
            while left > 0 {
                match polls.poll().await? {
                    Event::Incoming(Packet::SubAck(_)) => subscribed.send(())?,
                    Event::Incoming(Packet::Publish(publish)) => {
                        left -= 1;
                        arrived.send(publish.payload.to_vec())?;
                    }
                    _ => {}
                }
            }
            anyhow::Ok(())
        })
    }
}
