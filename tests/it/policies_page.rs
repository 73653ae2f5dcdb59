//! docs/policies.md, followed line by line: its files are written where they say, its commands run
//! and must say what the page says they do, and a server follows along.

use crate::harness::{Server, cached, folder, program, until};
use crate::readme::words;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const ADMIN: &str = "http://127.0.0.1:9090";

/// The fenced blocks of the page: language and text.
fn blocks() -> Vec<(String, String)> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policies.md")).unwrap();
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// Where the reader of the page works.
struct Desk {
    dir: TempDir,
    server: Option<Server>,
}

impl Desk {
    /// Saves a file that begins with a comment of its path.
    fn save(&mut self, text: &str) {
        let comment = |line: &'_ str| line.strip_prefix("# ").or(line.strip_prefix("// ")).map(str::to_owned);
        let path = text.lines().next().and_then(comment).expect("a block without a path");
        let file = self.dir.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        if self.server.is_none() {
            self.serve();
        }
    }

    /// Starts the server that the page speaks to.
    fn serve(&mut self) {
        let mut command = program();
        let model = format!("minilm={}", cached("models/test/tiny_text").display());
        command.args(["serve", "--model", &model, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.arg("--policies").arg(self.dir.path().join("policies"));
        self.server.insert(Server::spawn(command, folder())).wait_ready();
    }

    /// Runs a command; answers what it prints.
    async fn run(&self, line: &str) -> String {
        let (line, file) = line.split_once(" > ").map_or((line, None), |(line, file)| (line, Some(file)));
        let words = words(line);
        let mut command = match &*words[0] {
            "inferneo" => program(),
            "curl" => {
                self.curl(&words[1..]).await;
                return String::new();
            }
            name @ ("cp" | "mv") => Command::new(name),
            other => panic!("{other} is no command of the page"),
        };
        let Output { stdout, stderr, .. } = command.args(&words[1..]).current_dir(&self.dir).output().unwrap();
        if let Some(file) = file {
            fs::write(self.dir.path().join(file), &stdout).unwrap();
            return String::from_utf8(stderr).unwrap();
        }
        String::from_utf8([stdout, stderr].concat()).unwrap()
    }

    async fn curl(&self, words: &[String]) {
        let (["-X", method, url], rest) =
            words.split_first_chunk::<3>().map(|(a, b)| (a.each_ref().map(|w| &**w), b)).unwrap()
        else {
            panic!("a form of curl that this test does not understand: {words:?}");
        };
        let body = rest.iter().skip_while(|word| *word != "-d").nth(1).cloned().unwrap_or_default();
        let admin = self.server.as_ref().unwrap().admin();
        admin.send(method, url.strip_prefix(ADMIN).unwrap(), body).await.ok();
    }
}

/// The commands of a console block, each with what it is said to print.
fn commands(block: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => found.push((command, String::new())),
            None => found.last_mut().unwrap().1.push_str(&format!("{line}\n")),
        }
    }
    found
}

#[tokio::test]
async fn the_page_on_policies_can_be_followed_line_by_line() {
    let mut desk = Desk { dir: folder(), server: None };
    let mut ran = 0;
    for (language, block) in blocks() {
        if ["toml", "rhai"].contains(&&*language) {
            desk.save(&block);
            continue;
        }
        assert_eq!(language, "console");
        for (command, promised) in commands(&block) {
            assert_eq!(desk.run(command).await, promised, "{command}");
            ran += 1;
        }
    }
    assert!(ran > 15, "the page has {ran} commands");
    let admin = desk.server.as_ref().unwrap().admin();
    until("the page's last files", async || {
        let said = admin.get("/policies").await.json();
        let names: Vec<&str> =
            said["files"].as_array().unwrap().iter().map(|file| file["policy"].as_str().unwrap()).collect();
        said["last_error"].is_null() && names == ["bulk", "everyone", "fill", "interactive", "trial"]
    })
    .await;
}
