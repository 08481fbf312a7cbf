//! Who wins: Ansible's documented order, as a table, and who sees what.

use super::{Place, Role, Tree, Watch, Whom};
use std::collections::BTreeSet;

/// What a variable is that nobody set.
pub(super) const NOTHING: &str = "-";

impl Place {
    /// The value that a variable has from here.
    pub(super) fn mark(self) -> String {
        let about = |whom| match whom {
            Whom::All => "all".to_owned(),
            Whom::Group(group) => format!("g{group}"),
            Whom::Host(host) => format!("h{host}"),
        };
        let on = |host: Option<usize>| host.map_or("all".to_owned(), |host| format!("h{host}"));
        match self {
            Self::Defaults(role) => format!("defaults.{}", role.name()),
            Self::Listed(whom) => format!("listed.{}", about(whom)),
            Self::BesideInventory(whom) => format!("inventory.{}", about(whom)),
            Self::BesidePlaybook(whom) => format!("playbook.{}", about(whom)),
            Self::Fact => "fact".to_owned(),
            Self::Play => "play".to_owned(),
            Self::Prompt => "prompt".to_owned(),
            Self::File(at) => format!("file.{at}"),
            Self::RoleVars(role) => format!("vars.{}", role.name()),
            Self::Given(role) => format!("given.{}", role.name()),
            Self::Params(role) => format!("params.{}", role.name()),
            Self::OuterBlock => "block.outer".to_owned(),
            Self::InnerBlock => "block.inner".to_owned(),
            Self::ImportTasks => "import.tasks".to_owned(),
            Self::ImportRole => "import.role".to_owned(),
            Self::IncludeTasks => "include.tasks".to_owned(),
            Self::IncludeRole => "include.role".to_owned(),
            Self::IncludeNested => "include.nested".to_owned(),
            Self::Task => "task".to_owned(),
            Self::IncludeVars(moment, host) => format!("include_vars.{moment}.{}", on(host)),
            Self::SetFact(moment, host) => format!("set_fact.{moment}.{}", on(host)),
            Self::Register(moment) => format!("register.{moment}"),
            Self::Extra => "extra".to_owned(),
        }
    }

    /// The number in the list of Ansible's documentation; 1 are values that are no variables.
    fn rank(self) -> u8 {
        match self {
            Self::Defaults(_) => 2,
            Self::Listed(Whom::All | Whom::Group(_)) => 3,
            Self::BesideInventory(Whom::All) => 4,
            Self::BesidePlaybook(Whom::All) => 5,
            Self::BesideInventory(Whom::Group(_)) => 6,
            Self::BesidePlaybook(Whom::Group(_)) => 7,
            Self::Listed(Whom::Host(_)) => 8,
            Self::BesideInventory(Whom::Host(_)) => 9,
            Self::BesidePlaybook(Whom::Host(_)) => 10,
            Self::Fact => 11,
            Self::Play => 12,
            Self::Prompt => 13,
            Self::File(_) => 14,
            Self::RoleVars(_) | Self::Given(_) => 15,
            // What is imported is one more block.
            Self::OuterBlock | Self::InnerBlock | Self::ImportTasks | Self::ImportRole => 16,
            Self::Task => 17,
            Self::IncludeVars(..) => 18,
            Self::SetFact(..) | Self::Register(_) => 19,
            Self::Params(_) => 20,
            Self::IncludeTasks | Self::IncludeRole | Self::IncludeNested => 21,
            Self::Extra => 22,
        }
    }
}

impl Role {
    /// The role that depends on this one.
    fn depender(self) -> Option<Self> {
        match self {
            Self::Needed => Some(Self::User),
            Self::Friend => Some(Self::Guest),
            _ => None,
        }
    }

    /// The role that depends on this one or includes it.
    fn parent(self) -> Option<Self> {
        match self {
            Self::Nested => Some(Self::Lone),
            role => role.depender(),
        }
    }
}

impl Watch {
    fn role(self) -> Option<Role> {
        match self {
            Self::In(role) => Some(role),
            _ => None,
        }
    }

    /// Whether what the first play says holds here.
    fn in_play(self) -> bool {
        !matches!(self, Self::Elsewhere | Self::Next)
    }

    /// The steps of which moments are done.
    fn moment(self) -> u8 {
        match self {
            Self::Start => 0,
            Self::In(Role::Lone | Role::User | Role::Needed | Role::Nested) => 0,
            Self::Middle | Self::Included | Self::Imported => 1,
            Self::In(Role::Guest | Role::Friend | Role::Brought) => 1,
            Self::After | Self::Elsewhere | Self::Next => 2,
        }
    }

    /// Whether it stands in the block.
    fn in_block(self) -> bool {
        self.moment() == 1
    }
}

impl Tree {
    /// What a variable is, where this is watched on this host.
    pub(super) fn value(&self, variable: usize, watch: Watch, host: usize) -> String {
        // `hostvars` shows the first host, whoever asks.
        let host = if watch == Watch::Elsewhere { 0 } else { host };
        let places = self.variables[variable].iter().enumerate();
        let seen = places.filter_map(|(at, place)| {
            let nearness = self.nearness(*place, watch, host)?;
            // A role that includes another hands on what it was given, over what the include says.
            let handed = watch == Watch::In(Role::Nested) && *place == Place::Params(Role::Lone);
            let rank = if handed { Place::IncludeNested.rank() } else { place.rank() };
            Some(((rank, nearness, at), place))
        });
        seen.max_by_key(|(strength, _)| *strength)
            .map_or(NOTHING.to_owned(), |(_, place)| place.mark())
    }

    /// Which of several places of one rank is the stronger one; nothing if it is not seen from here.
    fn nearness(&self, place: Place, watch: Watch, host: usize) -> Option<usize> {
        let seen = |is: bool, nearness: usize| is.then_some(nearness);
        match place {
            Place::Listed(whom) | Place::BesideInventory(whom) | Place::BesidePlaybook(whom) => {
                match whom {
                    Whom::All => Some(0),
                    Whom::Host(one) => seen(one == host, 0),
                    Whom::Group(group) => {
                        let groups = self.groups_of(host);
                        groups.iter().position(|one| *one == group).map(|at| at + 1)
                    }
                }
            }
            Place::Fact | Place::Extra => Some(0),
            Place::Play | Place::Prompt => seen(watch.in_play(), 0),
            Place::File(at) => seen(watch.in_play(), usize::from(at)),
            Place::Defaults(role) => self.lent(role, watch),
            Place::RoleVars(role) => self.lent(role, watch),
            Place::Given(role) => match (watch.role()?, role) {
                (own, role) if own == role => Some(OWN + 1),
                // What is inherited: what the files of a parent say hides what it was given.
                (own, role) if own.parent() == Some(role) => Some(PARENT - 1),
                _ => None,
            },
            Place::Params(role) => match (watch.role()?, role) {
                (own, role) if own == role => Some(OWN),
                (own, role) if own.parent() == Some(role) => Some(PARENT),
                _ => None,
            },
            Place::OuterBlock => seen(watch.in_block(), 0),
            Place::ImportTasks => seen(watch == Watch::Imported, 1),
            Place::ImportRole => seen(watch == Watch::In(Role::Brought), 1),
            Place::InnerBlock => seen(watch == Watch::Middle, 1),
            Place::Task => seen(watch.in_play(), 0),
            Place::IncludeTasks => seen(watch == Watch::Included, 0),
            Place::IncludeRole => seen(matches!(watch, Watch::In(Role::Guest | Role::Friend)), 0),
            Place::IncludeNested => seen(watch == Watch::In(Role::Nested), 0),
            Place::IncludeVars(moment, on) | Place::SetFact(moment, on) => {
                let done = moment <= watch.moment() && on.is_none_or(|on| on == host);
                seen(done, usize::from(moment))
            }
            Place::Register(moment) => seen(moment <= watch.moment(), usize::from(moment)),
        }
    }

    /// How near a role is whose defaults and variables are looked at.
    fn lent(&self, role: Role, watch: Watch) -> Option<usize> {
        if !watch.in_play() {
            return None;
        }
        match (watch.role(), role) {
            (Some(own), role) if own == role => return Some(OWN),
            (Some(own), role) if own.parent() == Some(role) => return Some(PARENT),
            (Some(own), role) if role.depender() == Some(own) => return Some(DEPENDENCY),
            _ => {}
        }
        // Roles that the play lists or imports show theirs to all of its tasks, a later one over
        // one before it; a role that is included does so from then on, and only if it is public.
        match role {
            Role::Lone => Some(0),
            Role::Needed => Some(1),
            Role::User => Some(2),
            Role::Brought => Some(3),
            Role::Friend | Role::Guest => {
                let since = [Watch::In(Role::Brought), Watch::After];
                let nearness = if role == Role::Friend { 4 } else { 5 };
                (self.public && since.contains(&watch)).then_some(nearness)
            }
            Role::Nested => None,
        }
    }

    /// The groups of a host from the weakest to the strongest: deeper ones over those above them,
    /// then by priority, then by name.
    fn groups_of(&self, host: usize) -> Vec<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = self.hosts[host].iter().copied().collect();
        while let Some(group) = open.pop() {
            if found.insert(group) {
                open.extend(&self.groups[group].parents);
            }
        }
        let mut groups: Vec<usize> = found.into_iter().collect();
        groups.sort_by_key(|group| {
            (self.depth(*group), self.groups[*group].priority.unwrap_or(1), *group)
        });
        groups
    }

    fn depth(&self, group: usize) -> usize {
        let parents = self.groups[group].parents.iter();
        1 + parents.map(|parent| self.depth(*parent)).max().unwrap_or(0)
    }
}

/// How near a role is to the role of the task that looks.
const OWN: usize = 100;
const PARENT: usize = 90;
const DEPENDENCY: usize = 80;
