//! Passwords let in where no key does, and are in no message. The host is one of our own.

use super::inprocess::{Trust, connect};
use super::known_hosts::Known;
use super::settings::{HostKeys, without_asking};
use crate::RemoteError;
use crate::target::{Password, SshTarget, SshUser};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::{self, Auth, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use updraft_base::Secret;

/// A host that takes one password, as such or as an answer, and no key.
#[derive(Clone, Copy)]
struct Gate {
    asks: bool,
}

impl server::Handler for Gate {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(match password == "letmein" && !self.asks {
            true => Auth::Accept,
            false => Auth::reject(),
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut answers) = response else {
            return Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            });
        };
        Ok(match answers.next() {
            Some(answer) if self.asks && answer == b"letmein"[..] => Auth::Accept,
            _ => Auth::reject(),
        })
    }
}

/// Logs in to such a host.
async fn logged_in(gate: Gate, password: Option<&str>) -> Result<(), RemoteError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
    let config = server::Config {
        keys: vec![key],
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    };
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // It ends when we go.
        drop(server::run_stream(Arc::new(config), stream, gate).await.unwrap().await);
    });
    let target = SshTarget {
        port: Some(port),
        user: Some("me".to_owned()),
        check_host_key: Some(false),
        password: password.map(|text| Password(Secret::new(text.to_owned()))),
        ..SshTarget::named("127.0.0.1")
    };
    let user = SshUser { home: "/nonexistent".into(), ..SshUser::default() };
    let settings = without_asking(&target, &user).unwrap();
    let trust = Trust {
        known: Known::default(),
        host_keys: HostKeys::Off,
        known_as: "127.0.0.1".to_owned(),
        scan: String::new(),
    };
    connect("host", &settings, trust).await.map(drop)
}

#[tokio::test]
async fn a_password_lets_in_where_no_key_does() {
    for asks in [false, true] {
        logged_in(Gate { asks }, Some("letmein")).await.unwrap();
        let told = logged_in(Gate { asks }, Some("guess")).await.unwrap_err();
        let told = updraft_base::chain(&told);
        assert!(told.contains("the password is not taken"), "{told}");
        assert!(!told.contains("guess"), "{told}");
        let told = updraft_base::chain(&logged_in(Gate { asks }, None).await.unwrap_err());
        assert!(told.contains("there is no usable key"), "{told}");
    }
}
