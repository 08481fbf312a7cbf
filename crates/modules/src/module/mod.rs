//! One file per module, and the table that finds it.

mod acl;
mod alternatives;
pub(crate) mod apt;
mod apt_key;
mod apt_repository;
mod assemble;
mod authorized_key;
mod blockinfile;
mod command;
mod composer;
mod copy;
mod cron;
mod deb822_repository;
mod debconf;
mod docker;
mod dpkg_selections;
mod file;
mod filesystem;
mod find;
mod get_url;
mod getent;
mod git;
mod group;
mod hostname;
mod htpasswd;
mod ini_file;
mod iptables;
mod known_hosts;
mod lineinfile;
mod locale_gen;
mod lvg;
mod lvol;
mod make;
mod modprobe;
mod mount;
mod mysql;
mod npm;
mod openssh_keypair;
mod openssl;
mod package_facts;
mod ping;
mod pip;
mod postgresql;
mod replace;
mod service;
mod service_facts;
mod setup;
pub(crate) mod slurp;
mod stat;
mod synchronize;
mod sysctl;
pub(crate) mod systemd;
mod tempfile;
mod timezone;
mod ufw;
mod unarchive;
mod uri;
mod user;
mod wait_for;

use crate::args::Args;
use crate::context::Context;
use crate::outcome::{Done, fail};

type Run = fn(&Args, &Context) -> Done;

const MODULES: &[(&str, Run)] = &[
    ("acl", acl::run),
    ("alternatives", alternatives::run),
    ("apt", apt::run),
    ("apt_key", apt_key::run),
    ("apt_repository", apt_repository::run),
    ("assemble", assemble::run),
    ("authorized_key", authorized_key::run),
    ("blockinfile", blockinfile::run),
    ("composer", composer::run),
    ("copy", copy::run),
    ("cron", cron::run),
    ("deb822_repository", deb822_repository::run),
    ("debconf", debconf::run),
    ("docker_container", docker::container::run),
    ("docker_image", docker::image::run),
    ("docker_network", docker::network::run),
    ("dpkg_selections", dpkg_selections::run),
    ("file", file::run),
    ("filesystem", filesystem::run),
    ("find", find::run),
    ("get_url", get_url::run),
    ("getent", getent::run),
    ("git", git::run),
    ("group", group::run),
    ("hostname", hostname::run),
    ("htpasswd", htpasswd::run),
    ("ini_file", ini_file::run),
    ("iptables", iptables::run),
    ("known_hosts", known_hosts::run),
    ("lineinfile", lineinfile::run),
    ("locale_gen", locale_gen::run),
    ("lvg", lvg::run),
    ("lvol", lvol::run),
    ("make", make::run),
    ("modprobe", modprobe::run),
    ("mount", mount::run),
    ("mysql_db", mysql::db::run),
    ("mysql_user", mysql::user::run),
    ("npm", npm::run),
    ("openssh_keypair", openssh_keypair::run),
    ("openssl_csr", openssl::csr::run),
    ("openssl_privatekey", openssl::privatekey::run),
    ("package", apt::run_package),
    ("package_facts", package_facts::run),
    ("ping", ping::run),
    ("pip", pip::run),
    ("postgresql_db", postgresql::db::run),
    ("postgresql_privs", postgresql::privs::run),
    ("postgresql_user", postgresql::user::run),
    ("replace", replace::run),
    ("service", service::run),
    ("service_facts", service_facts::run),
    ("setup", setup::run),
    ("slurp", slurp::run),
    ("stat", stat::run),
    ("synchronize", synchronize::run),
    ("sysctl", sysctl::run),
    ("systemd_service", systemd::run),
    ("tempfile", tempfile::run),
    ("timezone", timezone::run),
    ("ufw", ufw::run),
    ("unarchive", unarchive::run),
    ("uri", uri::run),
    ("user", user::run),
    ("wait_for", wait_for::run),
    ("x509_certificate", openssl::x509_certificate::run),
];

/// Whether there is code for a module of the table.
#[cfg(test)]
pub(crate) fn exists(name: &str) -> bool {
    name == "command" || MODULES.iter().any(|(known, _)| *known == name)
}

/// Runs the module `name` of the table, which the task called `called`.
pub(crate) fn dispatch(name: &str, called: &str, args: &Args, ctx: &Context) -> Done {
    if name == "command" {
        return command::run(called == "shell" || args.flag("_uses_shell"), args, ctx);
    }
    match MODULES.iter().find(|(known, _)| *known == name) {
        Some((_, run)) => run(args, ctx),
        None => Err(fail!("there is no native module called {called}")),
    }
}
