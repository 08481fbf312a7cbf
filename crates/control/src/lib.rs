//! Introduces the other crates to each other: a site file becomes a plan, a plan becomes a run.
//!
//! Nothing below knows this crate. It decides nothing that a plan could decide, and it prints
//! nothing: it returns values and tells events.

mod actor;
mod ad_hoc;
mod balancing;
mod becoming;
mod clones;
mod desire;
mod doctor;
mod error;
mod galaxy;
mod haproxy;
mod history;
mod hosts;
mod identity;
mod inside;
mod kept;
mod layers;
mod observe;
mod place;
mod play;
mod python;
mod resize;
mod rolling;
mod sessions;
mod settings;
mod site;
mod snapshots;
mod status;
mod still;
mod store;
mod targets;
mod templates;
mod vault;
mod wake;
mod world;

pub use ad_hoc::{AdHocRequest, Streams, ad_hoc};
pub use doctor::{Check, Doctor, Kept, doctor};
pub use error::ControlError;
pub use galaxy::{GalaxyError, GalaxyWish, Installed, galaxy_install};
pub use history::{RunView, StepView};
pub use hosts::{ReachError, Reacher, Way, load_inventory, matching, targets, way_of, ways_of};
pub use kept::keep;
pub use place::Place;
pub use play::{Audience, PlayRequest, extra_vars, play, roles_path};
pub use resize::SaidOtherwise;
pub use sessions::{Party, SessionError, Sessions};
pub use settings::{AgentProgram, Connecting, Settings};
pub use site::{Change, Events, SiteControl};
pub use snapshots::{SnapshotView, SnapshotWish};
pub use status::{MachineStatus, NetworkStatus, ServiceStatus, Status};
pub use store::{
    BuiltImage, ImageCheck, ImageDetails, ImageTest, ImageView, LayerView, RemovedView,
    export_image, image_details, images, import_images, remove_images, sweep_images,
};
pub use targets::{Attached, Console, ServiceTest};
pub use updraft_engine::{CrashPlan, Event, Outcome, StepId, StopSignal};
pub use updraft_plan::{
    CloneWish, Plan, SavedPlan, ServiceVerb, ShapeChange, render as render_plan,
};
pub use updraft_playbook::config::{Config, Here};
pub use updraft_playbook::galaxy::Thing;
pub use updraft_playbook::inventory::{Inventory, Listing, ListingOptions};
pub use updraft_playbook::output::{
    Callback, Event as PlayEvent, Extra, MinimalOptions, Piece, Recap, ScreenOptions, Show, Style,
    fault_text,
};
pub use updraft_playbook::template::{Dialect, Difference, Differences};
pub use updraft_playbook::value::{Dict, Value};
pub use updraft_playbook::vault::Vault;
pub use updraft_playbook::{
    Faults, Gathering, Listing as PlayListing, LoadFault, Operator, Refresh, RunOptions,
};
pub use updraft_qemu::guard;
pub use updraft_remote::{Output, RemoteError, Session, Stream, fan_out};
pub use updraft_wire::Put;
pub use vault::{
    Editor, Purpose, Sealer, VaultFault, VaultSources, choose as choose_password, open_vault,
    put_sealed,
};
pub use world::ImageStore;

/// A plan as JSON, plain or as it is saved.
pub fn plan_json(plan: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(plan).expect("plain data always serializes");
    text.push('\n');
    text
}

/// Reads a saved plan.
///
/// # Errors
/// When it is no plan, or one of another version.
pub fn parse_plan(text: &[u8]) -> Result<SavedPlan, String> {
    let value: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| format!("it is not JSON: {error}"))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    match version {
        Some(version) if version == u64::from(updraft_plan::VERSION) => {
            serde_json::from_value(value).map_err(|error| error.to_string())
        }
        Some(version) => Err(format!(
            "it has version {version}, and this updraft reads {}",
            updraft_plan::VERSION
        )),
        None => Err("it has no version".to_owned()),
    }
}
