//! The admin socket of a pretended HAProxy on a simulated machine.
//!
//! Its servers are those of the configuration files that were sent to the machine. One is up when
//! the machine with its address passes its test. Source of words and columns: HAProxy 2.6
//! management guide, section 9.

use super::machine::{Around, SimMachine};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

struct Server {
    backend: String,
    name: String,
    address: Option<Ipv4Addr>,
}

/// Answers the commands of one connection, separated by `;` or line ends.
pub(super) fn answer(machine: &mut SimMachine, commands: &str, around: &Around) -> String {
    let servers = servers(machine);
    let mut answer = String::new();
    for command in commands.split(['\n', ';']).map(str::trim).filter(|c| !c.is_empty()) {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["show", "info"] => answer.push_str("Name: HAProxy\nVersion: 2.6.12-1+deb12u2\n"),
            ["show", "stat", ..] => answer.push_str(&show_stat(machine, &servers, around)),
            ["set", "server", which, "state", state] => {
                let known = servers.iter().any(|s| format!("{}/{}", s.backend, s.name) == which);
                match state {
                    "ready" | "drain" | "maint" if known => {
                        machine.disk.balanced.insert(which.to_owned(), state.to_owned());
                    }
                    _ if known => answer.push_str(
                        "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n",
                    ),
                    _ => answer.push_str("No such server.\n"),
                }
            }
            _ => {
                writeln!(answer, "Unknown command: '{command}'.").expect("a string takes all text");
            }
        }
        answer.push('\n');
    }
    answer
}

fn servers(machine: &SimMachine) -> Vec<Server> {
    let mut servers = Vec::new();
    let configurations = machine.disk.files.iter().filter(|(path, _)| path.contains("/haproxy/"));
    for (_, file) in configurations {
        let mut backend = None;
        for line in file.text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["backend" | "listen", name, ..] => backend = Some(name.to_owned()),
                ["frontend" | "defaults" | "global", ..] => backend = None,
                ["server", name, at, ..] => {
                    if let Some(backend) = &backend {
                        let address = at.split(':').next().and_then(|host| host.parse().ok());
                        let (backend, name) = (backend.clone(), name.to_owned());
                        servers.push(Server { backend, name, address });
                    }
                }
                _ => {}
            }
        }
    }
    servers
}

fn show_stat(machine: &SimMachine, servers: &[Server], around: &Around) -> String {
    let mut text = "# pxname,svname,qcur,scur,status,\n".to_owned();
    for Server { backend, name, address } in servers {
        let healthy = address.is_some_and(|at| around.healthy.get(&at).copied().unwrap_or(false));
        let set = machine.disk.balanced.get(&format!("{backend}/{name}")).map(String::as_str);
        let status = match set {
            Some("drain") => "DRAIN",
            Some("maint") => "MAINT",
            _ if healthy => "UP",
            _ => "DOWN",
        };
        writeln!(text, "{backend},{name},0,0,{status},").expect("a string takes all text");
    }
    text
}
