//! argv, terminal, exit codes: the `updraft` binary.
//!
//! This crate reads the command line and the environment, calls `control`, and prints. It decides
//! nothing about machines.

mod agent;
mod args;
mod commands;
mod env;
mod log;
mod progress;
mod shims;
mod timings;
mod ui;

use std::process::ExitCode;

/// Sites of many machines are many small things; a plan of 10,000 takes a quarter less time than
/// with the allocator of Debian's C library (`bench/plan.sh`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = shims::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let text = format!("cannot start: {error}");
            ui::Terminal::new(cli.global.color).complain_text(&text, None);
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(commands::run(cli));
    // Whatever still runs, such as a host that never answered, is not waited for.
    runtime.shutdown_background();
    ExitCode::from(code)
}
