//! Another authority takes over, and no site stands still.

use super::*;

fn at_days(days: i64) -> Timestamp {
    at(NOW + days * 24 * 3600)
}

fn issuers(chain: &str) -> usize {
    chain.matches("BEGIN CERTIFICATE").count()
}

fn renewed(desk: &mut Desk, name: &str, certificate: &str, key: &KeyPair, now: Timestamp) -> (String, KeyPair) {
    let (csr, next) = request(name);
    let signature = rcgen::SigningKey::sign(key, csr.as_bytes()).unwrap();
    (desk.pki.renew(certificate, &csr, &signature, now).unwrap(), next)
}

#[test]
fn sites_renew_into_the_next_authority_and_then_the_old_one_ends() {
    let mut desk = desk();
    let first = desk.pki.authorities(at(NOW)).unwrap().present;
    let tokens = ["DC-1", "DC-2"].map(|name| add(&mut desk, name));
    let [(certificate, key), (other, other_key)] = [("DC-1", &tokens[0]), ("DC-2", &tokens[1])].map(|(name, token)| {
        let (csr, key) = request(name);
        (desk.pki.sign_request(token, &csr, "here", at(NOW)).unwrap(), key)
    });

    desk.pki.rotate(None, at_days(1)).unwrap();
    assert_eq!(desk.pki.rotate(None, at_days(1)).unwrap_err().code(), "pki_rotation");
    let reopened = Pki::open_or_create(desk.dir.path(), &names(), at_days(1)).unwrap();
    assert_eq!(issuers(&reopened.trust_pem()), 2);
    assert_eq!(fs::read_to_string(reopened.path("trust.pem")).unwrap(), reopened.trust_pem());
    assert_eq!(fs::read_to_string(reopened.crl_path()).unwrap().matches("BEGIN X509 CRL").count(), 2);
    desk.pki = reopened;
    let (certificate, _) = renewed(&mut desk, "DC-1", &certificate, &key, at_days(60));

    let found = desk.pki.authorities(at_days(62)).unwrap();
    assert_eq!((found.present.clone(), found.waiting), (first.clone(), vec![site("DC-2")]));
    let next = found.next.unwrap();
    assert!(certificate.ends_with(&desk.pki.next.as_ref().unwrap().pem));
    assert_eq!(desk.pki.finish(false, at_days(62)).unwrap_err().code(), "pki_rotation");
    renewed(&mut desk, "DC-2", &other, &other_key, at_days(63));
    assert_eq!(desk.pki.authorities(at_days(63)).unwrap().waiting, [site("DC-2")], "its answer may have been lost");

    assert_eq!(desk.pki.finish(false, at_days(65)).unwrap(), []);

    let server = |pki: &Pki| fs::read_to_string(pki.path("server.pem")).unwrap();
    let reopened = Pki::open_or_create(desk.dir.path(), &names(), at_days(65)).unwrap();
    assert_eq!(reopened.authorities(at_days(65)).unwrap(), Authorities { present: next, next: None, waiting: vec![] });
    assert!(server(&reopened).ends_with(reopened.ca_pem()), "the server's certificate is of the new authority");
    assert_eq!(issuers(&reopened.trust_pem()), 1);
    reopened.server_config().unwrap();
}

#[test]
fn an_end_that_was_cut_short_is_completed_at_the_next_opening() {
    for cut in 0..3 {
        let mut desk = desk();
        desk.pki.rotate(None, at(NOW)).unwrap();
        let next = desk.pki.authorities(at(NOW)).unwrap().next.unwrap();
        let path = |name: &str| desk.dir.path().join(name);
        fs::rename(path("next-ca.pem"), path("finishing-ca.pem")).unwrap();
        if cut >= 1 {
            fs::rename(path("next-ca.key"), path("ca.key")).unwrap();
        }
        if cut >= 2 {
            fs::rename(path("finishing-ca.pem"), path("ca.pem")).unwrap();
        }

        let reopened = Pki::open_or_create(desk.dir.path(), &names(), at(NOW)).unwrap();

        assert_eq!(reopened.authorities(at(NOW)).unwrap().present, next, "cut {cut}");
        reopened.server_config().unwrap();
    }
}

/// A company's issuing certificate of another kind of key, and what cannot be one.
#[test]
fn a_company_can_bring_its_own_authority() {
    let dir = tempfile::tempdir().unwrap();
    let (pem, key_path) = (dir.path().join("issuing.pem"), dir.path().join("issuing.key"));
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let write = |is_ca: bool, key: &KeyPair| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "ACME Issuing CA 3");
        params.not_after = rcgen::date_time_ymd(2050, 1, 1);
        if is_ca {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        }
        let root = params.self_signed(key).unwrap().pem();
        // A chain behind it, as companies hand it out.
        fs::write(&pem, format!("subject=ACME\n{root}{root}")).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
    };
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&key_path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let issuing = Issuing { certificate: &pem, key: &key_path };
    let state = dir.path().join("pki");

    write(false, &key);
    mode(0o644);
    let exposed = install(&state, issuing, at(NOW)).unwrap_err();
    mode(0o600);
    let unfit = install(&state, issuing, at(NOW)).unwrap_err();
    write(true, &KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap());
    fs::write(&key_path, key.serialize_pem()).unwrap();
    let foreign = install(&state, issuing, at(NOW)).unwrap_err();
    // What it may sign is constrained: no site or server of ours is accepted under it.
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    params.not_after = rcgen::date_time_ymd(2050, 1, 1);
    params.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.com".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    fs::write(&pem, params.self_signed(&key).unwrap().pem()).unwrap();
    let constrained = install(&state, issuing, at(NOW)).unwrap_err();
    assert!(!state.join("ca.key").exists(), "nothing was written");
    write(true, &key);
    install(&state, issuing, at(NOW)).unwrap();

    assert!(exposed.to_string().contains("chmod 600"), "{exposed}");
    assert!(unfit.to_string().contains("may not sign"), "{unfit}");
    assert!(foreign.to_string().contains("the key is of another certificate"), "{foreign}");
    assert!(constrained.to_string().contains("are not accepted"), "{constrained}");
    let mut desk = Desk { pki: Pki::open_or_create(&state, &names(), at(NOW)).unwrap(), dir };
    assert_eq!(issuers(desk.pki.ca_pem()), 1);
    let token = add(&mut desk, "DC-1");
    let chain = desk.pki.sign_request(&token, &request("DC-1").0, "here", at(NOW)).unwrap();
    assert_eq!(issuers(&chain), 2);
    desk.pki.server_config().unwrap();
    assert_eq!(install(&state, issuing, at(NOW)).unwrap_err().code(), "pki_rotation");
}

#[test]
fn a_register_of_before_rotations_is_taken_over() {
    let desk = desk();
    drop(desk.pki);
    let register = rusqlite::Connection::open(desk.dir.path().join("pki.db")).unwrap();
    register
        .execute_batch(
            "DROP TABLE certificate; CREATE TABLE certificate (serial BLOB PRIMARY KEY NOT NULL, site_id TEXT NOT NULL REFERENCES site (site_id), \
             public_key BLOB NOT NULL, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL, revoked_at INTEGER) STRICT; \
             INSERT INTO site VALUES ('DC-1', '', 'UTC', 1, NULL); \
             INSERT INTO certificate VALUES (x'40', 'DC-1', x'01', 1800000000, 1900000000, NULL); PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(register);

    let mut pki = Pki::open_or_create(desk.dir.path(), &names(), at(NOW)).unwrap();
    pki.rotate(None, at(NOW)).unwrap();

    assert_eq!(pki.authorities(at(NOW)).unwrap().waiting, [site("DC-1")]);
}
