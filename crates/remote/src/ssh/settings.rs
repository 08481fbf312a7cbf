//! What the user's ssh configuration and the inventory say about one host, and whether the
//! in-process client can honour all of it.
//!
//! `ssh -G` is the one that understands Include, Match, tokens and the order of precedence; here
//! its answer is read. Where no configuration exists and the inventory's options are simple, its
//! answer is known without asking. Pure. Never here: running ssh, reading files.

use crate::target::{Password, SshTarget, SshUser};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to do with a host whose key is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostKeys {
    /// Refuse it. `ask` means this too, because there is nobody to ask.
    Strict,
    /// Remember it, refuse a changed one.
    AcceptNew,
    /// Take any.
    Off,
}

/// Settings of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    /// The name known_hosts has, where it is another.
    pub(crate) alias: Option<String>,
    pub(crate) keys: Vec<PathBuf>,
    /// The keys were chosen by somebody and are not the usual ones.
    pub(crate) keys_chosen: bool,
    pub(crate) only_these_keys: bool,
    pub(crate) agent: Option<PathBuf>,
    pub(crate) user_known_hosts: Vec<PathBuf>,
    pub(crate) global_known_hosts: Vec<PathBuf>,
    pub(crate) host_keys: HostKeys,
    pub(crate) hash_known_hosts: bool,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) alive_interval: Option<Duration>,
    /// Setting that only `ssh` itself can honour.
    pub(crate) needs_ssh: Option<String>,
    /// Tried when no key is taken.
    pub(crate) password: Option<Password>,
}

/// OpenSSH's own default identities (ssh_config(5), IdentityFile).
const USUAL_KEYS: &[&str] =
    &["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "id_dsa"];

/// Settings whose presence with any other value means that `ssh` has to do it. `none` and `no` are
/// how `ssh -G` spells most of the defaults.
const ONLY_DEFAULT: &[(&str, &[&str])] = &[
    ("proxyjump", &["none"]),
    ("proxycommand", &["none"]),
    ("knownhostscommand", &["none"]),
    ("pkcs11provider", &["none"]),
    ("revokedhostkeys", &["none"]),
    ("certificatefile", &["none"]),
    ("bindaddress", &[]),
    ("bindinterface", &[]),
    ("addressfamily", &["any"]),
    ("hostbasedauthentication", &["no"]),
    ("verifyhostkeydns", &["no", "false"]),
    ("nohostauthenticationforlocalhost", &["no"]),
    ("pubkeyauthentication", &["yes", "true"]),
    ("forwardagent", &["no"]),
    ("setenv", &[]),
    ("remotecommand", &["none"]),
    ("permitlocalcommand", &["no"]),
    ("canonicalizehostname", &["no", "false"]),
    ("checkhostip", &["no"]),
    ("requesttty", &["auto", "no", "false"]),
    ("tunnel", &["no", "false"]),
];

/// Lists of algorithms: somebody who changed them had a reason that our own choice would ignore.
pub(crate) const ALGORITHMS: &[&str] =
    &["ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms"];

/// Options that [`without_asking`] understands, spelled as in the manual page.
const SIMPLE: &[&str] = &[
    "stricthostkeychecking",
    "userknownhostsfile",
    "globalknownhostsfile",
    "identityfile",
    "identitiesonly",
    "connecttimeout",
    "port",
    "user",
    "hostkeyalias",
    "serveraliveinterval",
    "serveralivecountmax",
    "batchmode",
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "loglevel",
    "controlmaster",
    "controlpersist",
    "updatehostkeys",
    "hashknownhosts",
    "connectionattempts",
    "tcpkeepalive",
];

/// The settings that `ssh -G` told, one `key value` a line. `usual` is what it tells without any
/// configuration.
pub(crate) fn parse(text: &str, usual: &str, target: &SshTarget, user: &SshUser) -> Settings {
    let (told, usual) = (read(text), read(usual));
    let mut settings = from_map(&told, target, user);
    settings.needs_ssh = settings.needs_ssh.or_else(|| {
        ALGORITHMS
            .iter()
            .find(|key| told.get(**key) != usual.get(**key))
            .map(|key| (*key).to_owned())
    });
    settings
}

/// The settings of a host that no configuration file says anything about, if the inventory's
/// options are simple enough to know them.
pub(crate) fn without_asking(target: &SshTarget, user: &SshUser) -> Option<Settings> {
    let mut told: HashMap<String, Vec<String>> = HashMap::new();
    let mut set = |key: &str, value: &str| {
        let values = told.entry(key.to_owned()).or_default();
        // The first value counts, but identities add up (ssh_config(5)).
        if values.is_empty() || key == "identityfile" {
            values.push(value.to_owned());
        }
    };
    let mut words = target.args.iter();
    while let Some(word) = words.next() {
        let (flag, glued) = word.split_at_checked(2)?;
        let value = if glued.is_empty() { words.next()?.as_str() } else { glued };
        match flag {
            "-o" => {
                let (key, value) =
                    value.split_once('=').or_else(|| value.split_once(char::is_whitespace))?;
                let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
                if !SIMPLE.contains(&&*key) || value.contains(['%', '$', '"']) {
                    return None;
                }
                set(&key, value);
            }
            "-i" => set("identityfile", value),
            "-p" => set("port", value),
            "-l" => set("user", value),
            _ => return None,
        }
    }
    // An address with a user or a zone in it is for ssh to take apart.
    if target.address.contains(['@', '%', '/']) {
        return None;
    }
    Some(from_map(&told, target, user))
}

fn read(text: &str) -> HashMap<String, Vec<String>> {
    let mut told: HashMap<String, Vec<String>> = HashMap::new();
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        told.entry(key.to_ascii_lowercase()).or_default().push(value.trim().to_owned());
    }
    told
}

fn from_map(told: &HashMap<String, Vec<String>>, target: &SshTarget, user: &SshUser) -> Settings {
    let one = |key: &str| told.get(key).and_then(|values| values.first()).map(String::as_str);
    let set = |key: &str| one(key).filter(|value| *value != "none" && !value.is_empty());
    let seconds = |key: &str| {
        let number = set(key).and_then(|text| text.parse().ok()).filter(|number| *number > 0);
        number.map(Duration::from_secs)
    };
    let home = |path: &str| match path.strip_prefix("~/") {
        Some(rest) => user.home.join(rest),
        None => PathBuf::from(path),
    };
    let files = |key: &str, usual: &[&str]| -> Vec<PathBuf> {
        match one(key) {
            Some("none") => Vec::new(),
            Some(list) => list.split_whitespace().map(home).collect(),
            None => usual.iter().map(|path| home(path)).collect(),
        }
    };
    let chosen: Vec<PathBuf> = told
        .get("identityfile")
        .map(|list| list.iter().filter(|file| *file != "none").map(|file| home(file)).collect())
        .unwrap_or_default();
    let usual: Vec<PathBuf> =
        USUAL_KEYS.iter().map(|key| user.home.join(".ssh").join(key)).collect();
    // ssh -G names the usual keys as well, so a choice shows by differing from them.
    let keys_chosen = target.key.is_some() || (!chosen.is_empty() && chosen != usual);
    let mut keys: Vec<PathBuf> = target.key.iter().cloned().collect();
    keys.extend(if keys_chosen { chosen } else { usual });
    let agent = match one("identityagent") {
        Some("none") => None,
        None | Some("SSH_AUTH_SOCK" | "") => user.agent.clone(),
        Some(path) => Some(home(path)),
    };
    let host_keys = match (target.check_host_key, one("stricthostkeychecking")) {
        (Some(false), _) | (None, Some("no" | "off" | "false")) => HostKeys::Off,
        (None, Some("accept-new")) => HostKeys::AcceptNew,
        _ => HostKeys::Strict,
    };
    let host = set("hostname").unwrap_or(&target.address);
    let configured_port = set("port").and_then(|port| port.parse().ok());
    let configured_user = set("user").map(str::to_owned);
    let named = target.user.clone();
    Settings {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: target.port.or(configured_port).unwrap_or(22),
        user: named.or(configured_user).unwrap_or_else(|| user.name.clone()),
        alias: set("hostkeyalias").map(str::to_owned),
        keys,
        keys_chosen,
        only_these_keys: one("identitiesonly") == Some("yes"),
        agent,
        user_known_hosts: files(
            "userknownhostsfile",
            &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"],
        ),
        global_known_hosts: files(
            "globalknownhostsfile",
            &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"],
        ),
        host_keys,
        hash_known_hosts: one("hashknownhosts") == Some("yes"),
        connect_timeout: seconds("connecttimeout"),
        alive_interval: seconds("serveraliveinterval"),
        needs_ssh: needs_ssh(told),
        password: target.password.clone(),
    }
}

fn needs_ssh(told: &HashMap<String, Vec<String>>) -> Option<String> {
    let fits = |key: &str, usual: &[&str]| {
        told.get(key).is_none_or(|values| {
            values.iter().all(|value| value.is_empty() || usual.contains(&value.as_str()))
        })
    };
    let odd = ONLY_DEFAULT.iter().find(|(key, usual)| !fits(key, usual)).map(|(key, _)| *key);
    // `ssh -G` leaves the tokens and variables of these two alone (OpenSSH 9.2).
    let unread = ["identityfile", "identityagent"].into_iter().find(|key| {
        let values = told.get(*key).into_iter().flatten();
        values.into_iter().any(|value| value.contains(['%', '$']))
    });
    let odd = odd.or(unread);
    let prefers = told.get("preferredauthentications").and_then(|values| values.first());
    let prefers = prefers.filter(|list| !list.split(',').any(|method| method == "publickey"));
    odd.or(prefers.map(|_| "preferredauthentications")).map(str::to_owned)
}

/// The socket of a connection that other ssh processes share, if this host has one configured.
pub(crate) fn control_path(text: &str) -> Option<PathBuf> {
    let path = read(text).remove("controlpath")?.into_iter().next()?;
    (path != "none" && !path.is_empty()).then(|| PathBuf::from(path))
}

/// Whether the system's ssh configuration says no more than Debian's own does (openssh-client
/// 1:9.2p1): nothing in it matters to us.
pub(crate) fn is_plain(text: &str) -> bool {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).all(
        |line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            matches!(
                words[..],
                ["Include", "/etc/ssh/ssh_config.d/*.conf"]
                    | ["Host", "*"]
                    | ["SendEnv", ..]
                    | ["HashKnownHosts", "yes"]
                    | ["GSSAPIAuthentication", "yes"]
            )
        },
    )
}

/// What `ssh` is given for a host, before its address and command. Of an option given twice the
/// first counts, so what the inventory says of this host comes before its arguments for all.
pub(crate) fn ssh_args(target: &SshTarget) -> Vec<String> {
    let mut args = Vec::new();
    let mut option =
        |key: &str, value: &str| args.extend(["-o".to_owned(), format!("{key}={value}")]);
    if let Some(port) = target.port {
        option("Port", &port.to_string());
    }
    if let Some(user) = &target.user {
        option("User", &format!("\"{user}\""));
    }
    if let Some(key) = &target.key {
        option("IdentityFile", &format!("\"{}\"", key.display()));
    }
    if let Some(check) = target.check_host_key {
        option("StrictHostKeyChecking", if check { "yes" } else { "no" });
    }
    args.extend(target.args.iter().cloned());
    args
}

/// A path as the user may write it, with `~` for the home directory.
pub(crate) fn expand(path: &Path, user: &SshUser) -> PathBuf {
    path.strip_prefix("~").map_or_else(|_| path.to_owned(), |rest| user.home.join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> SshUser {
        SshUser {
            home: PathBuf::from("/home/me"),
            name: "me".to_owned(),
            agent: Some(PathBuf::from("/run/agent")),
            environment: Vec::new(),
        }
    }

    fn with_args(args: &[&str]) -> SshTarget {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        SshTarget { args, ..SshTarget::named("web-1") }
    }

    /// What `ssh -G web-1` of OpenSSH 9.2 says without any configuration, as far as we read it.
    const PLAIN: &str = "\
user me
hostname web-1
port 22
addressfamily any
canonicalizehostname false
checkhostip no
forwardagent no
gssapiauthentication yes
hashknownhosts yes
hostbasedauthentication no
identitiesonly no
permitlocalcommand no
pubkeyauthentication true
requesttty auto
stricthostkeychecking ask
tunnel false
verifyhostkeydns false
nohostauthenticationforlocalhost no
ciphers a,b
identityfile ~/.ssh/id_rsa
identityfile ~/.ssh/id_ecdsa
identityfile ~/.ssh/id_ecdsa_sk
identityfile ~/.ssh/id_ed25519
identityfile ~/.ssh/id_ed25519_sk
identityfile ~/.ssh/id_xmss
identityfile ~/.ssh/id_dsa
globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
userknownhostsfile /home/me/.ssh/known_hosts /home/me/.ssh/known_hosts2
connecttimeout none
serveraliveinterval 0
";

    fn parsed(more: &str) -> Settings {
        // Of a key told twice the first counts here, as ssh -G tells most keys once.
        parse(&format!("{more}{PLAIN}"), PLAIN, &SshTarget::named("web-1"), &me())
    }

    #[test]
    fn asking_ssh_about_nothing_tells_what_is_known_without_asking() {
        let mut known = without_asking(&SshTarget::named("web-1"), &me()).unwrap();
        known.hash_known_hosts = true;
        assert_eq!(parsed(""), known);
        assert_eq!(known.needs_ssh, None);
        assert_eq!(known.host_keys, HostKeys::Strict);
        assert!(!known.keys_chosen);
        assert_eq!(known.keys[3], Path::new("/home/me/.ssh/id_ed25519"));
    }

    #[test]
    fn what_we_cannot_honour_is_left_to_ssh() {
        for line in [
            "proxyjump bastion",
            "proxycommand nc %h %p",
            "certificatefile ~/.ssh/id-cert.pub",
            "pkcs11provider /usr/lib/opensc.so",
            "forwardagent yes",
            "addressfamily inet6",
            "bindaddress 10.0.0.1",
            "setenv A=b",
            "identityfile ~/.ssh/%h_key",
            "identityagent $AGENT",
            "preferredauthentications gssapi-with-mic,password",
            "ciphers 3des-cbc",
        ] {
            let key = line.split(' ').next().unwrap();
            assert_eq!(parsed(&format!("{line}\n")).needs_ssh.as_deref(), Some(key));
        }
        assert_eq!(parsed("proxyjump none\n").needs_ssh, None);
    }

    #[test]
    fn what_the_configuration_says_is_honoured() {
        let told = parsed(
            "hostname 10.0.0.9\nport 2222\nuser deploy\nhostkeyalias web\nidentitiesonly yes\n\
             identityagent none\nstricthostkeychecking accept-new\nconnecttimeout 7\n\
             serveraliveinterval 5\nuserknownhostsfile ~/kh\n",
        );
        assert_eq!((&*told.host, told.port, &*told.user), ("10.0.0.9", 2222, "deploy"));
        assert_eq!(told.alias.as_deref(), Some("web"));
        assert!(told.only_these_keys);
        assert_eq!(told.agent, None);
        assert_eq!(told.host_keys, HostKeys::AcceptNew);
        assert_eq!(told.connect_timeout, Some(Duration::from_secs(7)));
        assert_eq!(told.alive_interval, Some(Duration::from_secs(5)));
        assert_eq!(told.user_known_hosts, [Path::new("/home/me/kh")]);
    }

    #[test]
    fn the_inventory_counts_more_than_the_configuration() {
        let target = SshTarget {
            user: Some("root".to_owned()),
            port: Some(22022),
            key: Some(PathBuf::from("/keys/site")),
            check_host_key: Some(false),
            ..SshTarget::named("web-1")
        };
        let text = format!("user deploy\nport 2222\n{PLAIN}");
        let told = parse(&text, PLAIN, &target, &me());
        assert_eq!((&*told.user, told.port), ("root", 22022));
        assert_eq!(told.keys[0], Path::new("/keys/site"));
        assert!(told.keys_chosen);
        assert_eq!(told.host_keys, HostKeys::Off);
    }

    #[test]
    fn simple_options_of_the_inventory_are_understood_without_ssh() {
        let target = with_args(&[
            "-o",
            "StrictHostKeyChecking=no",
            "-oUserKnownHostsFile=/dev/null",
            "-i",
            "~/k",
            "-p",
            "2200",
        ]);
        let told = without_asking(&target, &me()).unwrap();
        assert_eq!(told.host_keys, HostKeys::Off);
        assert_eq!(told.user_known_hosts, [Path::new("/dev/null")]);
        assert_eq!(told.keys[0], Path::new("/home/me/k"));
        assert_eq!(told.port, 2200);
        let odd: [&[&str]; 5] =
            [&["-J", "bastion"], &["-o", "ProxyCommand=x"], &["-F", "/f"], &["-4"], &["-o"]];
        for args in odd {
            assert_eq!(without_asking(&with_args(args), &me()), None, "{args:?}");
        }
    }

    #[test]
    fn debians_own_configuration_is_plain_and_a_users_is_not() {
        let debian = "# c\nInclude /etc/ssh/ssh_config.d/*.conf\n\nHost *\n    SendEnv LANG LC_*\n    \
                      HashKnownHosts yes\n    GSSAPIAuthentication yes\n";
        assert!(is_plain(debian));
        assert!(!is_plain(&format!("{debian}    ProxyJump bastion\n")));
        assert!(!is_plain("Host web\n"));
    }

    #[test]
    fn addresses_that_ssh_would_take_for_options_are_refused() {
        for address in ["-oProxyCommand=x", "", "a b", "a\nb"] {
            let target = SshTarget { address: address.to_owned(), ..SshTarget::named("x") };
            assert!(target.check().is_err(), "{address:?}");
        }
        assert!(SshTarget::named("web-1").check().is_ok());
    }
}
