//! Keys, requests and certificates come, stay and go as tasks ask for them, with the machine's own `openssl`.
//!
//! What Ansible's module says in each case was compared with it once; here it is kept.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use serde_json::{Map, Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use updraft_modules::{Context, run};

/// A directory in which a module is asked for one file.
struct Place {
    dir: tempfile::TempDir,
    module: &'static str,
}

impl Place {
    fn of(module: &'static str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), module }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    fn read(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn ask(&self, args: &Value, check: bool) -> Map<String, Value> {
        let mut args = args.as_object().unwrap().clone();
        args.insert("path".into(), self.path().to_str().unwrap().into());
        let mut context = Context::system();
        context.check = check;
        run(self.module, &args, &context).0
    }

    /// What it says before and when it changes the file, and that it does so once.
    fn changes(&self, args: Value) -> Map<String, Value> {
        let before = fs::read(self.path()).ok();
        assert_eq!(self.ask(&args, true)["changed"], true, "{args}");
        assert_eq!(fs::read(self.path()).ok(), before, "{args} in check mode");
        let told = self.ask(&args, false);
        assert_eq!(told["changed"], true, "{args}: {told:?}");
        told
    }

    fn stays(&self, args: Value) -> Map<String, Value> {
        let before = self.read();
        let told = self.ask(&args, false);
        assert_eq!(told["changed"], false, "{args}: {told:?}");
        assert_eq!(self.read(), before, "{args}");
        told
    }

    fn fails(&self, args: Value, why: &str) {
        let before = fs::read(self.path()).ok();
        let told = self.ask(&args, false);
        assert!(told["msg"].as_str().is_some_and(|said| said.contains(why)), "{args}: {told:?}");
        assert_eq!(fs::read(self.path()).ok(), before, "{args}");
    }
}

#[test]
fn a_key_is_made_once_and_replaced_as_a_task_allows() {
    let key = Place::of("openssl_privatekey");
    let p256 = |more: Value| {
        let mut args = json!({ "type": "ECC", "curve": "secp256r1" });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    let made = key.changes(p256(json!({})));
    assert!(key.read().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    assert_eq!(fs::metadata(key.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((&made["curve"], &made["diff"]["before"]), (&json!("secp256r1"), &json!({})));
    assert_eq!(made["fingerprint"].as_object().unwrap().len(), 14);
    let sha256 = &made["fingerprint"]["sha256"];
    assert_eq!(sha256, &made["diff"]["after"]["public_key_fingerprints"]["sha256"]);

    let told = key.stays(p256(json!({ "return_content": true })));
    assert_eq!((&told["fingerprint"]["sha256"], &told["privatekey"]), (sha256, &json!(key.read())));
    let other = |regenerate: &str| json!({ "type": "Ed25519", "regenerate": regenerate });
    key.stays(other("never"));
    key.fails(other("fail"), "Key has wrong type and/or size.");

    let pkcs8 = json!({ "format": "pkcs8", "format_mismatch": "convert", "backup": true });
    let converted = key.changes(p256(pkcs8));
    assert!(key.read().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(&converted["fingerprint"]["sha256"], sha256);
    let backup = fs::read_to_string(converted["backup_file"].as_str().unwrap()).unwrap();
    assert!(backup.starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    key.fails(p256(json!({ "format": "pkcs1", "regenerate": "fail" })), "Key has wrong format.");

    let new = key.changes(other("partial_idempotence"));
    assert_ne!(&new["fingerprint"]["sha256"], sha256);
    assert_eq!(new["diff"]["after"]["type"], "Ed25519");
    key.stays(other("partial_idempotence"));
    key.changes(json!({ "state": "absent" }));
    assert!(!key.path().exists());
}

#[test]
fn a_key_of_each_type_is_understood_when_it_is_there() {
    let types = ["Ed25519", "Ed448", "X25519", "X448"].map(|kind| json!({ "type": kind }));
    let curves = ["secp224r1", "secp256k1", "secp384r1", "secp521r1", "brainpoolP384r1"];
    let curves = curves.map(|curve| json!({ "type": "ECC", "curve": curve }));
    let sized =
        [("RSA", 1024), ("DSA", 1024)].map(|(kind, size)| json!({ "type": kind, "size": size }));
    for args in types.into_iter().chain(curves).chain(sized) {
        let key = Place::of("openssl_privatekey");
        let made = key.changes(args.clone());
        let kept = key.stays(args.clone());
        assert_eq!((&made["fingerprint"], &kept["type"]), (&kept["fingerprint"], &args["type"]));
        assert_eq!(made["diff"]["after"], kept["diff"]["before"], "{args}");
    }
}

#[test]
fn what_is_not_understood_is_left_as_it_is() {
    let key = Place::of("openssl_privatekey");
    let asked = |regenerate: &str| json!({ "type": "Ed25519", "regenerate": regenerate });
    fs::write(key.path(), "no key\n").unwrap();
    for regenerate in ["never", "fail", "partial_idempotence"] {
        key.fails(asked(regenerate), "Unable to read the key.");
    }
    key.changes(asked("full_idempotence"));

    let made = key.read();
    for unclear in [format!("{made}{made}"), made.replace("MC4", "MC5"), "x".repeat(32)] {
        fs::write(key.path(), unclear).unwrap();
        key.fails(asked("full_idempotence"), "is not supported");
    }
    key.fails(json!({ "passphrase": "hunter2" }), "a passphrase is not supported");
    key.fails(json!({ "type": "ECC" }), "type is ECC but all of the following are missing: curve");
}

/// A private key of this type beside what a task is about.
fn private(place: &Place, args: &Value) -> String {
    let path = place.dir.path().join("private.pem").to_str().unwrap().to_owned();
    let mut args = args.as_object().unwrap().clone();
    args.insert("path".into(), path.as_str().into());
    let told = run("openssl_privatekey", &args, &Context::system()).0;
    assert_eq!(told["changed"], true, "{told:?}");
    path
}

#[test]
fn a_request_is_signed_once_and_anew_when_another_is_asked_for() {
    for kind in [json!({ "type": "RSA", "size": 2048 }), json!({ "type": "Ed25519" })] {
        let request = Place::of("openssl_csr");
        let key = private(&request, &kind);
        let asked = |more: Value| {
            let mut args = json!({
                "privatekey_path": key, "common_name": "a.example", "organization_name": "A & Ö",
                "key_usage": ["digitalSignature"], "key_usage_critical": true,
                "extended_key_usage": ["serverAuth", "clientAuth"],
                "create_subject_key_identifier": true,
            });
            args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            args
        };
        let made = request.changes(asked(json!({ "return_content": true })));
        assert_eq!(made["subjectAltName"], json!(["DNS:a.example"]));
        assert_eq!(made["subject"], json!([["O", "A & Ö"], ["CN", "a.example"]]));
        assert_eq!(made["csr"], request.read());
        let kept =
            request.stays(asked(json!({ "extended_key_usage": ["clientAuth", "serverAuth"] })));
        assert_eq!(made["diff"]["after"], kept["diff"]["before"]);
        assert_eq!(kept["diff"]["before"]["signature_valid"], true);
        for other in [
            json!({ "key_usage_critical": false }),
            json!({ "basic_constraints": ["CA:TRUE", "pathlen:1"] }),
            json!({ "subject_alt_name": ["DNS:a.example", "IP:10.0.0.1"] }),
            json!({ "ocsp_must_staple": true, "create_subject_key_identifier": false }),
            json!({ "common_name": "b.example", "use_common_name_for_san": false }),
        ] {
            request.changes(asked(other.clone()));
            request.stays(asked(other));
        }
        request.changes(json!({ "state": "absent" }));
    }
}

#[test]
fn a_request_that_is_not_understood_is_left_as_it_is() {
    let request = Place::of("openssl_csr");
    let key = private(&request, &json!({ "type": "ECC", "curve": "secp256r1" }));
    let asked = json!({ "privatekey_path": key, "common_name": "a.example" });
    for beyond in [
        json!({ "privatekey_path": key, "name_constraints_permitted": ["DNS:a.example"] }),
        json!({ "privatekey_path": key, "subject_alt_name": ["dirName:CN=a"] }),
        json!({ "privatekey_path": key, "subject": { "title": "a" } }),
        json!({ "privatekey_path": key, "digest": "sha1" }),
        json!({ "privatekey_path": request.path(), "common_name": "a" }),
    ] {
        request.fails(beyond, "not");
        assert!(!request.path().exists());
    }
    request.fails(json!({}), "state is present but any of the following are missing");
    request.changes(asked.clone());
    let made = request.read();
    for unclear in [format!("text\n{made}"), format!("{made}{made}"), made.replace("MII", "MIJ")] {
        if unclear != made {
            fs::write(request.path(), unclear).unwrap();
            request.fails(asked.clone(), "is not supported");
        }
    }
    fs::write(request.path(), "no request\n").unwrap();
    request.changes(asked);
}

#[test]
fn certificates_are_kept_while_they_are_what_is_asked_for() {
    let own = Place::of("x509_certificate");
    let key = private(&own, &json!({ "type": "ECC", "curve": "secp256r1" }));
    let request = |name: &str, more: Value| {
        let path = own.dir.path().join(name).to_str().unwrap().to_owned();
        let mut args = json!({ "path": path, "privatekey_path": key, "common_name": name });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = run("openssl_csr", args.as_object().unwrap(), &Context::system()).0;
        assert_eq!(told["changed"], true, "{told:?}");
        path
    };
    let authority = request("authority", json!({ "basic_constraints": ["CA:TRUE"] }));
    let other = request("other", json!({ "key_usage": ["digitalSignature"] }));
    let selfsigned =
        |csr: &str| json!({ "provider": "selfsigned", "privatekey_path": key, "csr_path": csr });
    let made = own.changes(selfsigned(&authority));
    let kept = own.stays(selfsigned(&authority));
    assert_eq!(
        (&made["serial_number"], &made["diff"]["after"]),
        (&kept["serial_number"], &kept["diff"]["before"])
    );
    own.changes(selfsigned(&other));
    own.changes(selfsigned(&authority));

    let signed = Place::of("x509_certificate");
    let owner = own.path().to_str().unwrap().to_owned();
    let asked = |more: Value| {
        let mut args = json!({
            "provider": "ownca", "csr_path": other, "ownca_path": owner,
            "ownca_privatekey_path": key, "ownca_not_before": "20260101000000Z",
            "ownca_not_after": "20510101000000Z", "ignore_timestamps": false,
        });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    let made = signed.changes(asked(json!({ "return_content": true })));
    assert_eq!(made["certificate"], signed.read());
    let after = &made["diff"]["after"];
    assert_eq!(after["issuer"], json!({ "commonName": "authority" }));
    assert_eq!(after["authority_key_identifier"], after["subject_key_identifier"]);
    assert_eq!(signed.stays(asked(json!({})))["notAfter"], "20510101000000Z");
    for changed in [
        json!({ "ownca_not_after": "20520101000000Z" }),
        json!({ "csr_path": authority }),
        json!({ "force": true }),
    ] {
        signed.changes(asked(changed));
    }
    signed.stays(asked(json!({})));
    let missing = json!({ "ownca_path": "/none" });
    signed.fails(asked(missing), "The CA certificate file /none does not exist");
    for beyond in [
        json!({ "provider": "acme" }),
        json!({ "ownca_privatekey_passphrase": "hunter2" }),
        json!({ "ownca_not_after": "tomorrow" }),
        json!({ "csr_path": key }),
    ] {
        signed.fails(asked(beyond), "is not supported");
    }
    signed.changes(json!({ "state": "absent" }));
}
