//! `inferneo policy show`: the policy that applies to a request, every key of it.
//!
//! Decides how a policy is written down so that it reads back as itself.

use super::{Said, told};
use crate::policy::{self, Origin, PolicySet, Provenance, Setting, Strategy};
use crate::reload::{self, ReadError};
use std::ffi::OsString;
use std::path::Path;

/// Widest line that comments are aligned at, in characters.
const WIDEST: usize = 40;

/// Flags of `policy show`.
#[derive(Debug, Default, clap::Args)]
pub(in crate::cli) struct Args {
    /// Policy folder; without it, the built-in policy
    #[arg(long, value_name = "DIR", env = "INFERNEO_POLICIES")]
    policies: Option<OsString>,
    /// The model that a request asks for
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The tenant that sends it
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

impl Args {
    /// An empty name, as a variable may hold, is none.
    fn folder(&self) -> Option<&Path> {
        self.policies.as_deref().filter(|name| !name.is_empty()).map(Path::new)
    }
}

/// Shows the policy. Exit code: 0 shown, 1 faults in the folder, 2 a folder that cannot be read.
pub(super) fn run(args: &Args) -> Said {
    let sources = match args.folder().map(reload::read_folder).transpose() {
        Ok(sources) => sources.unwrap_or_default(),
        Err(ReadError::NotText(faults)) => return Said { report: told(&faults), code: 1, ..Said::default() },
        Err(error) => return Said { report: format!("{error}\n"), code: 2, ..Said::default() },
    };
    match policy::compile(&sources, &[], 1) {
        Ok(set) => Said { result: shown(&set, args), ..Said::default() },
        Err(faults) => Said { report: told(&faults), code: 1, ..Said::default() },
    }
}

fn shown(set: &PolicySet, args: &Args) -> String {
    let (model, tenant) = (args.model.as_deref().unwrap_or_default(), args.tenant.as_deref().unwrap_or_default());
    let index = set.lookup(model, tenant);
    let (policy, origin) = (&set.policies()[index], &set.origins()[index]);
    let request = |what: &str, name: &str| match name {
        "" => format!("no {what} named"),
        name => format!("{what} {}", quote(name)),
    };
    let mut text = format!("# Policy `{}`: {}, {}.\n", policy.name, request("model", model), request("tenant", tenant));
    text.push_str(&format!("# {}\n", why(origin, args, model, tenant)));
    if let (None, None, Some(others)) = (&args.model, &args.tenant, others(set, index)) {
        text.push_str(&format!("# Other policies, for the --model and --tenant they match: {others}.\n"));
    }
    text.push('\n');
    text + toml(&set.settings(index), origin, policy.strategy).as_str()
}

/// A name as a comment can hold it.
fn quote(name: &str) -> String {
    format!("`{}`", name.replace(char::is_control, "\u{fffd}"))
}

/// Which file it is, and what made that file the closest.
fn why(origin: &Origin, args: &Args, model: &str, tenant: &str) -> String {
    let Some(file) = &origin.file else {
        return match args.folder() {
            Some(folder) => format!("Built in: no file of {} matches.", quote(&folder.display().to_string())),
            None => "Built in: no policy folder is named.".to_owned(),
        };
    };
    let by = |pattern: &Option<String>| pattern.as_deref().map_or_else(|| "any".to_owned(), quote);
    let [models, tenants] = origin.matched(model, tenant);
    format!("From {}, the closest match: models {}, tenants {}.", quote(file), by(&models), by(&tenants))
}

/// The other policies, if there are any.
fn others(set: &PolicySet, shown: usize) -> Option<String> {
    let files = set.policies().iter().zip(set.origins()).enumerate();
    let others = files.filter(|(index, (_, origin))| *index != shown && origin.file.is_some());
    let names: Vec<&str> = others.map(|(_, (policy, _))| &*policy.name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The keys as a file, each with its source as a comment.
fn toml(settings: &[Setting], origin: &Origin, strategy: Strategy) -> String {
    let file = origin.file.as_deref().and_then(|path| Path::new(path).file_name()).unwrap_or_default();
    let written = |setting: &Setting| Some(format!("{} = {}", setting.key.name, setting.value.as_ref()?));
    let lines: Vec<_> = settings.iter().filter_map(|setting| Some((setting, written(setting)?))).collect();
    let width = |line: &str| line.chars().count();
    let column = lines.iter().map(|(_, line)| width(line)).filter(|width| *width <= WIDEST).max().unwrap_or(0);
    let (mut text, mut table) = (String::new(), "");
    for (Setting { key, from, .. }, line) in lines {
        if key.table != table {
            table = key.table;
            text.push_str(&format!("\n[{table}]\n"));
        }
        let source = match from {
            Provenance::Line(number) => format!("{}:{number}", file.to_string_lossy()),
            Provenance::Override => "an override".to_owned(),
            Provenance::Default if key.by_strategy => format!("default of {}", strategy.name()),
            Provenance::Default => "built-in".to_owned(),
        };
        let gap = " ".repeat(column.saturating_sub(width(&line)) + 2);
        text.push_str(&format!("{line}{gap}# {source}\n"));
    }
    text
}

#[cfg(test)]
mod tests;
