//! `reboot`: a host starts anew, and is waited for until it has.
//!
//! That it has is seen by the kernel's own name for this boot, which is another one afterwards.

use super::actions::done;
use super::execute::{Call, Crew, number};
use super::outcome::{failed, flag, put};
use crate::template::Fault;
use crate::value::{Dict, Value};
use std::time::Duration;
use updraft_base::Timestamp;

/// The longest pause between two looks at a host, in seconds, as Ansible has it.
const LONGEST_PAUSE: f64 = 12.0;

/// Whether a result is the one that is waited for.
type Judge<'a> = &'a (dyn Fn(&Dict) -> bool + Sync);

/// What a task asks for; times are in seconds.
struct Wanted {
    pre_delay: f64,
    post_delay: f64,
    timeout: f64,
    /// For the shell of the host.
    command: String,
    boot_id: String,
    test: String,
}

impl Wanted {
    fn new(call: &Call<'_>) -> Result<Self, Fault> {
        let given = |name: &str| {
            [name.to_owned(), format!("{name}_sec")]
                .into_iter()
                .find_map(|name| call.args.get(name.as_str()).filter(|value| !value.is_none()))
        };
        let seconds = |name: &str, usual: f64| {
            given(name).map_or(Ok(usual), |value| number(call.context, value)).map(|it| it.max(0.0))
        };
        let text = |name: &str, usual: &str| given(name).map_or(usual.to_owned(), Value::to_text);
        let pre_delay = seconds("pre_reboot_delay", 0.0)?;
        let message = text("msg", "Reboot initiated by Ansible");
        let message = message.replace('\'', r"'\''");
        // shutdown(8) counts in minutes, and not by parts of them.
        let usual = format!("shutdown -r {} '{message}'", (pre_delay / 60.0).floor());
        Ok(Self {
            pre_delay,
            post_delay: seconds("post_reboot_delay", 0.0)?,
            timeout: seconds("reboot_timeout", 600.0)?,
            command: text("reboot_command", &usual),
            boot_id: text("boot_time_command", "cat /proc/sys/kernel/random/boot_id"),
            test: text("test_command", "whoami"),
        })
    }
}

impl Crew<'_> {
    pub(super) async fn reboot(&self, call: &Call<'_>) -> Dict {
        let mut result = self.restarted(call).await;
        let rebooted = !flag(&result, "failed") && !flag(&result, "unreachable");
        result.entry("rebooted".into()).or_insert(Value::Bool(rebooted));
        result
    }

    async fn restarted(&self, call: &Call<'_>) -> Dict {
        if self.is_here(call) {
            return told(
                failed(format!(
                    "Running {} with local connection would reboot the control node.",
                    call.task.word
                )),
                0,
            );
        }
        if call.check {
            return told(done(true), 0);
        }
        let wanted = match Wanted::new(call) {
            Ok(wanted) => wanted,
            Err(fault) => return failed(format!("Task failed: {}", fault.what)),
        };
        let before = self.shell(call, &wanted.boot_id).await;
        if flag(&before, "failed") || flag(&before, "unreachable") {
            return before;
        }
        let began = self.shared.world.clock.now();
        let said = self.shell(call, &wanted.command).await;
        // Whoever restarts at once may not answer any more.
        if flag(&said, "failed") && !flag(&said, "unreachable") {
            let text = |name: &str| said.get(name).map(Value::to_text).unwrap_or_default();
            let (out, err) = (text("stdout"), text("stderr"));
            let msg = format!("Reboot command failed. Error was: '{out}, {err}'");
            return told(failed(msg), self.since(began));
        }
        self.operator.sleep(Duration::from_secs_f64(wanted.pre_delay.min(1e9))).await;
        self.operator.sleep(Duration::from_secs_f64(wanted.post_delay.min(1e9))).await;
        let id = before.get("stdout").map(Value::to_text).unwrap_or_default();
        let another = |result: &Dict| {
            let now = result.get("stdout").map(Value::to_text).unwrap_or_default();
            !now.is_empty() && now != id
        };
        let fine = |_: &Dict| true;
        let looks: [(&str, &str, Judge<'_>); 2] = [
            ("last boot time check", &wanted.boot_id, &another),
            ("post-reboot test command", &wanted.test, &fine),
        ];
        for (what, command, is_so) in looks {
            if !self.until(call, command, is_so, began, wanted.timeout).await {
                let msg = format!("Timed out waiting for {what} (timeout={})", wanted.timeout);
                let mut result = told(failed(msg), self.since(began));
                put(&mut result, "rebooted", true);
                return result;
            }
        }
        told(done(true), self.since(began))
    }

    /// Looks at the host until a command succeeds and says the right thing.
    async fn until(
        &self,
        call: &Call<'_>,
        command: &str,
        is_so: Judge<'_>,
        began: Timestamp,
        timeout: f64,
    ) -> bool {
        let mut pause = 1.0;
        loop {
            self.forget(call).await;
            let result = self.shell(call, command).await;
            if !flag(&result, "failed") && !flag(&result, "unreachable") && is_so(&result) {
                return true;
            }
            let passed = self.shared.world.clock.now().duration_since(began).as_secs_f64();
            if passed >= timeout {
                return false;
            }
            self.operator.sleep(Duration::from_secs_f64(pause)).await;
            pause = (pause * 2.0).min(LONGEST_PAUSE);
        }
    }

    async fn shell(&self, call: &Call<'_>, line: &str) -> Dict {
        let mut args = Dict::new();
        put(&mut args, "_raw_params", Value::str(line));
        self.module(call, "shell", &args).await
    }

    fn since(&self, began: Timestamp) -> i64 {
        self.shared.world.clock.now().duration_since(began).as_secs()
    }
}

fn told(mut result: Dict, elapsed: i64) -> Dict {
    put(&mut result, "elapsed", Value::Int(elapsed));
    result
}
