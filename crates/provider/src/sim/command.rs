//! The few commands that a simulated machine knows. Every other one says what it was asked and
//! ends well.

use super::machine::SimMachine;

/// How a command ended.
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a command, given as argv.
pub(super) fn run(machine: &mut SimMachine, argv: &[String]) -> Ran {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    match words[..] {
        ["/bin/sh" | "sh" | "/bin/bash" | "bash", "-c" | "-lc", text, ..] => shell(machine, text),
        _ => plain(machine, &words),
    }
}

/// Shell text: simple commands joined by `;`, `&&` or line ends, without any quoting.
fn shell(machine: &mut SimMachine, text: &str) -> Ran {
    let mut all = Ran { code: 0, stdout: String::new(), stderr: String::new() };
    for part in text.split('\n').flat_map(|line| line.split(';')) {
        for command in part.split("&&") {
            let words: Vec<&str> = command.split_whitespace().collect();
            let ran = match words[..] {
                [] => continue,
                ["exit", code] => {
                    all.code = code.parse().unwrap_or(2);
                    return all;
                }
                _ => plain(machine, &words),
            };
            all.code = ran.code;
            all.stdout.push_str(&ran.stdout);
            all.stderr.push_str(&ran.stderr);
            if ran.code != 0 {
                break;
            }
        }
    }
    all
}

fn plain(machine: &mut SimMachine, words: &[&str]) -> Ran {
    let name = words.first().copied().unwrap_or_default();
    let (code, stdout, stderr) = match (name.rsplit('/').next().unwrap_or(name), &words[1..]) {
        ("true", _) => (0, String::new(), String::new()),
        ("false", _) => (1, String::new(), String::new()),
        ("echo", rest) => (0, format!("{}\n", rest.join(" ")), String::new()),
        ("hostname", _) => (0, format!("{}\n", machine.hostname()), String::new()),
        ("uptime", _) => {
            (0, " 00:01:00 up 1 min,  0 users,  load average: 0.00\n".to_owned(), String::new())
        }
        ("cat", paths) => {
            let (mut found, mut missing) = (String::new(), String::new());
            for path in paths {
                match machine.disk.files.get(*path) {
                    Some(file) => found.push_str(&file.text),
                    None => missing.push_str(&format!("cat: {path}: No such file or directory\n")),
                }
            }
            (i32::from(!missing.is_empty()), found, missing)
        }
        ("systemctl", rest) => systemctl(machine, rest),
        _ => (0, format!("{}\n", words.join(" ")), String::new()),
    };
    Ran { code, stdout, stderr }
}

fn systemctl(machine: &mut SimMachine, words: &[&str]) -> (i32, String, String) {
    let mut words = words.iter().copied().filter(|word| !word.starts_with('-'));
    let verb = words.next().unwrap_or_default();
    let units: Vec<String> =
        words.map(|unit| unit.trim_end_matches(".service").to_owned()).collect();
    match verb {
        "start" | "restart" | "reload" | "reload-or-restart" => {
            units.iter().for_each(|unit| machine.set_unit(unit, true));
            (0, String::new(), String::new())
        }
        "stop" => {
            units.iter().for_each(|unit| machine.set_unit(unit, false));
            (0, String::new(), String::new())
        }
        "is-active" => {
            let runs = units.iter().all(|unit| machine.disk.units.get(unit) == Some(&true));
            if runs {
                (0, "active\n".to_owned(), String::new())
            } else {
                (3, "inactive\n".to_owned(), String::new())
            }
        }
        _ => (0, String::new(), String::new()),
    }
}
