//! Every command of the README runs: against a server of these tests, whose address replaces the README's.

use crate::client::{Answer, Client};
use crate::harness::{Server, Settings, folder, model, program};
use crate::shared::shared;
use http::HeaderName;
use std::fs;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "target/release/inferneo";
const ADDRESS: &str = "127.0.0.1:8080";
const ADMIN: &str = "127.0.0.1:9090";

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The lines of the README's console blocks, split into words as a shell does.
fn commands() -> Vec<Vec<String>> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in read("README.md").lines() {
        match line.trim() {
            "```console" => inside = true,
            "```" => inside = false,
            line if inside && !line.is_empty() => found.push(words(line)),
            _ => {}
        }
    }
    found
}

/// Splits at spaces outside single quotes; no other quoting is understood, so none may be used.
pub(crate) fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    let mut words = vec![String::new()];
    for (index, part) in parts {
        if index % 2 == 1 {
            words.last_mut().unwrap().push_str(part);
            continue;
        }
        assert!(!part.contains(['"', '\\', '$', '|', '>']), "quoting that this test does not understand: {line}");
        let mut pieces = part.split(' ');
        words.last_mut().unwrap().push_str(pieces.next().unwrap());
        words.extend(pieces.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn words_are_split_as_a_shell_does() {
    assert_eq!(words("curl -d '{\"a\": 1}' x  y"), ["curl", "-d", "{\"a\": 1}", "x", "y"]);
}

#[test]
fn every_make_line_is_a_target_with_a_help_text() {
    let makefile = read("Makefile");
    let mut count = 0;
    for words in commands().iter().filter(|words| words[0] == "make") {
        let target = format!("{}:", words[1]);
        let described = |line: &str| line.starts_with(&target) && line.contains(" ## ");
        assert!(makefile.lines().any(described), "there is no target for {words:?}");
        count += 1;
    }
    assert!(count >= 3, "the README names {count} targets");
}

/// A `curl` of the README.
#[derive(Debug, Default)]
struct Curl {
    url: String,
    method: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
}

impl Curl {
    fn of(words: Vec<String>) -> Self {
        let mut curl = Self::default();
        let mut words = words.into_iter().skip(1);
        while let Some(word) = words.next() {
            match &*word {
                "-s" | "-i" => {}
                "-d" => curl.body = words.next().unwrap(),
                "-X" => curl.method = words.next(),
                "-H" => {
                    let header = words.next().unwrap();
                    let (name, value) = header.split_once(": ").unwrap();
                    curl.headers.push((name.to_owned(), value.to_owned()));
                }
                url => curl.url = url.to_owned(),
            }
        }
        curl
    }

    /// What is asked of the server at `address`, if this is for it.
    fn path(&self, address: &str) -> Option<String> {
        Some(self.url.strip_prefix("http://")?.strip_prefix(address)?.to_owned())
    }

    async fn send(self, mut client: Client, path: &str) -> Answer {
        for (name, value) in self.headers {
            client = client.with(HeaderName::try_from(name).unwrap().as_str().to_owned().leak(), &value);
        }
        let given = if self.body.is_empty() { "GET" } else { "POST" };
        client.send(self.method.as_deref().unwrap_or(given), path, self.body).await
    }
}

#[tokio::test]
async fn every_curl_line_is_answered() {
    let (mut inferences, mut steered) = (0, Vec::new());
    // Steering is no affair of the tests that share a server.
    let own = Settings::new(model("minilm", "test/tiny_text", "")).start();
    for curl in commands().into_iter().filter(|words| words[0] == "curl").map(Curl::of) {
        if let Some(path) = curl.path(ADDRESS) {
            assert!(curl.send(shared().http1(), &path).await.ok().batch().rows >= 1);
            inferences += 1;
        } else {
            let path = curl.path(ADMIN).unwrap();
            let answer = curl.send(own.admin(), &path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            steered.push(path);
        }
    }
    assert!(inferences >= 2, "the README shows {inferences} inferences");
    for path in ["/policies", "/stats", "/decisions", "/metrics", "/strategy"] {
        assert!(steered.iter().any(|line| line.starts_with(path)), "the README shows {steered:?}");
    }
}

#[test]
fn every_line_of_the_program_runs() {
    let (commands, mut seen) = (commands(), Vec::new());
    // The one that the README starts, on free ports; it is what the later lines measure.
    let mut server = None;
    for words in commands.iter().filter(|words| words[0] == PROGRAM) {
        let address = server.as_ref().map_or(ADDRESS.to_owned(), |server: &Server| server.data.to_string());
        let mut command = program();
        command.args(words[1..].iter().map(|word| word.replace(ADDRESS, &address)));
        match &*words[1] {
            "serve" => {
                command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
                server.insert(Server::spawn(command, folder())).wait_ready();
            }
            "bench" => ends_well(command.args(["--duration", "2s", "--warmup", "100ms"])),
            "tune" => ends_well(command.args(["--budget", "2s", "--state", "none"])),
            _ => ends_well(&mut command),
        }
        seen.push(words[1].as_str());
    }
    assert!(
        ["serve", "doctor", "policy", "inject", "bench", "tune"].iter().all(|word| seen.contains(word)),
        "{seen:?}"
    );
}

fn ends_well(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
