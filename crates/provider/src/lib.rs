//! The Provider trait, its conformance suite and the simulated provider.
//!
//! A provider is a place machines come from. It touches only what carries our mark, and every call
//! here may be repeated: what is already so is left so.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod order;
mod rest;
mod seen;
mod shape;
pub mod sim;
mod snapshot;

pub use order::{
    Boot, Firmware, ImageFiles, MachineOrder, NetworkOrder, Nic, SiteMark, Start, TemplateOrder,
    outlet,
};
pub use rest::{Nursling, bring_to_rest};
pub use seen::{MachineSeen, NetworkSeen, Power, Progress, Seen, TemplateSeen};
pub use shape::Shape;
pub use snapshot::{NothingRuns, SnapshotOrder, SnapshotSeen, Stillness};

use async_trait::async_trait;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use updraft_base::{Blame, Blamed, Digest, MachineId, NetworkName, SnapshotId};

/// A two-way stream of bytes.
pub trait Channel: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Channel for T {}

/// How to stop a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Ask the operating system (ACPI power button), and pull the plug when it has not stopped
    /// within this time.
    Orderly(Duration),
    /// Pull the plug.
    Now,
}

/// A place machines come from, seen from one site.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The word for it in the site file: `qemu`, `sim`, ….
    fn kind(&self) -> &'static str;

    /// Everything here that carries the site's mark, intact or not. Must be fast: tens of
    /// milliseconds for a handful of machines.
    async fn observe(&self) -> Result<Seen, ProviderError>;

    /// Makes a network that machines attach to, with the way out.
    async fn ensure_network(&self, order: &NetworkOrder) -> Result<(), ProviderError>;

    /// Removes a network of ours with everything that came with it.
    async fn destroy_network(&self, name: &NetworkName) -> Result<(), ProviderError>;

    /// Every template here, of whichever site, ordered by name.
    async fn templates(&self) -> Result<Vec<TemplateSeen>, ProviderError> {
        Ok(Vec::new())
    }

    /// Makes a template, as a whole or not at all. Who asks for one that another process is making
    /// waits for it.
    async fn ensure_template(&self, order: &TemplateOrder) -> Result<(), ProviderError> {
        let _ = order;
        let message = format!("there are no live machines at provider {}", self.kind());
        Err(ProviderError::new(Blame::Asked, message).hinting("say `start: cold` for the group"))
    }

    /// Removes a template, and what was left of one that was never finished. One that is not there
    /// is no error; one that machines rest on is refused.
    async fn drop_template(&self, name: Digest) -> Result<(), ProviderError> {
        let _ = name;
        Ok(())
    }

    /// Makes a machine, stopped, with its disk. The machine carries `order.id` from its first
    /// moment: one that was half made is found by [`Provider::observe`] and completed by the same
    /// call again.
    async fn create_machine(&self, order: &MachineOrder) -> Result<(), ProviderError>;

    /// Powers a machine on. Returns when it runs, which is long before it is ready.
    async fn start_machine(&self, id: MachineId) -> Result<(), ProviderError>;

    /// Powers a machine off. Returns when it is off.
    async fn stop_machine(&self, id: MachineId, stop: Stop) -> Result<(), ProviderError>;

    /// Refuses what [`Provider::resize_machine`], or the start after it, would refuse. Changes
    /// nothing: it is asked before a machine is powered off to get another shape.
    async fn may_resize(&self, id: MachineId, shape: &Shape) -> Result<(), ProviderError> {
        let _ = (id, shape);
        Ok(())
    }

    /// Gives a machine another shape. The disk of a running one grows at once; another memory or
    /// number of processors is refused until it is off. A disk never shrinks.
    async fn resize_machine(&self, id: MachineId, shape: &Shape) -> Result<(), ProviderError> {
        let _ = shape;
        let message = format!("machine {id} keeps its shape: its provider is {}", self.kind());
        Err(ProviderError::new(Blame::World, message)
            .hinting("write its memory, cpus and disk into the site file as they are"))
    }

    /// Removes a machine of ours with its disk. A machine that is not there is no error.
    async fn destroy_machine(&self, id: MachineId) -> Result<(), ProviderError>;

    /// The snapshots of a machine of ours, the oldest first.
    async fn snapshots(&self, id: MachineId) -> Result<Vec<SnapshotSeen>, ProviderError> {
        let _ = id;
        Ok(Vec::new())
    }

    /// Takes a snapshot of a machine, as a whole or not at all, whether it is on or off, and takes
    /// away what an earlier call left that did not come to its end. Of a machine that is on, the
    /// disk is looked at while `still` holds it; one whose memory is kept need not be held. Returns
    /// for how long the machine stood still: zero for one that is there already.
    async fn take_snapshot(
        &self,
        id: MachineId,
        order: &SnapshotOrder,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let _ = (id, order, still);
        Err(self.without_snapshots())
    }

    /// Brings a machine back to a snapshot of its own, powered off. Its next start boots, or goes
    /// on from where it was when the snapshot has its memory. The snapshot stays.
    async fn revert_machine(
        &self,
        id: MachineId,
        snapshot: SnapshotId,
    ) -> Result<(), ProviderError> {
        let _ = (id, snapshot);
        Err(self.without_snapshots())
    }

    /// Removes a snapshot. One that is not there is no error.
    async fn drop_snapshot(
        &self,
        id: MachineId,
        snapshot: SnapshotId,
    ) -> Result<(), ProviderError> {
        let _ = (id, snapshot);
        Ok(())
    }

    /// Makes machines from one of ours that is on, stopped, each with the disk as it is at one
    /// moment while `still` holds it. With `live` they have its memory too, and their first start
    /// goes on where it is, cut off from their networks until [`Provider::connect_machine`]; then
    /// nothing needs to be held. What is not in the orders is as in the original; they differ from
    /// its order in identity, name and cards alone. Those that are whole already are left as they
    /// are. Returns for how long the original stood still.
    async fn clone_machine(
        &self,
        of: MachineId,
        orders: &[MachineOrder],
        live: bool,
        still: &mut dyn Stillness,
    ) -> Result<Duration, ProviderError> {
        let _ = (of, orders, live, still);
        let message = format!("machines of provider {} cannot be cloned", self.kind());
        Err(ProviderError::new(Blame::Asked, message))
    }

    /// Lets a machine into its networks that was cut off from them because it went on as another
    /// one. One that is in them is left so.
    async fn connect_machine(&self, id: MachineId) -> Result<(), ProviderError> {
        let _ = id;
        Ok(())
    }

    /// Why there are none.
    fn without_snapshots(&self) -> ProviderError {
        let message = format!("there are no snapshots at provider {}", self.kind());
        ProviderError::new(Blame::Asked, message)
    }

    /// A channel to the agent inside, for one user at a time.
    async fn channel(&self, id: MachineId) -> Result<Box<dyn Channel>, ProviderError>;

    /// What people should know of this place, learned by using it: that guests are emulated here,
    /// and why. `None` when there is nothing, or nothing was learned yet.
    fn notice(&self) -> Option<String> {
        None
    }

    /// Where a machine's console is: a socket to attach to, and the file that keeps what it printed.
    async fn console(&self, id: MachineId) -> Result<(PathBuf, PathBuf), ProviderError> {
        let message = format!("machine {id} has no console: its provider is {}", self.kind());
        Err(ProviderError::new(Blame::World, message))
    }

    /// A conversation with the agent that needs no channel, where a provider has one: the agents
    /// of simulated machines live in this process.
    fn direct(&self, id: MachineId) -> Option<std::sync::Arc<dyn updraft_remote::Session>> {
        let _ = id;
        None
    }

    /// Signs of life of a machine that is on its way up.
    async fn progress(&self, id: MachineId) -> Result<Progress, ProviderError>;
}

/// Why a provider could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// One sentence that names its operand, lowercase, no full stop.
    pub message: String,
    /// Who has to act.
    pub blame: Blame,
    /// What to do next.
    pub hint: Option<String>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ProviderError {
    /// An error without cause or hint.
    pub fn new(blame: Blame, message: impl Into<String>) -> Self {
        Self { message: message.into(), blame, hint: None, source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn because(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The same with a word on what to do next.
    #[must_use]
    pub fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Blamed for ProviderError {
    fn blame(&self) -> Blame {
        self.blame
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
