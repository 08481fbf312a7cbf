//! Reaching machines: SSH and guest channels; pushes the agent; knows host keys.
//!
//! [`AgentSession`] is a conversation over any stream, [`Ssh`] reaches hosts, and [`fan_out`] does
//! the same on many of them. No host key is trusted blindly.
//! Never here: deciding what to do on a machine, or which machines.

mod agent;
mod clock;
mod error;
mod fan_out;
mod keep;
mod local;
mod session;
mod ssh;
mod target;

pub use agent::AgentSession;
pub use clock::set_clock;
pub use error::RemoteError;
pub use fan_out::{Outcome, Outcomes, fan_out};
pub use keep::{Keeper, keep};
pub use local::local_session;
pub use session::{OneByOne, Output, Session, Steps, Stream};
pub use ssh::{Ssh, SshConnection, agent_removal};
pub use target::{AgentBinary, Password, SshTarget, SshUser};
