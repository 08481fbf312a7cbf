//! Commands that run on the controller: `pipe` and `lines`.

use crate::template::{Fault, Interp};
use crate::value::Value;
use std::path::PathBuf;

/// What a command writes, without the newlines at its end.
pub(super) fn output(cx: &mut Interp<'_>, term: &Value) -> Result<String, Fault> {
    let command = term.to_text();
    let directory = cx.name("playbook_dir")?;
    let directory =
        PathBuf::from(directory.as_str().filter(|text| !text.is_empty()).unwrap_or("."));
    let ran = cx.cx.world.commands.shell(&command, &directory).map_err(Fault::new)?;
    if ran.status != 0 {
        return Err(Fault::new(format!("lookup_plugin.pipe({command}) returned {}", ran.status)));
    }
    Ok(ran.stdout.trim_end().to_owned())
}
