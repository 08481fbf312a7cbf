//! What a machine has of what can be counted, and what it can become.

use crate::{MachineOrder, ProviderError};
use updraft_base::{Blame, ByteSize, MachineName};

/// What a machine has of what can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Memory.
    pub memory: ByteSize,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Disk.
    pub disk: ByteSize,
}

impl Shape {
    /// Refuses what no provider can do: to take from the end of a disk what may be in use.
    ///
    /// # Errors
    /// When the disk of `order` is larger.
    pub fn check(&self, order: &MachineOrder) -> Result<(), ProviderError> {
        if self.disk >= order.disk {
            return Ok(());
        }
        let message = format!(
            "the disk of machine {} has {} and cannot shrink to {}",
            order.name, order.disk, self.disk
        );
        Err(ProviderError::new(Blame::Asked, message)
            .hinting("a machine gets a smaller disk only by being made anew"))
    }

    /// Whether nothing but its disk differs, which grows while a machine runs.
    pub fn grows_only_disk(&self, order: &MachineOrder) -> bool {
        (self.memory, self.cpus) == (order.memory, order.cpus)
    }

    /// What a running machine is told that has to be powered off for this shape.
    pub fn needs_off(machine: &MachineName) -> ProviderError {
        let message = format!("machine {machine} has to be off to get that shape");
        ProviderError::new(Blame::World, message)
            .hinting(format!("`updraft machine stop {machine}` powers it off"))
    }
}

impl MachineOrder {
    /// The shape that is ordered.
    pub fn shape(&self) -> Shape {
        Shape { memory: self.memory, cpus: self.cpus, disk: self.disk }
    }

    /// The same order with another shape.
    #[must_use]
    pub fn shaped(self, shape: &Shape) -> Self {
        let Shape { memory, cpus, disk } = *shape;
        Self { memory, cpus, disk, ..self }
    }
}
