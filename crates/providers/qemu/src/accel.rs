//! Whether guests run on the processor itself, proven by running one.
//!
//! A `/dev/kvm` that opens is not KVM that works: on nested virtualization a stock kernel may hang
//! while it boots. So the image's own kernel is booted once, without a disk, until it starts its
//! first program; the verdict is kept for this kernel, this emulator and this computer's kernel.

use crate::command::{acceleration_args, emulator};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use updraft_base::Hasher;
use updraft_host::{Cmd, Host, HostError};
use updraft_provider::{Boot, Firmware, ImageFiles};

/// What a site asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// KVM if it is proven to work, emulation otherwise.
    #[default]
    Auto,
    /// KVM, proven or not.
    Kvm,
    /// Emulation.
    Emulated,
}

/// How guests run here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Acceleration {
    /// On the processor itself.
    Kvm,
    /// Emulated, about ten times slower.
    Emulated {
        /// Why not on the processor, for people; empty when it was asked for.
        why: String,
    },
}

/// A kernel under KVM starts its first program within a second; one that has not after this long
/// hangs (seen on nested virtualization: silence after "Probing EDD").
const PROOF: Duration = Duration::from_secs(10);

/// Linux prints it when the initial RAM disk is unpacked and its first program begins.
const PROVEN: &str = "Run /init as init process";

/// For an image that boots by its firmware: its boot loader may wait some seconds for a key.
const DISK_PROOF: Duration = Duration::from_secs(30);

/// What a system prints on its console once its own programs run, whatever its kernel keeps quiet.
const DISK_PROVEN: &[&str] = &[PROVEN, "systemd[1]", "Loading, please wait", " login: "];

/// Code and state of UEFI in one file, for a machine that forgets (package ovmf).
const UEFI_WHOLE: &str = "/usr/share/ovmf/OVMF.fd";

/// Decides how guests run, proving KVM if it must. Never takes longer than a few seconds more
/// than [`PROOF`], and only the first time.
pub(crate) async fn decide(
    host: &dyn Host,
    accel: Accel,
    files: &ImageFiles,
    verdicts: &Path,
) -> Result<Acceleration, HostError> {
    let emulated = |why: &str| Acceleration::Emulated { why: why.to_owned() };
    match accel {
        Accel::Kvm => return Ok(Acceleration::Kvm),
        Accel::Emulated => return Ok(emulated("")),
        Accel::Auto => {}
    }
    let usable = Cmd::new("test").args(["-r", "/dev/kvm", "-a", "-w", "/dev/kvm"]).accept(1);
    if host.run(usable).await?.status != 0 {
        return Ok(emulated("/dev/kvm is not there or may not be used"));
    }
    let path = verdicts.join(format!("{}.json", key(host, files).await?));
    if let Some(kept) = host.read(&path).await?
        && let Ok(verdict) = serde_json::from_slice(&kept)
    {
        return Ok(verdict);
    }
    let verdict = match prove(host, files).await? {
        Ok(()) => Acceleration::Kvm,
        Err(why) => emulated(&format!("/dev/kvm is there but a guest {why}")),
    };
    let text = serde_json::to_vec(&verdict).expect("a verdict is JSON");
    host.make_dir(verdicts, 0o755).await?;
    host.write_atomic(&path, &text, 0o644).await?;
    Ok(verdict)
}

/// Tells one build of the emulator from another. It takes 25 ms and more to say its version, a look at
/// its file 2 ms.
///
/// # Errors
/// When it is not where programs are, and cannot say its version either.
pub(crate) async fn emulator_stamp(host: &dyn Host) -> Result<String, HostError> {
    let places = ["/usr/local/bin", "/usr/bin"].map(|dir| format!("{dir}/{}", emulator()));
    let look = Cmd::new("stat").args(["-L", "-c", "%n %s %Y %Z"]).args(places).accept(1);
    let stamp = host.run(look).await?.text();
    match stamp.is_empty() {
        true => Ok(host.run(Cmd::new(emulator()).arg("--version")).await?.text()),
        false => Ok(stamp),
    }
}

/// What a verdict depends on: the emulator, the guest's kernel, this computer's kernel and
/// processor.
async fn key(host: &dyn Host, files: &ImageFiles) -> Result<String, HostError> {
    let mut hasher = Hasher::default();
    hasher.field(emulator_stamp(host).await?);
    hasher.field(host.read(Path::new("/proc/sys/kernel/osrelease")).await?.unwrap_or_default());
    let processors = host.read(Path::new("/proc/cpuinfo")).await?.unwrap_or_default();
    let processors = String::from_utf8_lossy(&processors).into_owned();
    let model = processors.lines().find(|line| line.starts_with("model name"));
    hasher.field(model.unwrap_or_default());
    match &files.boot {
        // The layers of an image share its kernel: one file by several names.
        Boot::Kernel { kernel, .. } => {
            let stat = Cmd::new("stat").args(["--format=%d %i %s %Y", "--"]).arg(kernel).accept(1);
            hasher.field(host.run(stat).await?.stdout);
        }
        // What is on a disk changes with every layer; its proof is long, and one has to do.
        Boot::Firmware { firmware, .. } => hasher.field(format!("{firmware:?}")),
    }
    Ok(hasher.finish().short())
}

/// Boots the image under KVM, writing nothing; the inner error says what the guest did instead.
async fn prove(host: &dyn Host, files: &ImageFiles) -> Result<Result<(), String>, HostError> {
    let cmd = Cmd::new(emulator())
        .args(["-machine", "q35,graphics=off,usb=off", "-m", "256M"])
        .args(acceleration_args(&Acceleration::Kvm))
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-serial", "stdio"]);
    let (cmd, signs, proof) = match &files.boot {
        Boot::Kernel { kernel, initrd, .. } => {
            let cmd = cmd.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
            (cmd.args(["-append", "console=ttyS0 panic=-1"]), &[PROVEN][..], PROOF)
        }
        Boot::Firmware { firmware, .. } => {
            let disk = files.disk.to_string_lossy().replace(',', ",,");
            let cmd = cmd.arg("-drive");
            let cmd = cmd.arg(format!("file={disk},format=qcow2,if=virtio,snapshot=on"));
            let cmd = match firmware {
                Firmware::Bios => cmd,
                Firmware::Uefi => cmd.args(["-bios", UEFI_WHOLE]),
            };
            (cmd, DISK_PROVEN, DISK_PROOF)
        }
    };
    let mut child = host.spawn(cmd).await?;
    let mut console = Vec::new();
    let watched = tokio::time::timeout(proof, async {
        let mut chunk = [0; 4096];
        loop {
            match child.stdout.read(&mut chunk).await {
                Ok(0) | Err(_) => return false,
                Ok(length) => console.extend_from_slice(&chunk[..length]),
            }
            let said = String::from_utf8_lossy(&console);
            if signs.iter().any(|sign| said.contains(sign)) {
                return true;
            }
        }
    })
    .await;
    let ended = child.kill().await?;
    Ok(match watched {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("ended at once with status {}", ended.status)),
        Err(_) => Err(format!("did not boot within {} s", proof.as_secs())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_survives_its_file() {
        for verdict in [Acceleration::Kvm, Acceleration::Emulated { why: "it hung".to_owned() }] {
            let text = serde_json::to_vec(&verdict).unwrap();
            assert_eq!(serde_json::from_slice::<Acceleration>(&text).unwrap(), verdict);
        }
    }
}
