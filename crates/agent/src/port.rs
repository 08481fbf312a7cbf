//! The guest's end of a virtio-serial line.
//!
//! The host may go away and come back at any time. While it is away, a read gives 0 bytes, a write
//! would block, and `poll` tells a hang-up without end (Linux 6.1, drivers/char/virtio_console.c,
//! `port_fops_read` and `port_fops_poll`). An edge-triggered epoll sleeps through all that and
//! wakes when something happens to the port, so nothing here goes round in circles.

use crate::outbox::Sink;
use rustix::event::epoll;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Wake up this often even if the kernel told nothing, to notice a stale frame or a lost port.
const LOOK_AGAIN_MS: i64 = 1_000;

/// The side that is read.
pub(crate) struct PortReader {
    port: Arc<OwnedFd>,
    edge: OwnedFd,
}

/// The side that is written.
pub(crate) struct PortWriter {
    port: Arc<OwnedFd>,
    edge: OwnedFd,
}

/// Opens a port, by the name udev gives it or, before udev is up, by the one in sysfs.
pub(crate) fn open(path: &Path) -> io::Result<(PortReader, PortWriter)> {
    let path = if path.exists() { path.to_owned() } else { device_of(path)? };
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    // The kernel lets a port be opened once, so both sides share the descriptor.
    let port = Arc::new(rustix::fs::open(path, flags, Mode::empty())?);
    let reader = PortReader { edge: edge(&port, epoll::EventFlags::IN)?, port: Arc::clone(&port) };
    let writer = PortWriter { edge: edge(&port, epoll::EventFlags::OUT)?, port };
    Ok((reader, writer))
}

/// The device node of the port that the host calls like the last part of `path`.
fn device_of(path: &Path) -> io::Result<PathBuf> {
    let wanted = path.file_name().unwrap_or_default().to_string_lossy();
    for entry in fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim() == wanted {
            return Ok(Path::new("/dev").join(entry.file_name()));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "no virtio-serial port has that name"))
}

fn edge(port: &OwnedFd, wanted: epoll::EventFlags) -> io::Result<OwnedFd> {
    let edge = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&edge, port, epoll::EventData::new_u64(0), wanted | epoll::EventFlags::ET)?;
    Ok(edge)
}

/// Sleeps until something happens to the port.
fn sleep(edge: &OwnedFd) -> io::Result<()> {
    let limit = rustix::event::Timespec {
        tv_sec: LOOK_AGAIN_MS / 1_000,
        tv_nsec: LOOK_AGAIN_MS % 1_000 * 1_000_000,
    };
    let mut events =
        [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
    match epoll::wait(edge, &mut events, Some(&limit)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(fault) => Err(fault.into()),
    }
}

impl PortReader {
    /// Waits for bytes. Never 0 bytes: a host that is away comes back.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::io::read(self.port.as_fd(), &mut *into) {
                Ok(0) | Err(Errno::AGAIN) => sleep(&self.edge)?,
                Ok(length) => return Ok(length),
                Err(Errno::INTR) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}

impl Sink for PortWriter {
    fn write(&mut self, bytes: &[u8], stale: &dyn Fn() -> bool) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() && !stale() {
            match rustix::io::write(self.port.as_fd(), rest) {
                Ok(0) | Err(Errno::AGAIN) => sleep(&self.edge)?,
                Ok(length) => rest = &rest[length..],
                Err(Errno::INTR) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok(())
    }
}
