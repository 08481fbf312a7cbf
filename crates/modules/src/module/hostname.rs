//! `hostname`: the machine's name, now and after a boot.

use crate::args::Args;
use crate::context::Context;
use crate::facts;
use crate::outcome::{Done, Fault, OrFail, Outcome, fail};
use crate::place;
use crate::process::Cmd;
use serde_json::json;
use std::path::Path;

const FILE: &str = "/etc/hostname";

pub(crate) fn run(args: &Args, ctx: &Context) -> Done {
    let name = args.text("name");
    if name.is_empty() || name.len() > 64 {
        return Err(fail!("name cannot be empty or longer than 64 characters"));
    }
    let current = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let permanent = std::fs::read_to_string(FILE).unwrap_or_default().trim().to_owned();
    let changed = current != name || permanent != name;
    if changed && !ctx.check {
        let told = ctx.program("hostnamectl").filter(|_| {
            args.str("use").is_none_or(|strategy| strategy == "systemd")
                && facts::service_manager(ctx) == "systemd"
        });
        match told {
            Some(program) => {
                let cmd = Cmd::new(program).arg("set-hostname").arg(name).plain_locale();
                let ran = cmd.run(ctx).or_fail("cannot run hostnamectl")?;
                // Small machines have no message bus, and need none for this.
                if !ran.success() && ran.err().contains("bus") {
                    set(name, &current, &permanent, ctx)?;
                } else if !ran.success() {
                    return Err(fail!(
                        "Command failed rc={}, out={}, err={}",
                        ran.code,
                        ran.out(),
                        ran.err()
                    ));
                }
            }
            None => set(name, &current, &permanent, ctx)?,
        }
    }
    let fqdn = facts::full_name(name);
    let domain = fqdn.split_once('.').map_or("", |(_, domain)| domain);
    let facts = json!({
        "ansible_hostname": name.split('.').next(),
        "ansible_nodename": name,
        "ansible_fqdn": fqdn,
        "ansible_domain": domain,
    });
    let mut outcome = Outcome::changed(changed).with("name", name).with("ansible_facts", facts);
    if ctx.diff && changed {
        let diff = json!({
            "before": format!("hostname = {}\n", if current == name { &permanent } else { &current }),
            "after": format!("hostname = {name}\n"),
        });
        outcome = outcome.with("diff", diff);
    }
    Ok(outcome)
}

/// Writes the name down and tells the kernel.
fn set(name: &str, current: &str, permanent: &str, ctx: &Context) -> Result<(), Fault> {
    if permanent != name {
        let scratch = place::Scratch::holding(&ctx.staging, "", format!("{name}\n").as_bytes())
            .or_fail(format!("failed to update {FILE}"))?;
        place::replace(scratch.path(), Path::new(FILE), true, false)?;
    }
    if current != name {
        rustix::system::sethostname(name.as_bytes())
            .or_fail(format!("cannot call this machine {name}"))?;
    }
    Ok(())
}
