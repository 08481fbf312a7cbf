//! Snapshots: a machine as it was at one moment, kept beside it.

use crate::ProviderError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use updraft_base::{ByteSize, SnapshotId, Timestamp};

/// A snapshot to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotOrder {
    /// Identity, drawn before the snapshot exists.
    pub id: SnapshotId,
    /// When it was asked for.
    pub taken: Timestamp,
    /// What people call it; several may have one label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Memory and devices too: the machine can go on from it.
    #[serde(default)]
    pub memory: bool,
}

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSeen {
    /// What it was made from.
    pub order: SnapshotOrder,
    /// What it takes on disk, and what is free again when it is removed.
    pub stored: ByteSize,
}

/// Holds what runs inside a machine still for the moment in which its disk is looked at.
#[async_trait]
pub trait Stillness: Send {
    /// Has the machine write its filesystems out and hold them. They are let go after some seconds
    /// even when nobody asks any more.
    async fn hold(&mut self) -> Result<(), ProviderError>;

    /// Lets them go; returns for how long they were held. An error when they were let go before:
    /// what was taken meanwhile is not to be trusted.
    async fn release(&mut self) -> Result<Duration, ProviderError>;
}

/// For a machine that is not on.
#[derive(Clone, Copy, Debug)]
pub struct NothingRuns;

#[async_trait]
impl Stillness for NothingRuns {
    async fn hold(&mut self) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn release(&mut self) -> Result<Duration, ProviderError> {
        Ok(Duration::ZERO)
    }
}
