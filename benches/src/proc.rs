//! What the kernel says about a process and the machine: CPU time, memory, and who else was busy.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use procfs::process::Process;
use procfs::{CpuInfo, Current, CurrentSI, KernelStats, Meminfo};
use serde::Serialize;

use crate::patience::Patience;

/// CPU seconds.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    /// In the program.
    pub(crate) user: f64,
    /// In the kernel on its behalf.
    pub(crate) system: f64,
}

impl Cpu {
    /// Of every thread a process has or had (`utime` and `stime` of `/proc/<pid>/stat`, in steps of 10 ms).
    fn of(process: &Process) -> Result<Self> {
        let stat = process.stat()?;
        let tick = procfs::ticks_per_second() as f64;
        Ok(Self { user: stat.utime as f64 / tick, system: stat.stime as f64 / tick })
    }

    /// What was used from an earlier moment to this.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { user: self.user - earlier.user, system: self.system - earlier.system }
    }

    /// Both.
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

/// What had been used up at one moment.
pub(crate) struct Sample {
    at: Instant,
    server: Cpu,
    client: Cpu,
    busy: f64,
    cores: usize,
}

/// What was used up between two moments.
pub(crate) struct Usage {
    /// How long that was, in seconds.
    pub(crate) wall: f64,
    /// By the server.
    pub(crate) server: Cpu,
    /// By this program.
    pub(crate) client: Cpu,
    /// The percentage of the machine that neither of the two used, yet was not idle: when it is not near zero, the
    /// latencies and rates of the run belong to somebody else as well.
    pub(crate) others: f64,
    cores: usize,
}

impl Usage {
    /// So many seconds were used by somebody who belongs to the run.
    pub(crate) fn take_from_others(&mut self, seconds: f64) {
        self.others = (self.others - 100.0 * seconds / (self.wall * self.cores as f64)).max(0.0);
    }
}

impl Sample {
    /// Now.
    pub(crate) fn take(server: u32) -> Result<Self> {
        Self::of(&[server])
    }

    /// Now, of several servers together.
    pub(crate) fn of(servers: &[u32]) -> Result<Self> {
        let stat = KernelStats::current().context("cannot read /proc/stat")?;
        let machine = &stat.total;
        let ticks = machine.user
            + machine.nice
            + machine.system
            + machine.irq.unwrap_or(0)
            + machine.softirq.unwrap_or(0)
            + machine.steal.unwrap_or(0);
        Ok(Self {
            at: Instant::now(),
            server: servers.iter().try_fold(Cpu { user: 0.0, system: 0.0 }, |sum, server| {
                let one = Cpu::of(&process(*server)?)?;
                anyhow::Ok(Cpu { user: sum.user + one.user, system: sum.system + one.system })
            })?,
            client: Cpu::of(&Process::myself()?)?,
            busy: ticks as f64 / procfs::ticks_per_second() as f64,
            cores: stat.cpu_time.len(),
        })
    }

    /// What was used up from this moment to a later one.
    pub(crate) fn until(&self, later: &Self) -> Usage {
        let wall = (later.at - self.at).as_secs_f64();
        let (server, client) = (later.server.since(self.server), later.client.since(self.client));
        let others = (later.busy - self.busy - server.total() - client.total()).max(0.0);
        Usage { wall, server, client, others: 100.0 * others / (wall * self.cores as f64), cores: self.cores }
    }
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Its own pages, not those of files (`RssAnon`): heap and stacks. What is reported for each connection.
    pub(crate) anonymous: f64,
    /// All that is resident (`VmRSS`), the program's text included.
    pub(crate) resident: f64,
}

impl Memory {
    /// Now (`/proc/<pid>/status`).
    fn of(pid: u32) -> Result<Self> {
        let status = process(pid)?.status()?;
        let bytes = |kib: Option<u64>| kib.map(|kib| kib as f64 * 1024.0).context("no RSS in /proc/<pid>/status");
        Ok(Self { anonymous: bytes(status.rssanon)?, resident: bytes(status.vmrss)? })
    }

    /// Of several processes together.
    fn sum(pids: &[u32]) -> Result<Self> {
        pids.iter().try_fold(Self { anonymous: 0.0, resident: 0.0 }, |sum, pid| {
            let one = Self::of(*pid)?;
            Ok(Self { anonymous: sum.anonymous + one.anonymous, resident: sum.resident + one.resident })
        })
    }

    /// Of these processes together, as soon as it has stood still (within 0.5 % or 64 KiB) for two seconds. `rest` lets some
    /// time pass, in which pings are answered.
    pub(crate) fn settled(pids: &[u32], mut rest: impl FnMut() -> Result<()>, patience: &Patience) -> Result<Self> {
        const STILL: Duration = Duration::from_secs(2);
        let mut phase = patience.phase("the server's memory to stand still");
        let mut reference = Self::sum(pids)?;
        let mut since = Instant::now();
        let mut samples = 0;
        while since.elapsed() < STILL {
            rest()?;
            let now = Self::sum(pids)?;
            if (now.anonymous - reference.anonymous).abs() > (reference.anonymous * 0.005).max(64.0 * 1024.0) {
                reference = now;
                since = Instant::now();
            }
            samples += 1;
            phase.check(samples, || format!("{:.0} KiB and still changing", now.anonymous / 1024.0))?;
        }
        Self::sum(pids)
    }
}

/// Where the numbers come from.
#[derive(Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// How many of them.
    pub(crate) cores: usize,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// How its TCP paces itself.
    pub(crate) congestion_control: String,
}

impl Machine {
    /// This one; what cannot be read is said to be unknown.
    pub(crate) fn this() -> Self {
        let unknown = || "unknown".to_owned();
        let setting = |name: &str| {
            fs::read_to_string(format!("/proc/sys/{name}")).map_or_else(|_| unknown(), |text| text.trim().to_owned())
        };
        let info = CpuInfo::current().ok();
        Self {
            cpu: info.as_ref().and_then(|info| info.model_name(0)).map_or_else(unknown, str::to_owned),
            cores: info.as_ref().map_or(0, CpuInfo::num_cores),
            memory: Meminfo::current().map_or(0, |info| info.mem_total),
            kernel: setting("kernel/osrelease"),
            congestion_control: setting("net/ipv4/tcp_congestion_control"),
        }
    }
}

/// Files that a process has open.
pub(crate) fn open_files(pid: u32) -> Result<usize> {
    Ok(process(pid)?.fd_count()?)
}

fn process(pid: u32) -> Result<Process> {
    Process::new(i32::try_from(pid)?).with_context(|| format!("process {pid} is gone"))
}
