//! Identity, sizes, durations, secrets, blame, and the seams for clock and chance.
//!
//! Every other crate stands on this one, so it holds only what all of them mean by the same word.
//! Never here: files, sockets, processes, the real clock, real chance, anything about a domain.

mod blame;
mod chance;
mod clock;
mod counted;
mod digest;
mod id;
mod mac;
mod name;
mod secret;
mod size;
pub mod span;

pub use blame::{Blame, Blamed, chain};
pub use chance::{Chance, SeededChance};
pub use clock::{Clock, FixedClock, Timestamp, unix_nanos};
pub use counted::counted;
pub use digest::{Digest, Hasher};
pub use id::{IdError, MachineId, RunId, SiteId, SnapshotId};
pub use mac::Mac;
pub use name::{
    GroupName, ImageName, MachineName, NameError, NetworkName, ServiceName, SiteName, UserName,
};
pub use secret::Secret;
pub use size::{ByteSize, SizeError};
