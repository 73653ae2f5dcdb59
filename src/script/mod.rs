//! An operator's own strategy: a script that scores what could run next, or would rather wait.
//!
//! Decides what a script may say and use, what it costs at most, and which answer wins. Scripts are Rhai,
//! an embedded language; nothing of the host is within their reach: no file, no clock, no module, no
//! output, no state between two runs. Does not know where a scene comes from (`sched`) nor the file
//! system (`policy` is given the text).

mod engine;
mod fault;
mod rehearsal;
mod scene;

#[cfg(test)]
mod tests;

pub use engine::OPERATIONS;
pub use fault::Fault;
pub use scene::{FAR, Load, Scene, Segment, Verdict};

use crate::types::{Fnv, fenced};
use engine::{Answer, ENGINE};
use rhai::{AST, Scope};
use std::fmt;

/// Longest text of a script, in bytes.
pub const MAX_BYTES: usize = 64 << 10;
/// Most segments of one decision that a script is asked about.
pub const MAX_SEGMENTS: usize = 32;

/// A script that compiled and answered every made-up scene. Equal where name and text are.
pub struct Script {
    name: Box<str>,
    text: Box<str>,
    code: AST,
}

impl Script {
    /// Compiles a script and runs it on made-up scenes. `name` is the file's, without its folder.
    ///
    /// # Errors
    /// The first fault: of the syntax, or of a dry run.
    pub fn compile(name: &str, text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_BYTES {
            let message = format!("the script holds {} bytes", text.len());
            return Err(Fault { line: 1, column: 1, message, help: Some(format!("at most {MAX_BYTES} bytes")) });
        }
        // A mark that some editors put before the text, and nobody sees.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let compiled = fenced(|| ENGINE.compile_with_scope(&engine::names(), text));
        let code = compiled.map_err(|panic| Fault::of_panic(&panic, text))?.map_err(Fault::of_syntax)?;
        let script = Self { name: name.into(), text: text.into(), code };
        rehearsal::scenes().iter().try_for_each(|scene| script.decide(scene).map(drop).map_err(Fault::of_rehearsal))?;
        Ok(script)
    }

    /// The file's name, without its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks the script about each of the first [`MAX_SEGMENTS`] segments; the highest score wins, of equal
    /// ones the first. Where it scores none, all wait: for the shortest time that it named.
    ///
    /// # Errors
    /// What went wrong in the script, over-use of its [`OPERATIONS`] included, or in what runs it.
    pub fn decide(&self, scene: &Scene) -> Result<Verdict, Fault> {
        fenced(|| self.judge(scene)).unwrap_or_else(|panic| Err(Fault::of_panic(&panic, &self.text)))
    }

    fn judge(&self, scene: &Scene) -> Result<Verdict, Fault> {
        let mut scope = Scope::new();
        let (mut best, mut wait) = (None, None);
        for (index, segment) in scene.segments.iter().take(MAX_SEGMENTS).enumerate() {
            match self.ask(&mut scope, *segment, scene.load)? {
                Answer::Score(score) if best.is_none_or(|(most, _)| score > most) => best = Some((score, index)),
                Answer::Score(_) | Answer::Decline => {}
                Answer::Wait(time) => wait = Some(wait.map_or(time, |least| time.min(least))),
            }
        }
        Ok(best.map_or(Verdict::Wait(wait), |(_, index)| Verdict::Run(index)))
    }

    /// One run, about one segment.
    fn ask(&self, scope: &mut Scope<'_>, segment: Segment, load: Load) -> Result<Answer, Fault> {
        scope.rewind(0);
        scope.push(engine::SEGMENT, segment).push(engine::LOAD, load);
        let value = ENGINE.eval_ast_with_scope(scope, &self.code).map_err(|error| Fault::of_run(*error, &self.text))?;
        Answer::read(&value).map_err(|message| Fault::at_end(message, &self.text))
    }
}

impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text) == (&other.name, &other.text)
    }
}

impl Eq for Script {}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hash = Fnv::default();
        hash.bytes(self.text.as_bytes());
        write!(f, "Script({:?}, {:016x})", self.name, hash.value())
    }
}
