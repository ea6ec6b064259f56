//! The servers that can be measured.
//!
//! To add one: write a small program that takes `HOST` and `PORT` from its environment, prints the address it serves as
//! `http://127.0.0.1:<port>/`, and answers `/ws/<room>/` as [`Contract::Room`] says and `/echo/` as [`Contract::Echo`] does;
//! then add its row to [`servers`].

mod program;
mod running;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

pub(crate) use self::{program::Program, running::Running};
use crate::contract::Contract;

/// A server, as a row of the tables.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Its name there and for `--servers`.
    pub(crate) name: String,
    /// How its program is had.
    pub(crate) program: Program,
    /// What the program is told.
    pub(crate) arguments: &'static [&'static str],
    /// Where it runs, in the workspace.
    pub(crate) directory: &'static str,
    /// What it does with a message.
    pub(crate) contract: Contract,
    /// The path of a connection; `{room}` and `{member}` are put in.
    pub(crate) path: String,
    /// The path of a connection whose messages come straight back.
    echo: Option<String>,
    /// Who takes part where.
    pub(crate) part: Part,
    /// Whether several of it serve one port, with `REUSE_PORT` in their environment, or share the channel layer whose URL is
    /// `LAYER` there.
    pub(crate) shares_port: bool,
}

/// When a server takes part if no server is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// In every scenario; not in the plans.
    Example,
    /// In every scenario and plan.
    Ours,
    /// The same program again with another path: as [`Ours`](Self::Ours), except in scenarios of connections without messages.
    Again,
    /// In the plans.
    Peer,
}

/// The servers that are known by name.
pub(crate) fn servers() -> Vec<Server> {
    const CHATROOM: Program = Program::Cargo(&["--package", "channels", "--example", "chatroom"]);
    const ECHO: Program = Program::Cargo(&["--package", "channels", "--example", "echo"]);
    const ROOMS: Program = Program::Cargo(&["--package", "channels-bench", "--bin", "rooms"]);
    const EPOLL: Program = Program::Peer("peer-epoll");
    const DJANGO: &str = "benches/peers/django";
    const DAPHNE: &[&str] = &["-m", "daphne", "--bind", "127.0.0.1", "--port", "0", "asgi:application"];
    const UVICORN: &[&str] =
        &["-m", "uvicorn", "--host", "127.0.0.1", "--port", "0", "--no-access-log", "asgi:application"];
    let peer = |name, program| Server::of(name, program, Contract::Room).part(Part::Peer);
    vec![
        Server::of("chatroom", CHATROOM, Contract::Chatroom),
        Server::of("echo", ECHO, Contract::Echo),
        Server { shares_port: true, ..Server::of("rooms", ROOMS, Contract::Room) }.part(Part::Ours),
        Server { path: "/each/{room}/".to_owned(), echo: None, ..Server::of("rooms-each", ROOMS, Contract::Room) }
            .part(Part::Again),
        Server::of("rooms-one", ROOMS, Contract::Room).told(&["1"]).part(Part::Again),
        peer("epoll-delivery", EPOLL).told(&["delivery"]),
        peer("epoll-readiness", EPOLL).told(&["readiness"]),
        peer("bun", Program::Npm("benches/peers/bun", "bun")).told(&["server.ts"]).within("benches/peers/bun"),
        peer("actix-web-actors", Program::Peer("peer-actix-web-actors")),
        peer("actix-ws", Program::Peer("peer-actix-ws")),
        peer("axum", Program::Peer("peer-axum")),
        Server::of("socketioxide", Program::Peer("peer-socketioxide"), Contract::SocketIo).part(Part::Peer),
        peer("channels-daphne", Program::Python(DJANGO)).told(DAPHNE).within(DJANGO),
        peer("channels-uvicorn", Program::Python(DJANGO)).told(UVICORN).within(DJANGO),
    ]
}

impl Server {
    fn of(name: &str, program: Program, contract: Contract) -> Self {
        Self {
            name: name.to_owned(),
            program,
            arguments: &[],
            directory: "",
            contract,
            path: contract.usual_path().to_owned(),
            echo: contract.usual_echo().map(str::to_owned),
            part: Part::Example,
            shares_port: false,
        }
    }

    fn part(self, part: Part) -> Self {
        Self { part, ..self }
    }

    fn told(self, arguments: &'static [&'static str]) -> Self {
        Self { arguments, ..self }
    }

    fn within(self, directory: &'static str) -> Self {
        Self { directory, ..self }
    }

    /// A server that was built elsewhere.
    pub(crate) fn built(binary: PathBuf, contract: Contract, path: Option<String>) -> Self {
        let name = binary.file_stem().map_or_else(|| "server".into(), |stem| stem.to_string_lossy().into_owned());
        let server = Self::of(&name, Program::Built(binary), contract);
        match path {
            Some(path) if contract == Contract::Echo => Self { echo: Some(path.clone()), path, ..server },
            Some(path) => Self { path, ..server },
            None => server,
        }
    }

    /// The path of one connection.
    pub(crate) fn path(&self, room: usize, member: usize) -> String {
        filled(&self.path, room, member)
    }

    /// The path of one connection whose messages come straight back, if the server has such.
    pub(crate) fn echo(&self, member: usize) -> Option<String> {
        self.echo.as_deref().map(|path| filled(path, member, member))
    }
}

/// A path of one connection.
pub(crate) fn filled(path: &str, room: usize, member: usize) -> String {
    path.replace("{room}", &format!("bench{room}")).replace("{member}", &format!("n{member}"))
}

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A child that does not outlive its handle.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // An error says that it has ended already.
        self.0.kill().ok();
        let _: Option<ExitStatus> = self.0.wait().ok();
    }
}

/// Puts this process on these CPUs.
pub(crate) fn pin_client(cpus: &str) -> Result<()> {
    let status = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", cpus, &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()
        .context("cannot run taskset, which --client-cpus needs")?;
    ensure!(status.success(), "taskset does not put the client on CPUs {cpus}");
    Ok(())
}
