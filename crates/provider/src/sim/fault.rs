//! Faults that a simulated world commits, from a script or by seeded chance.

use updraft_base::{Chance as _, SeededChance};

/// Something a simulated world is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Look at everything.
    Observe,
    /// Make a network.
    EnsureNetwork,
    /// Remove a network.
    DestroyNetwork,
    /// Make a template.
    EnsureTemplate,
    /// Remove a template.
    DropTemplate,
    /// Make a machine.
    Create,
    /// Power a machine on.
    Start,
    /// Power a machine off.
    Stop,
    /// Give a machine another shape.
    Resize,
    /// Remove a machine.
    Destroy,
    /// Take a snapshot of a machine.
    TakeSnapshot,
    /// Bring a machine back to a snapshot.
    Revert,
    /// Remove a snapshot.
    DropSnapshot,
    /// Make machines from another one.
    Clone,
    /// Let a clone into its networks.
    Connect,
    /// Open a channel to an agent.
    Channel,
    /// Look for signs of life.
    Progress,
    /// Ask an agent something.
    Ask,
}

/// A way to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done; it says that it is busy.
    Busy,
    /// Nothing is done; it says no, for good.
    Refused,
    /// It is done, but it says that it failed.
    ErrorAfterEffect,
    /// It is done, but the answer is lost; who asked hears nothing until the deadline.
    LostAnswer,
    /// It is done twice, as when a request is delivered twice. An agent's answer comes twice.
    Twice,
    /// Of a machine only the mark is made. Elsewhere as [`Fault::Refused`].
    HalfMade,
    /// We die before it is done; see [`super::SimWorld::crashed`].
    CrashBeforeEffect,
    /// We die after it is done.
    CrashAfterEffect,
}

impl Fault {
    const PASSING: [Self; 3] = [Self::Busy, Self::LostAnswer, Self::Twice];
    const ALL: [Self; 8] = [
        Self::Busy,
        Self::Refused,
        Self::ErrorAfterEffect,
        Self::LostAnswer,
        Self::Twice,
        Self::HalfMade,
        Self::CrashBeforeEffect,
        Self::CrashAfterEffect,
    ];
}

/// The faults still to come.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    script: Vec<Scripted>,
    chance: Option<Random>,
}

#[derive(Clone, Debug)]
struct Scripted {
    op: Op,
    subject: Option<String>,
    /// How many that fit are let through before.
    after: u32,
    fault: Fault,
}

#[derive(Clone, Debug)]
struct Random {
    chance: SeededChance,
    per_mille: u64,
    left: u32,
    kinds: &'static [Fault],
}

impl Faults {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// This many faults of every kind, each time with this chance in a thousand. The same seed
    /// and the same calls give the same faults.
    pub fn seeded(seed: u64, per_mille: u64, most: u32) -> Self {
        Self::random(seed, per_mille, most, &Fault::ALL)
    }

    /// As [`Faults::seeded`], only of the kinds that a retry heals.
    pub fn passing(seed: u64, per_mille: u64, most: u32) -> Self {
        Self::random(seed, per_mille, most, &Fault::PASSING)
    }

    fn random(seed: u64, per_mille: u64, most: u32, kinds: &'static [Fault]) -> Self {
        let chance = SeededChance::new(seed);
        Self { script: Vec::new(), chance: Some(Random { chance, per_mille, left: most, kinds }) }
    }

    /// The same, and the `nth` time (from 1) that `op` is asked of `subject`, or of anything, it
    /// goes wrong.
    #[must_use]
    pub fn and(mut self, op: Op, subject: Option<&str>, nth: u32, fault: Fault) -> Self {
        let after = nth.saturating_sub(1);
        self.script.push(Scripted { op, subject: subject.map(str::to_owned), after, fault });
        self
    }

    /// What goes wrong now, if anything. A scripted fault happens once.
    pub(super) fn draw(&mut self, op: Op, subject: &str) -> Option<Fault> {
        let mut due = None;
        for (i, scripted) in self.script.iter_mut().enumerate() {
            let fits = scripted.op == op
                && scripted.subject.as_deref().is_none_or(|wanted| wanted == subject);
            if fits && scripted.after > 0 {
                scripted.after -= 1;
            } else if fits && due.is_none() {
                due = Some(i);
            }
        }
        if let Some(i) = due {
            return Some(self.script.remove(i).fault);
        }
        let random = self.chance.as_mut().filter(|random| random.left > 0)?;
        if random.chance.below(1000) >= random.per_mille {
            return None;
        }
        random.left -= 1;
        let kind = random.chance.below(random.kinds.len() as u64);
        Some(random.kinds[usize::try_from(kind).expect("there are few kinds")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripted_fault_happens_once_and_where_it_was_asked_for() {
        let mut faults = Faults::none().and(Op::Create, Some("web-1"), 2, Fault::Busy).and(
            Op::Start,
            None,
            1,
            Fault::LostAnswer,
        );
        assert_eq!(faults.draw(Op::Create, "web-1"), None);
        assert_eq!(faults.draw(Op::Create, "web-2"), None);
        assert_eq!(faults.draw(Op::Create, "web-1"), Some(Fault::Busy));
        assert_eq!(faults.draw(Op::Create, "web-1"), None);
        assert_eq!(faults.draw(Op::Start, "web-9"), Some(Fault::LostAnswer));
        assert_eq!(faults.draw(Op::Start, "web-9"), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_no_more_than_asked() {
        let drawn = |seed| {
            let mut faults = Faults::seeded(seed, 300, 5);
            (0..200).map(|_| faults.draw(Op::Start, "x")).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert_eq!(drawn(1).iter().flatten().count(), 5);
    }
}
