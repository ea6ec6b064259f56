//! What the operating system tells of this machine and this process.

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Usage {
    /// How busy each processor is, in percent.
    processors: Vec<f32>,
    /// How busy all of them are with this process, in percent.
    own_cpu: f32,
    /// Bytes that there are.
    memory: u64,
    /// Bytes that are in use.
    used_memory: u64,
    /// Bytes of this process.
    own_memory: u64,
}

pub(super) struct Machine {
    system: System,
    process: Option<Pid>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self { system: System::new(), process: sysinfo::get_current_pid().ok() }
    }

    /// How busy it was since the last time, and its memory now.
    pub(super) fn usage(&mut self) -> Usage {
        let system = &mut self.system;
        system.refresh_cpu_usage();
        system.refresh_memory();
        if let Some(pid) = self.process {
            let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        }
        let process = self.process.and_then(|pid| system.process(pid));
        let processors: Vec<_> = system.cpus().iter().map(|cpu| cpu.cpu_usage()).collect();
        Usage {
            // Of one processor: a process on two of them has up to 200 %.
            own_cpu: process.map_or(0.0, |process| process.cpu_usage() / processors.len().max(1) as f32),
            processors,
            memory: system.total_memory(),
            used_memory: system.used_memory(),
            own_memory: process.map_or(0, |process| process.memory()),
        }
    }
}
