use std::io::{Read as _, Write as _};

use tokio::net::TcpListener;

use super::*;
use crate::status::{samples, snapshot::snapshot};

struct Site {
    address: SocketAddr,
    actions: mpsc::Receiver<StatusAction>,
    _runtime: tokio::runtime::Runtime,
}

fn serve(facts: &crate::status::facts::Facts) -> Site {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (_tell, snapshots) = watch::channel(Arc::new(snapshot(facts)));
    let (sender, actions) = mpsc::channel(1);
    let file = snapshots.borrow().files.first().cloned();
    let desk = Desk {
        snapshot: snapshots,
        actions: sender,
        file: Arc::new(move |id, _| Some((file.clone().filter(|file| file.id == id.0)?, samples::content()))),
        fates: Default::default(),
        csrf: "token".into(),
        hosts: Arc::new(hosts(address, &[])),
        clock: samples::now,
    };
    let app = router(desk).into_make_service_with_connect_info::<SocketAddr>();
    runtime.spawn(async move { axum::serve(listener, app).await });
    Site { address, actions, _runtime: runtime }
}

impl Site {
    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = body.len();
        write!(stream, "{head}\r\nConnection: close\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}", self.address), "")
    }

    fn post(&self, path: &str, more: &str, body: &str) -> String {
        self.ask(&format!("POST {path} HTTP/1.1\r\nHost: {}{more}", self.address), body)
    }
}

#[test]
fn the_page_comes_with_headers_that_shut_everything_else_out() {
    let site = serve(&samples::needs_you());

    let answer = site.get("/").to_ascii_lowercase();

    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains(&format!("content-security-policy: {CSP}")));
    assert!(answer.contains("x-content-type-options: nosniff") && answer.contains("cache-control: no-store"));
}

#[test]
fn a_foreign_host_name_is_refused_with_a_problem() {
    let site = serve(&samples::working());

    let answer = site.ask("GET / HTTP/1.1\r\nHost: evil.example", "");

    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("content-security-policy"));
}

#[test]
fn check_again_reaches_intake_once_with_the_token_and_never_without() {
    let mut site = serve(&samples::needs_you());

    assert!(site.post("/files/1/retry", "", "csrf=wrong").starts_with("HTTP/1.1 403"));
    assert!(site.post("/files/1/retry", "\r\nOrigin: http://evil.example", "csrf=token").starts_with("HTTP/1.1 403"));
    assert!(site.post("/files/1/retry", "\r\nSec-Fetch-Site: cross-site", "csrf=token").starts_with("HTTP/1.1 403"));
    assert!(site.actions.try_recv().is_err());

    assert!(site.post("/files/1/retry", "", "csrf=token").starts_with("HTTP/1.1 303"));
    assert_eq!(site.actions.try_recv(), Ok(StatusAction::Retry { file: FileId(1) }));
}

#[test]
fn a_full_channel_says_so_and_does_not_wait() {
    let mut site = serve(&samples::offline());

    assert!(site.post("/try-now", "", "csrf=token").starts_with("HTTP/1.1 303"));
    assert!(site.post("/try-now", "", "csrf=token").starts_with("HTTP/1.1 503"));
    assert_eq!(site.actions.try_recv(), Ok(StatusAction::TryNow));
}

#[test]
fn setting_aside_needs_a_reason() {
    let mut site = serve(&samples::needs_you());

    assert!(site.post("/files/1/set-aside", "", "csrf=token&reason=+").starts_with("HTTP/1.1 422"));
    assert!(site.post("/files/1/set-aside", "", "csrf=token&reason=test+file").starts_with("HTTP/1.1 303"));
    let expected = StatusAction::SetAside { file: FileId(1), reason: "test file".to_owned() };
    assert_eq!(site.actions.try_recv(), Ok(expected));
}

#[test]
fn an_oversized_form_is_refused() {
    let site = serve(&samples::needs_you());

    let body = format!("csrf=token&reason={}", "x".repeat(BODY_BYTES_MAX));

    assert!(site.post("/files/1/set-aside", "", &body).starts_with("HTTP/1.1 413"));
}

#[test]
fn head_office_away_leaves_the_agent_ready_and_a_full_disk_does_not() {
    assert!(serve(&samples::offline()).get("/readyz").starts_with("HTTP/1.1 200"));

    let full = serve(&samples::stopped()).get("/readyz?verbose");
    assert!(full.starts_with("HTTP/1.1 503") && full.contains("[-] room"), "{full}");
}

#[test]
fn the_first_load_stays_small() {
    let site = serve(&samples::offline());

    let bytes = site.get("/").len() + site.get("/style.css").len();

    assert!(bytes < 24 * 1024, "{bytes}");
}
