//! Machines that get another shape where they are.

use super::*;
use updraft_base::{MachineName, SeededChance};
use updraft_plan::{Desired, Draw, PlanError, ShapeChange, plan_resize, plan_up};

fn draw<T>(with: impl FnOnce(Draw<'_>) -> T) -> T {
    let mut chance = SeededChance::new(7);
    with(Draw { now: "2026-01-01T00:00:00Z".parse().unwrap(), chance: &mut chance })
}

fn by_hand(world: &World, site: &Desired, name: &str, change: ShapeChange) -> Plan {
    let name: MachineName = name.parse().unwrap();
    draw(|draw| plan_resize(site, &world.observed, &world.memory, &name, change, draw)).unwrap()
}

fn refusal(world: &World, site: &Desired) -> PlanError {
    draw(|draw| plan_up(site, &world.observed, &world.memory, draw)).unwrap_err()
}

fn position(plan: &Plan, key: &str) -> u32 {
    plan.steps.iter().find(|step| step.key == key).unwrap_or_else(|| panic!("no {key}")).id
}

#[test]
fn a_disk_grows_on_all_machines_at_once_and_nothing_stops() {
    let mut world = World::new();
    world.up(&hello(2));
    let mut site = hello(2);
    site.groups[1].disk = ByteSize::gib(4);
    let plan = world.plan(&site);
    assert_eq!(keys(&plan)[..2], ["machine/worker-1/resize", "machine/worker-2/resize"]);
    assert!(plan.steps.iter().all(|step| step.after.is_empty() && !plan.destroys()));
    check_golden("grow", &render(&plan));
    world.up(&site);
    assert!(world.plan(&site).is_empty());
}

#[test]
fn machines_that_restart_for_their_shape_are_never_away_together() {
    let mut world = World::new();
    world.up(&hello(2));
    let mut site = hello(2);
    site.groups[1].memory = ByteSize::mib(512);
    site.groups[1].disk = ByteSize::gib(4);
    let plan = world.plan(&site);
    let first = ["withdraw", "resize", "identify"].map(|part| format!("machine/worker-1/{part}"));
    let roll = position(&plan, "service/hello/worker-1/roll");
    let mut before = position(&plan, &first[0]);
    for step in [position(&plan, &first[1]), position(&plan, &first[2]), roll] {
        assert!(plan.steps[step as usize].after.contains(&before));
        before = step;
    }
    let second = position(&plan, "machine/worker-2/withdraw");
    assert!(plan.steps[second as usize].after.contains(&roll));
    assert!(!plan.destroys());
    check_golden("restart", &render(&plan));
    world.up(&site);
    assert!(world.plan(&site).is_empty());
}

#[test]
fn a_restart_takes_a_new_play_and_version_along() {
    let mut world = World::new();
    world.up(&hello(2));
    let mut site = hello(2);
    site.groups[1].cpus = 2;
    site.groups[1].play = Some(Digest::of("another play"));
    site.services[0].version = "v2".to_owned();
    let plan = world.plan(&site);
    let play = position(&plan, "group/worker/configure/worker-1");
    let roll = position(&plan, "service/hello/worker-1/roll");
    assert!(plan.steps[roll as usize].after.contains(&play));
    assert_eq!(plan.steps.iter().filter(|s| matches!(s.act, Act::Roll { .. })).count(), 2);
    let told = render(&plan);
    for words in ["cpus 1 → 2 (restart)", "its play changed", "service hello v1 → v2"] {
        assert!(told.contains(words), "{words} in {told}");
    }
    world.up(&site);
    assert!(world.plan(&site).is_empty());
}

#[test]
fn what_is_off_gets_its_shape_before_it_starts() {
    let mut world = World::new();
    world.up(&hello(2));
    world.observed.machines[1].power = Power::Off;
    world.observed.machines[1].agent = AgentFacts::Silent;
    let mut site = hello(2);
    site.groups[1].memory = ByteSize::mib(512);
    let plan = world.plan(&site);
    let (resize, start) =
        (position(&plan, "machine/worker-1/resize"), position(&plan, "machine/worker-1/start"));
    assert!(plan.steps[start as usize].after.contains(&resize));
    let Act::ResizeMachine { restart, .. } = plan.steps[resize as usize].act else { panic!() };
    assert!(!restart);
    let (cost, other) = (&plan.changes[0], &plan.changes[2]);
    assert_eq!(cost.because, "resize: memory 256MiB → 512MiB (no restart)");
    assert_eq!(other.because, "resize: memory 256MiB → 512MiB (restart)");
}

#[test]
fn a_resize_that_was_cut_off_is_finished() {
    let mut world = World::new();
    world.up(&hello(2));
    world.observed.machines[2].resizing = true;
    let plan = world.up(&hello(2));
    assert_eq!(keys(&plan), ["machine/worker-2/resize"]);
    assert_eq!(plan.changes[0].because, "resize: finish it (no restart)");
    assert!(world.plan(&hello(2)).is_empty());
}

#[test]
fn a_disk_that_would_shrink_is_one_clear_error() {
    let mut world = World::new();
    let mut site = hello(2);
    site.groups[1].disk = ByteSize::gib(4);
    world.up(&site);
    let error = refusal(&world, &hello(2));
    assert_eq!(
        error.to_string(),
        "the disk of `worker-1` has 4GiB and 2GiB are asked for: a disk never shrinks"
    );
    assert!(updraft_base::Blamed::hint(&error).unwrap().contains("`disk: 4GiB`"));
    // One that is made anew anyway gets the disk that is asked for.
    let mut other = hello(2);
    other.images[0].digest = Digest::of("trixie");
    world.up(&other);
    assert!(world.plan(&other).is_empty());
}

#[test]
fn machines_that_start_live_get_templates_of_the_new_shape_and_those_there_are_resized() {
    let mut world = World::new();
    let mut site = hello(2);
    site.groups[1].live = true;
    world.up(&site);
    site.groups[1].memory = ByteSize::mib(512);
    let plan = world.plan(&site);
    assert!(!keys(&plan).iter().any(|key| key.starts_with("template/")), "{:?}", keys(&plan));
    recount(&mut site, "worker", 3);
    let plan = world.up(&site);
    let made = position(&plan, "template/debian/worker");
    let Act::EnsureTemplate { memory, .. } = plan.steps[made as usize].act else { panic!() };
    assert_eq!(memory, ByteSize::mib(512));
    for name in ["worker-1", "worker-2"] {
        position(&plan, &format!("machine/{name}/resize"));
    }
    assert!(!plan.destroys());
    assert!(world.plan(&site).is_empty());
}

#[test]
fn one_that_never_came_to_life_is_made_anew() {
    let mut world = World::new();
    let mut site = hello(1);
    site.groups[1].live = true;
    let plan = world.plan(&site);
    world.begin(&plan);
    let created = position(&plan, "machine/worker-1/create") as usize;
    (0..=created).for_each(|step| world.act(&plan, step));
    site.groups[1].memory = ByteSize::mib(512);
    let plan = world.up(&site);
    assert!(plan.changes.iter().any(|c| c.kind == ChangeKind::Replace && c.subject == "worker-1"));
    assert!(world.plan(&site).is_empty());
}

#[test]
fn one_machine_is_resized_by_hand_and_the_next_plan_takes_it_back() {
    let mut world = World::new();
    let site = hello(2);
    world.up(&site);
    let memory = ShapeChange { memory: Some(ByteSize::mib(512)), ..ShapeChange::default() };
    let plan = by_hand(&world, &site, "worker-2", memory);
    let chain = ["withdraw", "resize", "identify"].map(|part| format!("machine/worker-2/{part}"));
    assert_eq!(keys(&plan)[..3], chain);
    assert_eq!(keys(&plan)[3..], ["service/hello/worker-2/roll"]);
    assert_eq!(plan.changes.len(), 1);
    assert!(world.plan(&site).is_empty());
    world.begin(&plan);
    (0..plan.steps.len()).for_each(|step| world.act(&plan, step));
    assert!(by_hand(&world, &site, "worker-2", memory).is_empty());
    let back = world.plan(&site);
    assert_eq!(back.changes[0].because, "resize: memory 512MiB → 256MiB (restart)");
    assert!(!keys(&back).contains(&"machine/worker-1/resize"));
}

#[test]
fn by_hand_a_disk_grows_alone_whatever_the_site_file_says_of_others() {
    let mut world = World::new();
    let site = hello(2);
    world.up(&site);
    let grow = |size| ShapeChange { disk: Some(ByteSize::gib(size)), ..ShapeChange::default() };
    for name in ["worker-1", "worker-2"] {
        let plan = by_hand(&world, &site, name, grow(8));
        assert_eq!(keys(&plan), [format!("machine/{name}/resize")]);
        world.begin(&plan);
        world.act(&plan, 0);
    }
    let name: MachineName = "worker-1".parse().unwrap();
    let shrunk = draw(|draw| {
        plan_resize(&site, &world.observed, &world.memory, &name, grow(4), draw).unwrap_err()
    });
    assert!(shrunk.to_string().contains("never shrinks"), "{shrunk}");
    assert!(refusal(&world, &site).to_string().contains("8GiB and 2GiB"));
}
