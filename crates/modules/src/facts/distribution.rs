//! Which distribution this is, from `/etc/os-release` and `/etc/debian_version`.

use super::{Facts, line, text};
use serde_json::{Value, json};
use std::collections::HashMap;

/// `ID` of os-release, the name Ansible gives it, and its family.
const NAMES: &[(&str, &str, &str)] = &[
    ("debian", "Debian", "Debian"),
    ("ubuntu", "Ubuntu", "Debian"),
    ("raspbian", "Debian", "Debian"),
    ("linuxmint", "Linux Mint", "Debian"),
    ("pop", "Pop!_OS", "Debian"),
    ("kali", "Kali", "Debian"),
    ("devuan", "Devuan", "Debian"),
    ("rhel", "RedHat", "RedHat"),
    ("centos", "CentOS", "RedHat"),
    ("rocky", "Rocky", "RedHat"),
    ("almalinux", "AlmaLinux", "RedHat"),
    ("fedora", "Fedora", "RedHat"),
    ("ol", "OracleLinux", "RedHat"),
    ("amzn", "Amazon", "RedHat"),
    ("alpine", "Alpine", "Alpine"),
    ("arch", "Archlinux", "Archlinux"),
    ("opensuse-leap", "openSUSE Leap", "Suse"),
    ("opensuse-tumbleweed", "openSUSE Tumbleweed", "Suse"),
    ("sles", "SLES", "Suse"),
    ("gentoo", "Gentoo", "Gentoo"),
    ("nixos", "NixOS", "NixOS"),
    ("void", "Void Linux", "Void"),
];

/// The settings of an os-release file (os-release(5)).
fn parse(text: &str) -> HashMap<&str, String> {
    text.lines()
        .filter_map(|line| line.trim().split_once('='))
        .map(|(key, value)| {
            let words = crate::shlex::split(value).unwrap_or_default();
            (key, words.into_iter().next().unwrap_or_default())
        })
        .collect()
}

pub(super) fn distribution() -> Facts {
    let mut facts = told();
    facts.remove(LSB);
    facts
}

/// The same in the words of the Linux Standard Base.
pub(super) fn lsb() -> Facts {
    let mut facts = told();
    facts.retain(|key, _| key == LSB);
    facts
}

const LSB: &str = "lsb";

fn told() -> Facts {
    let file = ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .unwrap_or("/etc/os-release");
    let debian_version = line("/etc/debian_version");
    render(file, &text(file), debian_version.as_deref())
}

fn render(file: &str, os_release: &str, debian_version: Option<&str>) -> Facts {
    let os = parse(os_release);
    let field = |name: &str| os.get(name).cloned().unwrap_or_default();
    let id = field("ID");
    let known = NAMES.iter().find(|(known, ..)| *known == id);
    let (name, family) = match known {
        Some((_, name, family)) => ((*name).to_owned(), (*family).to_owned()),
        None => {
            let like = field("ID_LIKE");
            let family = like
                .split_whitespace()
                .find_map(|like| NAMES.iter().find(|(known, ..)| *known == like))
                .map_or_else(|| field("NAME"), |found| found.2.to_owned());
            (field("NAME"), family)
        }
    };
    let mut version = field("VERSION_ID");
    if let ("Debian", Some(exact)) = (name.as_str(), debian_version)
        && exact.starts_with(|c: char| c.is_ascii_digit())
    {
        exact.clone_into(&mut version);
    }
    let mut parts = version.split('.');
    let major = parts.next().unwrap_or_default().to_owned();
    let minor = parts.next().map_or(Value::Null, Value::from);
    let mut release = field("VERSION_CODENAME");
    if release.is_empty() {
        release = codename(&field("VERSION")).unwrap_or_else(|| "NA".to_owned());
    }
    let Value::Object(facts) = json!({
        "distribution": name,
        "distribution_version": version,
        "distribution_major_version": major,
        "distribution_minor_version": minor,
        "distribution_release": release,
        "distribution_file_parsed": true,
        "distribution_file_path": file,
        "distribution_file_variety": name,
        "os_family": family,
        "lsb": {
            "id": name,
            "description": field("PRETTY_NAME"),
            "release": field("VERSION_ID"),
            "major_release": field("VERSION_ID").split('.').next().unwrap_or_default(),
            "codename": release,
        },
    }) else {
        unreachable!("an object literal is an object")
    };
    facts
}

/// `bookworm` out of `12 (bookworm)`.
fn codename(version: &str) -> Option<String> {
    let (_, rest) = version.split_once('(')?;
    Some(rest.split_once(')')?.0.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_have_the_names_ansible_gives_them() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
                      VERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\n\
                      ID=debian\n";
        let ubuntu = "NAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\nVERSION_CODENAME=jammy\nID=ubuntu\n\
                      ID_LIKE=debian\n";
        let rocky = "NAME=\"Rocky Linux\"\nVERSION=\"9.3 (Blue Onyx)\"\nID=\"rocky\"\n\
                     ID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n";
        let other = "NAME=\"Home OS\"\nID=homeos\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=3\n";
        for (text, exact, expected) in [
            (debian, Some("12.11"), ["Debian", "12.11", "12", "bookworm", "Debian"]),
            (debian, Some("trixie/sid"), ["Debian", "12", "12", "bookworm", "Debian"]),
            (ubuntu, Some("bookworm/sid"), ["Ubuntu", "22.04", "22", "jammy", "Debian"]),
            (rocky, None, ["Rocky", "9.3", "9", "blue onyx", "RedHat"]),
            (other, None, ["Home OS", "3", "3", "NA", "Debian"]),
        ] {
            let facts = render("/etc/os-release", text, exact);
            let got = [
                "distribution",
                "distribution_version",
                "distribution_major_version",
                "distribution_release",
                "os_family",
            ]
            .map(|key| facts[key].as_str().unwrap().to_owned());
            assert_eq!(got, expected);
        }
    }
}
