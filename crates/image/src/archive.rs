//! Files on their way into an image, and the two archive formats they travel in.
//!
//! Both writers give the same bytes for the same entries: owner root, time zero.

/// One thing in a file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A directory.
    Dir {
        /// Path without a leading slash.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// A file.
    File {
        /// Path without a leading slash.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Content.
        bytes: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// Path without a leading slash.
        path: String,
        /// Where it points.
        target: String,
    },
    /// A character device.
    Device {
        /// Path without a leading slash.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Major and minor number.
        number: (u32, u32),
    },
}

impl Entry {
    pub(crate) fn dir(path: &str) -> Self {
        Self::Dir { path: path.to_owned(), mode: 0o755 }
    }

    pub(crate) fn file(path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self::File { path: path.to_owned(), mode, bytes: bytes.into() }
    }

    pub(crate) fn link(path: &str, target: &str) -> Self {
        Self::Link { path: path.to_owned(), target: target.to_owned() }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Dir { path, .. }
            | Self::File { path, .. }
            | Self::Link { path, .. }
            | Self::Device { path, .. } => path,
        }
    }

    /// What it holds: a file's bytes, a link's target.
    pub(crate) fn content(&self) -> &[u8] {
        match self {
            Self::File { bytes, .. } => bytes,
            Self::Link { target, .. } => target.as_bytes(),
            Self::Dir { .. } | Self::Device { .. } => &[],
        }
    }

    fn mode(&self) -> u32 {
        match self {
            Self::Dir { mode, .. } | Self::File { mode, .. } | Self::Device { mode, .. } => *mode,
            Self::Link { .. } => 0o777,
        }
    }
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

/// POSIX.1-1988 ustar. Paths and link targets must be shorter than 100 bytes.
pub(crate) fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let (kind, target, number) = match entry {
            Entry::File { .. } => (b'0', "", (0, 0)),
            Entry::Link { target, .. } => (b'2', target.as_str(), (0, 0)),
            Entry::Device { number, .. } => (b'3', "", *number),
            Entry::Dir { .. } => (b'5', "", (0, 0)),
        };
        let data = if kind == b'0' { entry.content() } else { &[] };
        let mut header = [0u8; 512];
        let mut put = |at: usize, room: usize, bytes: &[u8]| {
            assert!(bytes.len() < room, "`{}` does not fit a tar header", entry.path());
            header[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, 100, entry.path().as_bytes());
        put(100, 8, format!("{:07o}", entry.mode()).as_bytes());
        put(108, 8, b"0000000");
        put(116, 8, b"0000000");
        put(124, 12, format!("{:011o}", data.len()).as_bytes());
        put(136, 12, b"00000000000");
        put(148, 9, b"        ");
        put(156, 2, &[kind]);
        put(157, 100, target.as_bytes());
        put(257, 9, b"ustar\x0000");
        put(265, 32, b"root");
        put(297, 32, b"root");
        put(329, 8, format!("{:07o}", number.0).as_bytes());
        put(337, 8, format!("{:07o}", number.1).as_bytes());
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(data);
        pad(&mut out, 512);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// The `newc` format that Linux unpacks as its initial RAM disk
/// (Documentation/driver-api/early-userspace/buffer-format.rst).
pub(crate) fn cpio(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let (kind, number) = match entry {
            Entry::File { .. } => (0o100_000, (0, 0)),
            Entry::Link { .. } => (0o120_000, (0, 0)),
            Entry::Device { number, .. } => (0o020_000, *number),
            Entry::Dir { .. } => (0o040_000, (0, 0)),
        };
        cpio_entry(&mut out, index + 1, kind | entry.mode(), number, entry.path(), entry.content());
    }
    cpio_entry(&mut out, 0, 0, (0, 0), "TRAILER!!!", &[]);
    out
}

fn cpio_entry(
    out: &mut Vec<u8>,
    inode: usize,
    mode: u32,
    number: (u32, u32),
    path: &str,
    data: &[u8],
) {
    let (major, minor) = number;
    let (size, name) = (data.len(), path.len() + 1);
    // Inode, mode, uid, gid, links, time, size, device (two), special device (two), length of the
    // name, checksum.
    out.extend_from_slice(
        format!(
            "070701{inode:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{major:08x}{minor:08x}{name:08x}{:08x}",
            0, 0, 1, 0, 0, 0, 0
        )
        .as_bytes(),
    );
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out, 4);
    out.extend_from_slice(data);
    pad(out, 4);
}

#[cfg(test)]
mod tests {
    use super::*;
    use updraft_host::{Cmd, Host as _, LocalHost};

    fn entries() -> Vec<Entry> {
        vec![
            Entry::dir("etc"),
            Entry::file("etc/motd", 0o644, "hello\n"),
            Entry::link("etc/mtab", "/proc/mounts"),
            Entry::Device { path: "console".to_owned(), mode: 0o600, number: (5, 1) },
        ]
    }

    #[tokio::test]
    async fn tar_reads_what_we_write() {
        let cmd = Cmd::new("tar").args(["-tv", "--utc"]).stdin(tar(&entries()));
        assert_eq!(
            LocalHost.run(cmd).await.unwrap().text(),
            "drwxr-xr-x root/root         0 1970-01-01 00:00 etc\n\
             -rw-r--r-- root/root         6 1970-01-01 00:00 etc/motd\n\
             lrwxrwxrwx root/root         0 1970-01-01 00:00 etc/mtab -> /proc/mounts\n\
             crw------- root/root       5,1 1970-01-01 00:00 console"
        );
    }

    #[test]
    fn a_cpio_entry_is_what_the_kernel_documents() {
        let bytes = cpio(&[Entry::file("a", 0o644, "xyz")]);
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[6..14], b"00000001", "inode");
        assert_eq!(&bytes[14..22], b"000081a4", "mode");
        assert_eq!(&bytes[54..62], b"00000003", "size");
        assert_eq!(&bytes[94..102], b"00000002", "length of the name");
        assert_eq!(&bytes[110..112], b"a\0");
        assert_eq!(&bytes[112..116], b"xyz\0");
        assert_eq!(&bytes[116..122], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }
}
