//! Addresses: files for systemd-networkd, and the kernel told at once, so that a machine can be
//! reached before networkd has started.

#![expect(
    clippy::disallowed_methods,
    reason = "the agent runs on targets, where nothing stands between it and the system"
)]

use super::{Origin, ensure_file};
use crate::failure::{refused, system};
use crate::root::Root;
use crate::time::{Deadline, pause};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use updraft_base::Mac;
use updraft_wire::{Failure, Identity, Interface};

const NETWORKS: &str = "/etc/systemd/network";

/// A network card may show up only after its driver was loaded by udev.
const CARD: Duration = Duration::from_secs(100);
const CARD_PAUSE: Duration = Duration::from_millis(20);

/// Makes files and kernel agree with the identity.
pub(super) fn ensure(
    root: &Root,
    wanted: &Identity,
    before: Option<&Identity>,
    origin: Origin,
) -> Result<(), Failure> {
    let changed = ensure_files(root, wanted)?;
    if !wanted.resolvers.is_empty() {
        ensure_file(root, "/etc/resolv.conf", resolv_conf(wanted).as_bytes(), 0o644)?;
    }
    if !root.is_system() {
        return Ok(());
    }
    let mut netlink = Netlink::open()?;
    let mut cards = vec![None; wanted.interfaces.len()];
    if origin == Origin::Memory {
        for (index, interface) in wanted.interfaces.iter().enumerate() {
            let old = before.and_then(|before| before.interfaces.get(index));
            cards[index] = take_over(&mut netlink, interface, old)?;
        }
    }
    for (interface, found) in wanted.interfaces.iter().zip(cards) {
        let index = found.map_or_else(|| card(interface.mac), Ok)?;
        let old = before.iter().flat_map(|before| &before.interfaces);
        for old in old.filter(|old| old.mac == interface.mac && old.address != interface.address) {
            netlink.remove_address(index, parse(&old.address)?)?;
        }
        netlink.switch_on(index)?;
        netlink.add_address(index, parse(&interface.address)?)?;
        if let Some(gateway) = interface.gateway.as_deref().and_then(|text| text.parse().ok()) {
            netlink.set_default_route(index, gateway)?;
        }
    }
    // networkd writes it when it starts (systemd 252); its directories are there before, made by
    // systemd-tmpfiles. A networkd that has not started yet reads the files when it does.
    // One that goes on from a template starts anew anyway, when there is time.
    let runs = || Path::new("/run/systemd/netif/state").is_file();
    if changed && origin != Origin::Memory && runs() {
        let said = Command::new("networkctl").arg("reload").stdin(Stdio::null()).output();
        match said {
            Ok(said) if !said.status.success() => {
                let words = String::from_utf8_lossy(&said.stderr);
                return Err(system("cannot tell systemd-networkd", words.trim()));
            }
            // Without networkctl there is nobody to tell.
            _ => {}
        }
    }
    Ok(())
}

/// The kernel's number of a template's card, until the first machine has taken it over that goes on
/// from there.
static SPARE: Mutex<Option<u32>> = Mutex::new(None);

/// Looks at what a machine that goes on from here looks at, for it to find it sooner.
pub(super) fn rehearse() {
    drop(Netlink::open());
    *crate::connection::lock(&SPARE) = find_card(Path::new(CLASS), Mac::TEMPLATE);
}

/// Where the kernel shows its network cards.
const CLASS: &str = "/sys/class/net";

/// Gives the card of the machine that this one was its own address, and returns its number. A template's
/// has none, and one that was plugged in since is this machine's already.
fn take_over(
    netlink: &mut Netlink,
    wanted: &Interface,
    old: Option<&Interface>,
) -> Result<Option<u32>, Failure> {
    if let Some(index) = crate::connection::lock(&SPARE).take() {
        return netlink.set_mac(index, wanted.mac).map(|()| Some(index));
    }
    let class = Path::new(CLASS);
    if let Some(index) = find_card(class, wanted.mac) {
        return Ok(Some(index));
    }
    let was = old.map_or(Mac::TEMPLATE, |old| old.mac);
    let Some(index) = find_card(class, was) else { return Ok(None) };
    if let Some(old) = old {
        netlink.remove_address(index, parse(&old.address)?)?;
        // Off and on again: what the kernel made of the old address by itself (RFC 4291, appendix A)
        // goes with it.
        netlink.switch_off(index)?;
    }
    netlink.set_mac(index, wanted.mac).map(|()| Some(index))
}

/// Writes a file for each interface and removes ours for others; returns whether any changed.
fn ensure_files(root: &Root, wanted: &Identity) -> Result<bool, Failure> {
    let mut changed = false;
    let name = |mac: Mac| format!("10-updraft-{}.network", mac.to_string().replace(':', "-"));
    for interface in &wanted.interfaces {
        let path = format!("{NETWORKS}/{}", name(interface.mac));
        changed |= ensure_file(root, &path, unit(interface, wanted).as_bytes(), 0o644)?;
    }
    let Ok(entries) = fs::read_dir(root.at(NETWORKS)) else {
        return Ok(changed);
    };
    for entry in entries.filter_map(Result::ok) {
        let found = entry.file_name().to_string_lossy().into_owned();
        let ours = found.starts_with("10-updraft-") && found.ends_with(".network");
        if ours && wanted.interfaces.iter().all(|interface| name(interface.mac) != found) {
            fs::remove_file(entry.path())
                .map_err(|fault| system(format_args!("cannot remove `{found}`"), fault))?;
            changed = true;
        }
    }
    Ok(changed)
}

fn unit(interface: &Interface, wanted: &Identity) -> String {
    let mut text = format!(
        "# Written by updraft, do not edit.\n[Match]\nMACAddress={}\n\n[Network]\nAddress={}\n",
        interface.mac, interface.address
    );
    if let Some(gateway) = &interface.gateway {
        text.push_str(&format!("Gateway={gateway}\n"));
        wanted.resolvers.iter().for_each(|resolver| text.push_str(&format!("DNS={resolver}\n")));
        if !wanted.domain.is_empty() {
            text.push_str(&format!("Domains={}\n", wanted.domain));
        }
    }
    // Addresses are planned, so there is nothing to ask the network for.
    text + "DHCP=no\nIPv6AcceptRA=no\n"
}

fn resolv_conf(wanted: &Identity) -> String {
    let mut text = "# Written by updraft, do not edit.\n".to_owned();
    if !wanted.domain.is_empty() {
        text.push_str(&format!("search {}\n", wanted.domain));
    }
    for resolver in &wanted.resolvers {
        text.push_str(&format!("nameserver {resolver}\n"));
    }
    text
}

/// An address with the length of its prefix.
pub(super) fn parse(text: &str) -> Result<(IpAddr, u8), Failure> {
    let fault = || refused(format_args!("`{text}` is not an address such as 10.77.0.11/24"));
    let (address, prefix) = text.split_once('/').ok_or_else(fault)?;
    let address: IpAddr = address.parse().map_err(|_| fault())?;
    let prefix: u8 = prefix.parse().map_err(|_| fault())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if prefix > most { Err(fault()) } else { Ok((address, prefix)) }
}

/// The kernel's number of the card with this address, once it is there.
fn card(mac: Mac) -> Result<u32, Failure> {
    let deadline = Deadline::after(CARD);
    loop {
        if let Some(index) = find_card(Path::new(CLASS), mac) {
            return Ok(index);
        }
        if deadline.passed() {
            return Err(system(
                format_args!("no network card has the address {mac}"),
                format_args!("waited {} s", CARD.as_secs()),
            ));
        }
        pause(CARD_PAUSE);
    }
}

fn find_card(class: &Path, mac: Mac) -> Option<u32> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    fs::read_dir(class).ok()?.filter_map(Result::ok).map(|entry| entry.path()).find_map(|card| {
        let address: Mac = read(&card.join("address"))?.trim().parse().ok()?;
        let index = read(&card.join("ifindex"))?.trim().parse().ok()?;
        (address == mac).then_some(index)
    })
}

// linux/netlink.h and linux/rtnetlink.h.
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const REPLACE_CREATE: u16 = 0x100 | 0x400;
const IFLA_ADDRESS: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

/// A socket to the kernel's routing tables.
struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    fn open() -> Result<Self, Failure> {
        // No protocol is NETLINK_ROUTE, whose number is 0 (linux/netlink.h).
        let flags = SocketFlags::CLOEXEC;
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)
            .map(|socket| Self { socket, sequence: 0 })
            .map_err(|fault| system("cannot open a netlink socket", fault))
    }

    fn switch_on(&mut self, index: u32) -> Result<(), Failure> {
        let message = link(index, true);
        self.tell(RTM_NEWLINK, 0, &message, "switch a network card on")
    }

    fn switch_off(&mut self, index: u32) -> Result<(), Failure> {
        self.tell(RTM_NEWLINK, 0, &link(index, false), "switch a network card off")
    }

    fn set_mac(&mut self, index: u32, mac: Mac) -> Result<(), Failure> {
        let mut message = link(index, false);
        attribute(&mut message, IFLA_ADDRESS, &mac.octets());
        self.tell(RTM_NEWLINK, 0, &message, "give a network card its address")
    }

    fn add_address(&mut self, index: u32, address: (IpAddr, u8)) -> Result<(), Failure> {
        let message = address_message(index, address);
        self.tell(RTM_NEWADDR, REPLACE_CREATE, &message, "set an address")
    }

    fn remove_address(&mut self, index: u32, address: (IpAddr, u8)) -> Result<(), Failure> {
        let message = address_message(index, address);
        match self.ask(RTM_DELADDR, 0, &message) {
            Ok(()) | Err(Errno::ADDRNOTAVAIL) => Ok(()),
            Err(fault) => Err(system("cannot remove an address", fault)),
        }
    }

    fn set_default_route(&mut self, index: u32, gateway: IpAddr) -> Result<(), Failure> {
        let message = route_message(index, gateway);
        self.tell(RTM_NEWROUTE, REPLACE_CREATE, &message, "set the default route")
    }

    fn tell(&mut self, kind: u16, flags: u16, message: &[u8], act: &str) -> Result<(), Failure> {
        self.ask(kind, flags, message).map_err(|fault| system(format_args!("cannot {act}"), fault))
    }

    /// Sends a message and waits for the kernel's word on it, which comes before the send returns.
    fn ask(&mut self, kind: u16, flags: u16, message: &[u8]) -> Result<(), Errno> {
        self.sequence += 1;
        let packet = packet(kind, REQUEST_ACK | flags, self.sequence, message);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, &packet, SendFlags::empty(), &kernel)?;
        let mut answer = [0; 4096];
        loop {
            let (length, _) = rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
            if let Some(errno) = verdict(&answer[..length], self.sequence) {
                return if errno == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(-errno)) };
            }
        }
    }
}

fn packet(kind: u16, flags: u16, sequence: u32, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + message.len()).expect("our messages are short");
    let mut packet = Vec::with_capacity(16 + message.len());
    packet.extend_from_slice(&length.to_ne_bytes());
    packet.extend_from_slice(&kind.to_ne_bytes());
    packet.extend_from_slice(&flags.to_ne_bytes());
    packet.extend_from_slice(&sequence.to_ne_bytes());
    packet.extend_from_slice(&0u32.to_ne_bytes());
    packet.extend_from_slice(message);
    packet
}

/// The error number of the answer to `sequence`: 0 is an acknowledgement.
fn verdict(answer: &[u8], sequence: u32) -> Option<i32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let answered = u32::from_ne_bytes(answer.get(8..12)?.try_into().ok()?);
    let errno = i32::from_ne_bytes(answer.get(16..20)?.try_into().ok()?);
    (kind == NLMSG_ERROR && answered == sequence).then_some(errno)
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    u8::try_from(family.as_raw()).expect("both families are small numbers")
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn attribute(into: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("our attributes are short");
    into.extend_from_slice(&length.to_ne_bytes());
    into.extend_from_slice(&kind.to_ne_bytes());
    into.extend_from_slice(value);
    into.resize(into.len().next_multiple_of(4), 0);
}

/// `struct ifinfomsg` with IFF_UP set or not, and only that changed.
fn link(index: u32, up: bool) -> Vec<u8> {
    let mut message = vec![0; 4];
    for word in [index, u32::from(up), 1] {
        message.extend_from_slice(&word.to_ne_bytes());
    }
    message
}

/// `struct ifaddrmsg` and its attributes.
fn address_message(index: u32, (address, prefix): (IpAddr, u8)) -> Vec<u8> {
    let mut message = vec![family(address), prefix, 0, 0];
    message.extend_from_slice(&index.to_ne_bytes());
    attribute(&mut message, IFA_LOCAL, &octets(address));
    attribute(&mut message, IFA_ADDRESS, &octets(address));
    if let IpAddr::V4(address) = address
        && prefix < 31
    {
        let broadcast = u32::from(address) | (u32::MAX >> prefix);
        attribute(&mut message, IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    message
}

/// `struct rtmsg` of a default route in the main table, and its attributes.
fn route_message(index: u32, gateway: IpAddr) -> Vec<u8> {
    const MAIN_TABLE: u8 = 254;
    const STATIC: u8 = 4;
    const UNICAST: u8 = 1;
    let mut message = vec![family(gateway), 0, 0, 0, MAIN_TABLE, STATIC, 0, UNICAST, 0, 0, 0, 0];
    attribute(&mut message, RTA_GATEWAY, &octets(gateway));
    attribute(&mut message, RTA_OIF, &index.to_ne_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_prefix() {
        assert_eq!(parse("10.77.0.11/24"), Ok(("10.77.0.11".parse().unwrap(), 24)));
        assert_eq!(parse("fd00::1/64"), Ok(("fd00::1".parse().unwrap(), 64)));
        for bad in ["10.77.0.11", "10.77.0.11/33", "10.77.0/24", "/24", "10.77.0.11/-1", "a/b"] {
            assert!(parse(bad).is_err(), "`{bad}` was accepted");
        }
    }

    #[test]
    fn an_address_message_is_laid_out_as_the_kernel_reads_it() {
        // rtnetlink(7): family, prefix, flags, scope, index; then length, type, value.
        let message = address_message(5, ("10.77.0.11".parse().unwrap(), 24));
        let mut expected = vec![2, 24, 0, 0, 5, 0, 0, 0];
        expected.extend_from_slice(&[8, 0, 2, 0, 10, 77, 0, 11]);
        expected.extend_from_slice(&[8, 0, 1, 0, 10, 77, 0, 11]);
        expected.extend_from_slice(&[8, 0, 4, 0, 10, 77, 0, 255]);
        assert_eq!(message, expected);
    }

    #[test]
    fn the_kernels_word_is_told_from_other_messages() {
        let answer = |kind: u16, sequence: u32, errno: i32| {
            let mut answer = packet(kind, 0, sequence, &errno.to_ne_bytes());
            answer.extend_from_slice(&[0; 16]);
            answer
        };
        assert_eq!(verdict(&answer(NLMSG_ERROR, 7, 0), 7), Some(0));
        assert_eq!(verdict(&answer(NLMSG_ERROR, 7, -17), 7), Some(-17));
        assert_eq!(verdict(&answer(NLMSG_ERROR, 6, 0), 7), None);
        assert_eq!(verdict(&answer(RTM_NEWADDR, 7, 0), 7), None);
        assert_eq!(verdict(&[0; 10], 7), None);
    }

    #[test]
    fn a_card_is_found_by_its_address() {
        let class = tempfile::tempdir().unwrap();
        for (name, mac, index) in
            [("eth0", "52:54:00:00:00:01", 2), ("eth1", "52:54:00:00:00:02", 3)]
        {
            let card = class.path().join(name);
            fs::create_dir(&card).unwrap();
            fs::write(card.join("address"), format!("{mac}\n")).unwrap();
            fs::write(card.join("ifindex"), format!("{index}\n")).unwrap();
        }
        assert_eq!(find_card(class.path(), "52:54:00:00:00:02".parse().unwrap()), Some(3));
        assert_eq!(find_card(class.path(), "52:54:00:00:00:03".parse().unwrap()), None);
    }
}
