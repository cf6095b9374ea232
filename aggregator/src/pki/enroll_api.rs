//! Enrolment over HTTPS: `POST /enroll` with a token, `POST /renew` with a signature by the present key.
//!
//! Takes JSON, gives JSON; errors are RFC 9457 problems with a stable `code` and a `next_step`. Bodies are limited to 16
//! KiB, failures to ten a minute and address, for which the answer is 429. What is read of the caller is never logged.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, State, rejection::JsonRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use docksync_proto::identity::hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Pki, PkiError};

const BODY_BYTES_MAX: usize = 16 * 1024;
const FAILURES_PER_MINUTE_MAX: u32 = 10;
/// Addresses whose failures are remembered at once.
const ADDRESSES_MAX: usize = 4096;
const STOP_WITHIN: Duration = Duration::from_secs(5);
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// What `POST /enroll` takes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// The token.
    pub token: String,
    /// PKCS#10 request in PEM; its common name is the site.
    pub csr: String,
}

/// What `POST /renew` takes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// Present certificate, in PEM.
    pub certificate: String,
    /// PKCS#10 request in PEM, for the present or a new key.
    pub csr: String,
    /// Ed25519 signature by the present key over the bytes of `csr`, in hex.
    pub signature: String,
}

/// What both give.
#[derive(Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Certificate of the site and of the authority, in PEM.
    pub certificate: String,
    /// Certificate of the authority, in PEM; while it is being replaced that of the next one behind it.
    pub ca: String,
    /// Key that verifies the centre's frames, in hex.
    pub centre_public_key: String,
    /// Where the agent connects.
    pub mqtt_host: String,
    /// Where the agent connects.
    pub mqtt_port: u16,
}

/// The authority behind the API.
#[derive(Clone)]
pub struct EnrollState {
    pki: Arc<Mutex<Pki>>,
    mqtt_host: Arc<str>,
    mqtt_port: u16,
    clock: fn() -> Timestamp,
    failures: Arc<Mutex<Failures>>,
}

impl std::fmt::Debug for EnrollState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollState").field("mqtt_host", &self.mqtt_host).finish_non_exhaustive()
    }
}

impl EnrollState {
    /// Shares the authority with the rest of the program; `mqtt_host` and `mqtt_port` are told to the agents.
    pub fn new(pki: Arc<Mutex<Pki>>, mqtt_host: &str, mqtt_port: u16, clock: fn() -> Timestamp) -> Self {
        Self { pki, mqtt_host: mqtt_host.into(), mqtt_port, clock, failures: Arc::default() }
    }
}

/// Why the API did not run.
#[derive(Debug, thiserror::Error)]
pub enum EnrollApiError {
    /// The socket cannot be used.
    #[error("cannot serve enrolment")]
    Serve(#[source] std::io::Error),
}

/// The routes; the server must give [`ConnectInfo`].
pub fn router(state: EnrollState) -> Router {
    Router::new()
        .route("/enroll", post(enroll))
        .route("/renew", post(renew))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

/// Serves on a bound socket with the TLS of [`Pki::enroll_config`] until `stop`.
///
/// # Errors
/// [`EnrollApiError`].
pub async fn serve(
    socket: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    state: EnrollState,
    stop: CancellationToken,
) -> Result<(), EnrollApiError> {
    socket.set_nonblocking(true).map_err(EnrollApiError::Serve)?;
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(socket, RustlsConfig::from_config(tls))
        .map_err(EnrollApiError::Serve)?
        .handle(handle.clone())
        .first_request_timeout(REQUEST_WITHIN)
        .serve(router(state).into_make_service_with_connect_info::<SocketAddr>());
    tokio::pin!(server);
    tokio::select! {
        served = &mut server => return served.map_err(EnrollApiError::Serve),
        () = stop.cancelled() => handle.graceful_shutdown(Some(STOP_WITHIN)),
    }
    server.await.map_err(EnrollApiError::Serve)
}

async fn enroll(
    State(state): State<EnrollState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Result<Json<EnrollRequest>, JsonRejection>,
) -> Result<Json<Identity>, Problem> {
    let Json(request) = state.body(peer.ip(), body)?;
    let from = peer.ip().to_string();
    state.answer(peer.ip(), move |pki, now| pki.sign_request(&request.token, &request.csr, &from, now)).await
}

async fn renew(
    State(state): State<EnrollState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Result<Json<RenewRequest>, JsonRejection>,
) -> Result<Json<Identity>, Problem> {
    let Json(request) = state.body(peer.ip(), body)?;
    let signature = unhex(&request.signature).unwrap_or_default();
    state.answer(peer.ip(), move |pki, now| pki.renew(&request.certificate, &request.csr, &signature, now)).await
}

impl EnrollState {
    fn body<T>(&self, peer: IpAddr, body: Result<Json<T>, JsonRejection>) -> Result<Json<T>, Problem> {
        let now = (self.clock)();
        if self.failures.lock().unwrap_or_else(PoisonError::into_inner).is_over(peer, now) {
            return Err(Problem::too_many());
        }
        body.map_err(|rejection| {
            self.count_failure(peer, now);
            Problem::unreadable(rejection.status())
        })
    }

    fn count_failure(&self, peer: IpAddr, now: Timestamp) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).count(peer, now);
    }

    /// Does the authority's work on a thread that may block.
    async fn answer(
        self,
        peer: IpAddr,
        work: impl FnOnce(&mut Pki, Timestamp) -> Result<String, PkiError> + Send + 'static,
    ) -> Result<Json<Identity>, Problem> {
        let now = (self.clock)();
        let pki = Arc::clone(&self.pki);
        let signed = tokio::task::spawn_blocking(move || {
            let mut pki = pki.lock().unwrap_or_else(PoisonError::into_inner);
            let certificate = work(&mut pki, now)?;
            Ok((certificate, pki.trust_pem(), hex(&pki.centre_public_key()?)))
        });
        let signed = signed.await.map_err(|_| Problem::unreadable(StatusCode::INTERNAL_SERVER_ERROR))?;
        let (certificate, ca, centre_public_key) = signed.map_err(|error: PkiError| {
            tracing::warn!(%peer, code = error.code(), error = &error as &dyn std::error::Error, "enrolment was refused");
            self.count_failure(peer, now);
            Problem::of(&error)
        })?;
        let (mqtt_host, mqtt_port) = (self.mqtt_host.to_string(), self.mqtt_port);
        Ok(Json(Identity { certificate, ca, centre_public_key, mqtt_host, mqtt_port }))
    }
}

/// Failures of the present minute, by address.
#[derive(Debug, Default)]
struct Failures {
    minute: i64,
    counts: BTreeMap<IpAddr, u32>,
}

impl Failures {
    fn turn(&mut self, now: Timestamp) {
        let minute = now.as_second().div_euclid(60);
        if minute != self.minute {
            self.minute = minute;
            self.counts.clear();
        }
    }

    fn is_over(&mut self, peer: IpAddr, now: Timestamp) -> bool {
        self.turn(now);
        // With the table full somebody is trying many addresses: nobody new gets in this minute.
        self.counts.get(&peer).map_or(self.counts.len() >= ADDRESSES_MAX, |count| *count >= FAILURES_PER_MINUTE_MAX)
    }

    fn count(&mut self, peer: IpAddr, now: Timestamp) {
        self.turn(now);
        *self.counts.entry(peer).or_default() += 1;
    }
}

/// An RFC 9457 problem.
#[derive(Debug, Serialize)]
struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    next_step: &'static str,
}

impl Problem {
    fn of(error: &PkiError) -> Self {
        let (code, next_step) = (error.code(), error.next_step());
        if !error.is_callers() {
            let detail = "the centre could not do it".to_owned();
            return Self { title: "Enrolment failed", status: 500, detail, code, next_step };
        }
        Self { title: "Enrolment refused", status: 403, detail: error.to_string(), code, next_step }
    }

    fn too_many() -> Self {
        Self {
            title: "Too many failures",
            status: StatusCode::TOO_MANY_REQUESTS.as_u16(),
            detail: "too many failed attempts from this address".to_owned(),
            code: "too_many_failures",
            next_step: "Wait a minute, check the token, and try again.",
        }
    }

    fn unreadable(status: StatusCode) -> Self {
        Self {
            title: "Request not understood",
            status: status.as_u16(),
            detail: "the request could not be read".to_owned(),
            code: "request_malformed",
            next_step: "Update the agent and enrol again.",
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self)).into_response()
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_failure_of_a_minute_is_too_many_and_the_next_minute_forgets() {
        let (mut failures, peer) = (Failures::default(), IpAddr::from([192, 0, 2, 1]));
        let at = |second| Timestamp::from_second(second).unwrap();

        for _ in 0..FAILURES_PER_MINUTE_MAX {
            assert!(!failures.is_over(peer, at(60)));
            failures.count(peer, at(60));
        }

        assert!(failures.is_over(peer, at(119)));
        assert!(!failures.is_over(IpAddr::from([192, 0, 2, 2]), at(119)));
        assert!(!failures.is_over(peer, at(120)));
    }

    #[test]
    fn hex_reads_back_and_refuses_half_a_byte() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        assert_eq!(unhex("abc"), None);
        assert_eq!(unhex("zz"), None);
    }
}
