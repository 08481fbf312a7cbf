//! `synchronize`: who runs rsync, and what it is told.

use super::Case;
use serde_json::{Value as Json, json};

const HOSTS: &str = "h1 ansible_host=10.0.0.1 ansible_user=me\nh2 ansible_host=10.0.0.2 ansible_port=2222 ansible_ssh_private_key_file=/k\nlone ansible_connection=local\nbox ansible_connection=docker\n";

/// What a task of `hosts` asks for: who is asked, with which arguments, and whether as somebody else.
fn asked(hosts: &str, keywords: &str) -> (String, Json, bool) {
    let site = format!(
        "- hosts: {hosts}\n  gather_facts: false\n  tasks:\n    - synchronize: {{{keywords}\n      ignore_errors: true\n"
    );
    let ran = Case::new(&site).hosts(HOSTS).file("files/web/x", "x").run();
    let place = ran.dir.path().display().to_string();
    for host in ["localhost", "h1", "h2", "lone"] {
        if let [request] = &ran.net.requests(host)[..] {
            let args = Json::Object(request.args.clone()).to_string().replace(&place, "HERE");
            let args = serde_json::from_str(&args).unwrap();
            return (host.to_owned(), args, request.become_user.is_some());
        }
    }
    (ran.text, Json::Null, false)
}

#[test]
fn this_computer_pushes_and_pulls_and_the_far_end_becomes_who_is_wanted() {
    let rsync = json!("rsync");
    let cases = [
        (
            "h1",
            "src: web/, dest: /srv}",
            ("localhost", json!({"src": "HERE/files/web/", "dest": "me@10.0.0.1:/srv"}), false),
        ),
        (
            "h1",
            "src: /a, dest: back, mode: pull, set_remote_user: false}",
            (
                "localhost",
                json!({"src": "10.0.0.1:/a", "dest": "HERE/back", "mode": "pull", "set_remote_user": false}),
                false,
            ),
        ),
        (
            "h2",
            "src: /a, dest: /b, use_ssh_args: true}\n      become: true\n      become_user: web",
            (
                "localhost",
                json!({"src": "/a", "dest": "10.0.0.2:/b", "dest_port": 2222, "private_key": "/k",
                       "_ssh_args": super::super::synchronize::SSH_ARGS,
                       "rsync_path": "sudo -u web rsync"}),
                false,
            ),
        ),
        // Between two places of one host, and from one host to another.
        (
            "h1",
            "src: /a, dest: /b}\n      delegate_to: h1\n      become: true",
            ("h1", json!({"src": "/a", "dest": "/b"}), true),
        ),
        (
            "h1",
            "src: /a, dest: /b}\n      delegate_to: h2",
            (
                "h2",
                json!({"src": "/a", "dest": "me@10.0.0.1:/b", "dest_port": 2222, "private_key": "/k"}),
                false,
            ),
        ),
        (
            "h1",
            "src: /a, dest: /b}\n      delegate_to: localhost\n      become: true",
            (
                "localhost",
                json!({"src": "/a", "dest": "me@10.0.0.1:/b", "rsync_path": "sudo -u root rsync"}),
                false,
            ),
        ),
        (
            "lone",
            "src: web, dest: /b}\n      become: true",
            ("lone", json!({"src": "HERE/files/web", "dest": "/b"}), true),
        ),
        (
            "h1",
            "src: web, dest: /b, private_key: /other, dest_port: 23}\n      vars: {ansible_rsync_path: /opt/rsync, ansible_password: none}",
            (
                "localhost",
                json!({"src": "HERE/files/web", "dest": "me@10.0.0.1:/b", "private_key": "/other",
                       "dest_port": 23, "_local_rsync_path": "/opt/rsync"}),
                false,
            ),
        ),
    ];
    for (hosts, keywords, (who, mut args, becomes)) in cases {
        let path = args.as_object_mut().unwrap();
        path.entry("_local_rsync_path").or_insert_with(|| rsync.clone());
        let wanted = (who.to_owned(), args, becomes);
        assert_eq!(asked(hosts, keywords), wanted, "{hosts}: {keywords}");
    }
}

#[test]
fn where_rsync_does_not_get_nothing_is_run() {
    let (text, ..) = asked("box", "src: /a, dest: /b}");
    assert!(text.contains("it is reached by `docker`"), "{text}");
    let (text, ..) = asked("h1", "src: /a, dest: /b}\n      async: 5");
    assert!(text.contains("does not support async"), "{text}");
}
