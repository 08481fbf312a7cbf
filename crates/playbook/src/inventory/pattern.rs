//! Which hosts a pattern means: `web:&staging:!web3`, `db[0:2]`, `~web\d+`, `*.example.org`.

use super::Inventory;
use crate::template::fnmatch;

/// Names by which this computer is meant though no inventory lists it.
pub(crate) fn is_localhost(name: &str) -> bool {
    matches!(name, "localhost" | "127.0.0.1" | "::1")
}

impl Inventory {
    /// The hosts of a pattern, in the order of the inventory. `localhost` is always there.
    ///
    /// # Errors
    /// With a sentence on a pattern that cannot be read.
    pub fn hosts_matching(&self, pattern: &str) -> Result<Vec<String>, String> {
        let mut parts = split(pattern);
        // Ansible takes what is added first, then what is kept, then what is left out.
        let weight = |part: &String| match part.chars().next() {
            Some('&') => 1,
            Some('!') => 2,
            _ => 0,
        };
        parts.sort_by_key(weight);
        if parts.first().is_none_or(|part| weight(part) > 0) {
            parts.insert(0, "all".to_owned());
        }
        let mut chosen: Vec<String> = Vec::new();
        for part in &parts {
            match part.chars().next() {
                Some('!') => {
                    let without = self.one(&part[1..])?;
                    chosen.retain(|host| !without.contains(host));
                }
                Some('&') => {
                    let within = self.one(&part[1..])?;
                    chosen.retain(|host| within.contains(host));
                }
                _ => {
                    for host in self.one(part)? {
                        if !chosen.contains(&host) {
                            chosen.push(host);
                        }
                    }
                }
            }
        }
        Ok(chosen)
    }

    /// The parts of a pattern that mean nothing here.
    fn unmatched(&self, pattern: &str) -> Vec<String> {
        let parts = split(pattern).into_iter().map(|part| {
            let name = part.trim_start_matches(['!', '&']);
            subscript(name).0.to_owned()
        });
        parts
            .filter(|name| {
                let group = self.groups.contains_key(name);
                !group && self.named(name).is_ok_and(|hosts| hosts.is_empty())
            })
            .collect()
    }

    /// What is to be said of the parts of a pattern that mean nothing here, as the option
    /// `host_pattern_mismatch` has it: `warning`, `error` or `ignore`.
    ///
    /// # Errors
    /// With the sentence, where that is an error.
    pub fn mismatches(&self, pattern: &str, how: &str) -> Result<Vec<String>, String> {
        let said: Vec<String> = self
            .unmatched(pattern)
            .into_iter()
            .filter(|part| part != "all" && !part.starts_with('@') && !is_localhost(part))
            .map(|part| format!("Could not match supplied host pattern, ignoring: {part}"))
            .collect();
        match (how, said.first()) {
            ("warning", _) => Ok(said),
            ("error", Some(first)) => Err(first.clone()),
            _ => Ok(Vec::new()),
        }
    }

    /// Those of `hosts` that a limit leaves: a pattern, or `@file` with one on each line. A limit
    /// that says nothing leaves all.
    ///
    /// # Errors
    /// With a sentence on a pattern or a file that cannot be read.
    pub fn limited(&self, mut hosts: Vec<String>, limit: &str) -> Result<Vec<String>, String> {
        let mut parts = Vec::new();
        for part in split(limit) {
            let Some(file) = part.strip_prefix('@') else {
                parts.push(part);
                continue;
            };
            let path = std::path::Path::new(file);
            if !path.exists() {
                return Err(format!("Unable to find limit file {file}"));
            }
            if !path.is_file() {
                return Err(format!(
                    "Limit starting with \"@\" must be a file, not a directory: {file}"
                ));
            }
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read the limit file `{file}`: {error}"))?;
            parts.extend(text.lines().map(|line| line.trim().to_owned()));
        }
        parts.retain(|part| !part.is_empty());
        if !parts.is_empty() {
            let allowed: std::collections::HashSet<String> =
                self.hosts_matching(&parts.join(","))?.into_iter().collect();
            hosts.retain(|host| allowed.contains(host));
        }
        Ok(hosts)
    }

    /// The hosts of one part of a pattern.
    fn one(&self, part: &str) -> Result<Vec<String>, String> {
        let (name, slice) = subscript(part);
        let hosts = self.named(name)?;
        let Some(slice) = slice else { return Ok(hosts) };
        let count = i64::try_from(hosts.len()).unwrap_or(i64::MAX);
        let place = |index: i64| if index < 0 { index + count } else { index };
        let picked = match slice {
            Slice::One(index) => {
                let index = place(index);
                usize::try_from(index)
                    .ok()
                    .and_then(|index| hosts.get(index))
                    .cloned()
                    .into_iter()
                    .collect()
            }
            Slice::Range(first, last) => {
                let first = place(first.unwrap_or(0)).max(0);
                let last = last.map_or(count - 1, place).min(count - 1);
                (first..=last)
                    .filter_map(|index| hosts.get(usize::try_from(index).ok()?).cloned())
                    .collect()
            }
        };
        Ok(picked)
    }

    fn named(&self, name: &str) -> Result<Vec<String>, String> {
        if matches!(name, "all" | "*") {
            return Ok(self.group_hosts("all"));
        }
        let regex = match name.strip_prefix('~') {
            Some(source) => Some(
                fancy_regex::Regex::new(source)
                    .map_err(|error| format!("`{name}` is not a regular expression: {error}"))?,
            ),
            None => None,
        };
        let matches = |candidate: &str| match &regex {
            Some(regex) => regex
                .find(candidate)
                .is_ok_and(|found| found.is_some_and(|found| found.start() == 0)),
            None => {
                candidate == name || (name.contains(['*', '?', '[']) && fnmatch(name, candidate))
            }
        };
        let groups: Vec<&String> = self.groups.keys().filter(|group| matches(group)).collect();
        let mut found: Vec<String> = Vec::new();
        for group in &groups {
            for host in self.group_hosts(group) {
                if !found.contains(&host) {
                    found.push(host);
                }
            }
        }
        if groups.is_empty() || regex.is_some() || name.contains(['*', '?', '[', '.']) {
            for host in self.hosts.keys().filter(|host| matches(host)) {
                if !found.contains(host) {
                    found.push(host.clone());
                }
            }
        }
        if found.is_empty() && groups.is_empty() && is_localhost(name) {
            found.push(name.to_owned());
        }
        Ok(found)
    }
}

enum Slice {
    One(i64),
    Range(Option<i64>, Option<i64>),
}

/// `web[1:3]` is `web` and a slice; `web[a-c]` is a wildcard as a whole.
fn subscript(part: &str) -> (&str, Option<Slice>) {
    if part.starts_with('~') {
        return (part, None);
    }
    let Some((name, inside)) = part.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) else {
        return (part, None);
    };
    if let Ok(index) = inside.parse() {
        return (name, Some(Slice::One(index)));
    }
    let Some((first, last)) = inside.split_once([':', '-']) else { return (part, None) };
    let bound = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    match (bound(first), bound(last)) {
        (Some(first), Some(last)) if first.is_some() || last.is_some() => {
            (name, Some(Slice::Range(first, last)))
        }
        _ => (part, None),
    }
}

/// The parts between commas, or between colons that are not within brackets or an IPv6 address.
fn split(pattern: &str) -> Vec<String> {
    let trimmed = |text: &str| text.trim().to_owned();
    if pattern.contains(',') {
        return pattern.split(',').flat_map(split).filter(|part| !part.is_empty()).collect();
    }
    let bare = pattern.trim_start_matches(['!', '&']);
    if bare.trim_start_matches('[').trim_end_matches(']').parse::<std::net::Ipv6Addr>().is_ok() {
        return vec![trimmed(pattern)];
    }
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut depth = 0;
    for c in pattern.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ':' if depth <= 0 => {
                parts.push(trimmed(&std::mem::take(&mut part)));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(trimmed(&part));
    parts.retain(|part| !part.is_empty());
    parts
}
