//! The inventory as `ansible-inventory` shows it.

use super::Inventory;
use crate::fault::Faults;
use crate::value::Value;
use crate::vault::Vault;
use serde_json::{Map, Value as Json, json};

impl Inventory {
    /// What `--list` prints: `_meta` with every host's variables, then the groups.
    ///
    /// # Errors
    /// When variables beside the sources cannot be read.
    pub fn list(&self, vault: &Vault) -> Result<Json, Faults> {
        let beside = self.read_beside(vault).map_err(Faults)?;
        let mut hostvars = Map::new();
        for host in self.hosts.keys() {
            let vars = Value::dict(self.host_vars(host, &beside, None)).to_json();
            if vars.as_object().is_some_and(|vars| !vars.is_empty()) {
                hostvars.insert(host.clone(), vars);
            }
        }
        let mut out = Map::new();
        out.insert("_meta".to_owned(), json!({"hostvars": hostvars}));
        for (name, group) in &self.groups {
            let mut entry = Map::new();
            if !group.children.is_empty() {
                entry.insert("children".to_owned(), group.children.iter().cloned().collect());
            }
            if !group.hosts.is_empty() {
                entry.insert("hosts".to_owned(), group.hosts.iter().cloned().collect());
            }
            if name == "all" || !entry.is_empty() {
                out.insert(name.clone(), Json::Object(entry));
            }
        }
        Ok(Json::Object(out))
    }

    /// What `--host` prints: the variables of one host; `None` if there is no such host.
    ///
    /// # Errors
    /// When variables beside the sources cannot be read.
    pub fn host(&self, name: &str, vault: &Vault) -> Result<Option<Json>, Faults> {
        if !self.contains(name) {
            return Ok(None);
        }
        let beside = self.read_beside(vault).map_err(Faults)?;
        Ok(Some(Value::dict(self.host_vars(name, &beside, None)).to_json()))
    }
}
