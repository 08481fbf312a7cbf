//! What is installed, read from dpkg's own status file.
//!
//! Never here: what could be installed; only apt knows that.

use std::cmp::Ordering;
use std::collections::HashMap;

/// One package dpkg knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    pub(crate) arch: &'a str,
    pub(crate) section: &'a str,
    /// Unpacked and configured.
    pub(crate) installed: bool,
    /// Removed, but its configuration files are still there.
    pub(crate) leftover: bool,
}

/// Everything in a status file.
#[derive(Debug, Default)]
pub(crate) struct Status<'a> {
    packages: HashMap<&'a str, Vec<Package<'a>>>,
    provided: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Status<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut status = Self::default();
        for stanza in text.split("\n\n") {
            let (mut name, mut version, mut arch) = ("", "", "");
            let (mut state, mut provides, mut section) = ("", "", "");
            for line in stanza.lines() {
                let Some((key, value)) = line.split_once(':') else { continue };
                let place = match key {
                    "Package" => &mut name,
                    "Version" => &mut version,
                    "Architecture" => &mut arch,
                    "Status" => &mut state,
                    "Provides" => &mut provides,
                    "Section" => &mut section,
                    _ => continue,
                };
                *place = value.trim();
            }
            if name.is_empty() {
                continue;
            }
            let installed = state.ends_with(" installed");
            let leftover = state.ends_with(" config-files");
            if installed {
                for provided in provides.split(',') {
                    let provided = provided.split('(').next().unwrap_or_default().trim();
                    if !provided.is_empty() {
                        status.provided.entry(provided).or_default().push(name);
                    }
                }
            }
            let package = Package { name, version, arch, section, installed, leftover };
            status.packages.entry(name).or_default().push(package);
        }
        status
    }

    /// The package a task means by `name`, which may carry `:arch`.
    pub(crate) fn find(&self, name: &str, native: &str) -> Option<&Package<'a>> {
        let (name, arch) = match name.split_once(':') {
            Some((name, "any")) | Some((name, "native")) => (name, None),
            Some((name, arch)) => (name, Some(arch)),
            None => (name, None),
        };
        let known = self.packages.get(name)?;
        match arch {
            Some(arch) => known.iter().find(|package| package.arch == arch),
            None => known
                .iter()
                .find(|package| package.arch == native || package.arch == "all")
                .or_else(|| known.first().filter(|_| native.is_empty())),
        }
    }

    /// Installed packages that stand for a virtual one.
    pub(crate) fn providers(&self, name: &str) -> &[&'a str] {
        self.provided.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names of packages that fit a shell pattern and are installed or have left something behind.
    pub(crate) fn matching(&self, pattern: &str) -> Vec<String> {
        let mut names: Vec<_> = self
            .packages
            .values()
            .flatten()
            .filter(|package| package.installed || package.leftover)
            .filter(|package| crate::pattern::glob(pattern, package.name))
            .map(|package| package.name.to_owned())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Every installed package.
    pub(crate) fn installed(&self) -> impl Iterator<Item = &Package<'a>> {
        self.packages.values().flatten().filter(|package| package.installed)
    }
}

/// Compares two Debian versions (deb-version(7)).
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    fn split(version: &str) -> (u64, &str, &str) {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch.parse().unwrap_or(0), upstream, revision)
    }
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0).then_with(|| part(a.1, b.1)).then_with(|| part(a.2, b.2))
}

/// Compares upstream versions or revisions: text and numbers in turn, `~` before everything.
fn part(mut a: &str, mut b: &str) -> Ordering {
    fn weight(c: Option<char>) -> i32 {
        match c {
            Some('~') => -1,
            None => 0,
            Some(c) if c.is_ascii_digit() => 0,
            Some(c) if c.is_ascii_alphabetic() => c as i32,
            Some(c) => c as i32 + 256,
        }
    }
    fn number(text: &str) -> (&str, &str) {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        (text[..end].trim_start_matches('0'), &text[end..])
    }
    let textual = |text: &str| text.starts_with(|c: char| !c.is_ascii_digit());
    while !a.is_empty() || !b.is_empty() {
        while textual(a) || textual(b) {
            let (x, y) = (a.chars().next(), b.chars().next());
            let order = weight(x).cmp(&weight(y));
            if order != Ordering::Equal {
                return order;
            }
            a = &a[x.map_or(0, char::len_utf8)..];
            b = &b[y.map_or(0, char::len_utf8)..];
        }
        let ((x, rest_a), (y, rest_b)) = (number(a), number(b));
        let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Packages that apt has marked as installed only for others, from its `extended_states`.
pub(crate) fn automatic(text: &str) -> Vec<&str> {
    text.split("\n\n")
        .filter(|stanza| stanza.lines().any(|line| line == "Auto-Installed: 1"))
        .filter_map(|stanza| stanza.lines().find_map(|line| line.strip_prefix("Package: ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "\
Package: curl
Status: install ok installed
Architecture: amd64
Version: 7.88.1-10+deb12u8
Description: a tool
 Status: not a field

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9
Provides: libc6-x, libc-any (= 2.36)

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36-9

Package: nginx
Status: deinstall ok config-files
Architecture: all
Version: 1.22

Package: broken
Status: install ok half-configured
Architecture: amd64
Version: 1

Package: held
Status: hold ok installed
Architecture: amd64
Version: 3
";

    #[test]
    fn the_state_of_each_package_is_known() {
        let status = Status::parse(STATUS);
        let find = |name: &str| status.find(name, "amd64").unwrap();
        assert!(find("curl").installed && find("held").installed);
        assert_eq!(find("curl").version, "7.88.1-10+deb12u8");
        assert!(!find("nginx").installed && find("nginx").leftover);
        assert!(!find("broken").installed);
        assert_eq!(find("libc6").arch, "amd64");
        assert_eq!(find("libc6:i386").arch, "i386");
        assert_eq!(status.find("curl:i386", "amd64"), None);
        assert_eq!(status.find("zsh", "amd64"), None);
        assert_eq!(status.providers("libc-any"), ["libc6"]);
        assert_eq!(status.matching("*c*"), ["curl", "libc6"]);
    }

    #[test]
    fn versions_compare_as_dpkg_compares_them() {
        for (a, b, order) in [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0", "1.1", Ordering::Less),
            ("1.9", "1.10", Ordering::Less),
            ("1:0.1", "9.9", Ordering::Greater),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0~~", "1.0~", Ordering::Less),
            ("1.0-1", "1.0-1.1", Ordering::Less),
            ("1.0", "1.0-0", Ordering::Equal),
            ("1.0+b1", "1.0", Ordering::Greater),
            ("1.0a", "1.0+", Ordering::Less),
            ("7.88.1-10+deb12u8", "7.88.1-10+deb12u12", Ordering::Less),
            ("2.0.7a", "2.0.7", Ordering::Greater),
            ("1.02", "1.2", Ordering::Equal),
        ] {
            assert_eq!(compare(a, b), order, "{a} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} {a}");
        }
    }

    #[test]
    fn automatic_packages_are_found() {
        let text =
            "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nAuto-Installed: 0\n";
        assert_eq!(automatic(text), ["a"]);
    }
}
