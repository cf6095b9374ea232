//! Behaviour of the authority: who gets a certificate, and who does not.

use super::*;

#[path = "rotation_tests.rs"]
mod rotation;

const NOW: i64 = 1_800_000_000;

struct Desk {
    dir: tempfile::TempDir,
    pki: Pki,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn names() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
}

fn desk() -> Desk {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open_or_create(dir.path(), &names(), at(NOW)).unwrap();
    Desk { dir, pki }
}

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn request(name: &str) -> (String, KeyPair) {
    let key = keys::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.serialize_request(&key).unwrap().pem().unwrap(), key)
}

fn add(desk: &mut Desk, name: &str) -> String {
    desk.pki.add_site(&site(name), "North", "Europe/Paris", TOKEN_TTL, at(NOW)).unwrap().reveal()
}

#[test]
fn a_token_gives_a_certificate_once_and_then_says_when_it_was_used() {
    let mut desk = desk();
    let token = add(&mut desk, "DC-1");
    let (csr, key) = request("DC-1");

    let chain = desk.pki.sign_request(&token, &csr, "192.0.2.7", at(NOW + 60)).unwrap();
    let again = desk.pki.sign_request(&token, &csr, "192.0.2.8", at(NOW + 120)).unwrap_err();

    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(desk.pki.public_keys(&site("DC-1")).unwrap(), [key.public_key_raw()]);
    assert_eq!(again.code(), "token_used");
    assert_eq!(
        again.to_string(),
        "this enrolment token was already used by DC-1 (192.0.2.7) at 2027-01-15T08:01:00Z; \
         if that was not you, revoke the site"
    );
}

#[test]
fn an_expired_token_is_refused() {
    let mut desk = desk();
    let token = add(&mut desk, "DC-1");

    let late = at(NOW + i64::try_from(TOKEN_TTL.as_secs()).unwrap());
    let error = desk.pki.sign_request(&token, &request("DC-1").0, "here", late).unwrap_err();

    assert_eq!(error.code(), "token_expired");
}

#[test]
fn a_request_that_names_another_site_is_refused_and_leaves_the_token_usable() {
    let mut desk = desk();
    let token = add(&mut desk, "DC-1");

    let error = desk.pki.sign_request(&token, &request("DC-2").0, "here", at(NOW)).unwrap_err();

    assert_eq!(error.to_string(), "the certificate request names DC-2, the token or certificate is for DC-1");
    assert!(desk.pki.sign_request(&token, &request("DC-1").0, "here", at(NOW)).is_ok());
}

#[test]
fn a_secret_moved_to_another_site_is_unknown() {
    let mut desk = desk();
    let token = add(&mut desk, "DC-1");
    add(&mut desk, "DC-2");

    let moved = token.replace("DC-1", "DC-2");
    let error = desk.pki.sign_request(&moved, &request("DC-2").0, "here", at(NOW)).unwrap_err();

    assert_eq!(error.code(), "token_unknown");
}

#[test]
fn no_file_holds_the_token_in_clear() {
    let mut desk = desk();
    let token = add(&mut desk, "DC-1");
    let secret = token.split('-').nth(3).unwrap().to_owned();
    drop(desk.pki);

    for entry in fs::read_dir(desk.dir.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
}

#[test]
fn a_revoked_site_is_denied_and_listed_until_it_is_added_again() {
    let mut desk = desk();
    let token = add(&mut desk, "DC-1");
    desk.pki.sign_request(&token, &request("DC-1").0, "here", at(NOW)).unwrap();
    let spare = desk.pki.new_token(&site("DC-1"), TOKEN_TTL, at(NOW)).unwrap().reveal();
    let before = fs::read(desk.pki.crl_path()).unwrap();
    let serial = desk.pki.store.connection_serials()[0].clone();

    desk.pki.revoke(&site("DC-1"), at(NOW + 1)).unwrap();

    assert!(desk.pki.denylist().borrow().contains(&serial));
    assert_ne!(fs::read(desk.pki.crl_path()).unwrap(), before);
    assert_eq!(desk.pki.public_keys(&site("DC-1")).unwrap(), Vec::<Vec<u8>>::new());
    let error = desk.pki.sign_request(&spare, &request("DC-1").0, "here", at(NOW + 1)).unwrap_err();
    assert_eq!(error.code(), "site_revoked");
    let token = add(&mut desk, "DC-1");
    assert!(desk.pki.sign_request(&token, &request("DC-1").0, "here", at(NOW + 2)).is_ok());
    let error = desk.pki.sign_request(&spare, &request("DC-1").0, "here", at(NOW + 2)).unwrap_err();
    assert_eq!(error.code(), "token_expired");
}

#[test]
fn renewal_needs_the_present_key_and_the_own_name() {
    let mut desk = desk();
    let token = add(&mut desk, "DC-1");
    let (csr, key) = request("DC-1");
    let certificate = desk.pki.sign_request(&token, &csr, "here", at(NOW)).unwrap();
    let (new, new_key) = request("DC-1");
    let sign = |key: &KeyPair, text: &str| rcgen::SigningKey::sign(key, text.as_bytes()).unwrap();

    let by_stranger = desk.pki.renew(&certificate, &new, &sign(&new_key, &new), at(NOW + 9)).unwrap_err();
    let (foreign, _) = request("DC-2");
    let for_other = desk.pki.renew(&certificate, &foreign, &sign(&key, &foreign), at(NOW + 9)).unwrap_err();
    let renewed = desk.pki.renew(&certificate, &new, &sign(&key, &new), at(NOW + 9));

    assert_eq!(by_stranger.code(), "not_entitled");
    assert_eq!(for_other.code(), "request_names_other_site");
    assert!(renewed.is_ok());
    assert_eq!(desk.pki.public_keys(&site("DC-1")).unwrap().len(), 2);
    let late = at(NOW + SITE_DAYS * 24 * 3600);
    assert_eq!(desk.pki.renew(&certificate, &new, &sign(&key, &new), late).unwrap_err().code(), "not_entitled");
}

#[test]
fn reopening_keeps_the_authority_and_a_missing_key_is_named() {
    let desk = desk();
    let ca = desk.pki.ca_pem().to_owned();
    let centre = desk.pki.centre_public_key().unwrap();
    drop(desk.pki);

    let reopened = Pki::open_or_create(desk.dir.path(), &names(), at(NOW + 1)).unwrap();
    assert_eq!((reopened.ca_pem(), reopened.centre_public_key().unwrap()), (ca.as_str(), centre));
    drop(reopened);
    fs::remove_file(desk.dir.path().join("ca.key")).unwrap();

    let error = Pki::open_or_create(desk.dir.path(), &names(), at(NOW + 1)).unwrap_err();
    assert_eq!(error.code(), "pki_damaged");
    assert!(error.to_string().contains("ca.key is missing"));
}

#[test]
fn keys_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let desk = desk();

    for file in ["ca.key", "server.key", "centre.key"] {
        assert_eq!(fs::metadata(desk.pki.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}
