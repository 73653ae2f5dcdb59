//! The real program: started with chosen settings, waited for, stopped, and what it said.

use crate::client::{Client, Metrics};
use serde_json::Value;
use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(10);
/// Looks before a wait is given up: a minute.
const LOOKS: u32 = 6_000;

/// A file or folder that `make setup` fetched.
pub(crate) fn cached(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(path);
    assert!(path.exists(), "{} is missing: run `make setup` first", path.display());
    path
}

/// The `[[model]]` of a model folder in `.cache/models`; `keys` are lines of its own.
pub(crate) fn model(name: &str, folder: &str, keys: &str) -> String {
    let path = cached("models").join(folder);
    format!("[[model]]\nname = {name:?}\npath = {path:?}\n{keys}\n")
}

/// The program, its environment free of settings of the machine's own.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inferneo"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("INFERNEO_") || name.starts_with("CUDA_") || name == "ORT_DYLIB_PATH" {
            command.env_remove(&*name);
        }
    }
    command.env("INFERNEO_ONNXRUNTIME_LIBRARY", cached("onnxruntime/libonnxruntime.so"));
    // No test starts from what another one learned.
    command.env("INFERNEO_STATE", "none");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// The program with at most so many file descriptors, raised by nobody.
fn limited(descriptors: u32) -> Command {
    let own = program();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!(r#"ulimit -n {descriptors}; exec "$0" "$@""#)).arg(own.get_program());
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// An empty folder, gone with its handle.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Settings of `inferneo serve`.
#[derive(Debug)]
pub(crate) struct Settings {
    config: String,
    policies: Vec<(String, String)>,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    /// Most file descriptors of the program.
    descriptors: Option<u32>,
}

impl Settings {
    /// Takes the text of an `inferneo.toml`.
    pub(crate) fn new(config: impl Into<String>) -> Self {
        Self {
            config: config.into(),
            policies: Vec::new(),
            flags: Vec::new(),
            variables: Vec::new(),
            descriptors: None,
        }
    }

    /// Adds a file to the policy folder.
    pub(crate) fn policy(mut self, name: &str, text: &str) -> Self {
        self.policies.push((format!("{name}.toml"), text.to_owned()));
        self
    }

    /// Adds a script to the policy folder.
    pub(crate) fn script(mut self, name: &str, text: &str) -> Self {
        self.policies.push((format!("{name}.rhai"), text.to_owned()));
        self
    }

    /// Adds a flag and its value.
    pub(crate) fn flag(mut self, flag: &str, value: impl ToString) -> Self {
        self.flags.extend([flag.to_owned(), value.to_string()]);
        self
    }

    /// Adds a variable to the environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the program at most so many file descriptors.
    pub(crate) fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// Starts the program and waits until it is ready.
    pub(crate) fn start(self) -> Server {
        let (command, dir) = self.command();
        let mut server = Server::spawn(command, dir);
        server.wait_ready();
        server
    }

    /// Runs the program, which must end by itself; answers its exit code and stderr.
    pub(crate) async fn run(self) -> Ended {
        let (command, dir) = self.command();
        Server::spawn(command, dir).ended().await
    }

    fn command(self) -> (Command, TempDir) {
        let dir = folder();
        let config = dir.path().join("inferneo.toml");
        let ports = "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n";
        let ports = if self.config.contains("listen =") { "" } else { ports };
        fs::write(&config, format!("{ports}{}", self.config)).unwrap();
        let mut command = self.descriptors.map_or_else(program, limited);
        command.arg("serve").arg("--config").arg(config).args(self.flags).envs(self.variables);
        if !self.policies.is_empty() {
            let folder = dir.path().join("policies");
            fs::create_dir(&folder).unwrap();
            self.policies.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
            command.arg("--policies").arg(folder);
        }
        (command, dir)
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    dir: TempDir,
    /// Its data plane.
    pub(crate) data: SocketAddr,
    /// Its admin plane.
    pub(crate) admin: SocketAddr,
}

impl Server {
    /// Starts `command`, an `inferneo serve`; its ready file and its log go to `dir`.
    pub(crate) fn spawn(mut command: Command, dir: TempDir) -> Self {
        let log = fs::File::create(dir.path().join("log")).unwrap();
        command.arg("--ready-file").arg(dir.path().join("ready.json"));
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, dir, data: nowhere, admin: nowhere }
    }

    /// Waits until it is ready, and takes note of its addresses.
    pub(crate) fn wait_ready(&mut self) {
        for _ in 0..LOOKS {
            if let Ok(text) = fs::read_to_string(self.dir.path().join("ready.json")) {
                let ready: Value = serde_json::from_str(&text).unwrap();
                let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
                (self.data, self.admin) = (address("listen"), address("admin_listen"));
                assert_eq!(ready["pid"], self.child.id());
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the program ended before it was ready ({status}):\n{}", self.log());
            }
            std::thread::sleep(LOOK);
        }
        panic!("the program was not ready in time:\n{}", self.log());
    }

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it keeps its files.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A client of the data plane over HTTP/1.1.
    pub(crate) fn http1(&self) -> Client {
        Client::new(self.data, false)
    }

    /// A client of the data plane over HTTP/2 without TLS.
    pub(crate) fn http2(&self) -> Client {
        Client::new(self.data, true)
    }

    /// A client of the admin plane.
    pub(crate) fn admin(&self) -> Client {
        Client::new(self.admin, false)
    }

    /// What `/metrics` says now.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics(self.admin().get("/metrics").await.text())
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let kill = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.pid())).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for the end of the program.
    pub(crate) async fn ended(mut self) -> Ended {
        let mut code = None;
        until("the program's end", async || {
            let status = self.child.try_wait().unwrap();
            code = status.map(|status| status.code());
            status.is_some()
        })
        .await;
        Ended { code: code.unwrap(), log: self.log() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; the child has not been waited for by anyone else.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Looks until `condition` holds; fails after a minute.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..LOOKS {
        if condition().await {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("waited a minute for {what}");
}

/// Runs futures at the same time; their outputs in order.
pub(crate) async fn together<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<JoinHandle<F::Output>> = futures.into_iter().map(tokio::spawn).collect();
    let mut outputs = Vec::with_capacity(tasks.len());
    for task in tasks {
        outputs.push(task.await.unwrap());
    }
    outputs
}
