//! Desired and observed in, a plan out.
//!
//! [`plan_up`], [`plan_down`] and [`plan_destroy`] are pure: the same input gives the same bytes.
//! Every choice (identities, addresses, Ethernet addresses, bridge names) is drawn here, from the
//! seed that is handed in, and stands in the plan, so that a step which runs twice asks the world
//! for the same thing.
//! Never here: IO, async, providers, the real clock.

mod act;
mod addresses;
mod builder;
mod clones;
mod desired;
mod memory;
mod narrow;
mod observed;
mod planner;
mod planner_services;
mod render;
mod resize;
mod saved;
mod snapshots;
mod survey;
mod teardown;

pub use act::{
    Act, BalancerMember, Change, ChangeKind, CloneDrawn, MachineDrawn, NameEntry, Plan, PlanStep,
};
pub use addresses::AddressesExhausted;
pub use clones::{CloneWish, PlanCloneError, plan_clone, plan_destroy_clone};
pub use desired::{
    BalancerWanted, Desired, GroupWanted, ImageWanted, NetworkWanted, ServiceWanted,
};
pub use memory::{Cloned, Drawn, Memory};
pub use narrow::{ServiceVerb, plan_service, plan_start, plan_stop};
pub use observed::{
    AgentFacts, MachineFacts, Made, NetworkFacts, Observed, Power, ServiceMark, TemplateFacts,
};
pub use planner::plan_up;
pub use render::{render, summary_line};
pub use resize::{DiskShrinks, Shape, ShapeChange, plan_resize};
pub use saved::SavedPlan;
pub use snapshots::{SnapshotFacts, plan_drop_snapshot, plan_revert, plan_snapshot, too_many};
pub use survey::{Draw, PlanError};
pub use teardown::{plan_destroy, plan_down};

/// Version of the plan's JSON form. A saved plan of another version is refused.
pub const VERSION: u32 = 1;
