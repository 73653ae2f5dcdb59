//! `/policies` and `/strategy`: which policies are live, and another strategy until further notice.
//!
//! Decides what may be asked for and how the answer looks. What it leads to is `reload`'s affair.

use super::{Admin, date, json, refuse};
use crate::document::{nearest, quote};
use crate::error::{Error, Reason};
use crate::policy::Strategy;
use crate::reload::{FileStatus, OverrideStatus, Status};
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

/// The model of an override that stands for every one.
pub(super) const EVERY_MODEL: &str = "*";

/// What `/policies` says.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    generation: u64,
    files: Vec<ShownFile<'a>>,
    overrides: Vec<ShownOverride<'a>>,
    last_error: Option<&'a str>,
    last_error_at: Option<String>,
}

#[derive(Serialize)]
struct ShownFile<'a> {
    name: &'a str,
    policy: &'a str,
    strategy: &'static str,
    hash: &'a str,
    loaded_at: String,
}

#[derive(Serialize)]
struct ShownOverride<'a> {
    model: &'a str,
    strategy: &'static str,
    since: String,
    policies: Vec<&'a str>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(status: &'a Status) -> Self {
        let error = status.last_error.as_ref();
        Self {
            generation: status.generation,
            files: status.files.iter().map(ShownFile::of).collect(),
            overrides: status.overrides.iter().map(ShownOverride::of).collect(),
            last_error: error.map(|error| error.text.as_str()),
            last_error_at: error.map(|error| date(error.at)),
        }
    }
}

impl<'a> ShownFile<'a> {
    fn of(file: &'a FileStatus) -> Self {
        let FileStatus { name, policy, strategy, hash, loaded_at } = file;
        Self { name, policy, strategy: strategy.name(), hash, loaded_at: date(*loaded_at) }
    }
}

impl<'a> ShownOverride<'a> {
    fn of(standing: &'a OverrideStatus) -> Self {
        Self {
            model: standing.model.as_deref().unwrap_or(EVERY_MODEL),
            strategy: standing.strategy.name(),
            since: date(standing.since),
            policies: standing.policies.iter().map(|name| &**name).collect(),
        }
    }
}

/// `GET /policies`.
pub(super) async fn show(State(admin): State<Admin>) -> Response {
    json(&Shown::of(&admin.live.status()))
}

/// `PUT /strategy`.
pub(super) async fn set(State(admin): State<Admin>, body: Bytes) -> Response {
    let wanted =
        Wanted::read(&body).and_then(|wanted| known(&admin, &wanted.model).map(|model| (model, wanted.strategy)));
    match wanted {
        Ok((model, strategy)) => change(admin, move |admin| admin.live.set_override(model.as_deref(), strategy)).await,
        Err(error) => refuse(&error),
    }
}

/// `DELETE /strategy`.
pub(super) async fn clear(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let model = model_of(query.as_deref().unwrap_or_default()).and_then(|model| known(&admin, &model));
    match model {
        Ok(model) => change(admin, move |admin| admin.live.clear_overrides(model.as_deref())).await,
        Err(error) => refuse(&error),
    }
}

/// Makes a change off the runtime and shows what is live then.
async fn change<E: ToString + Send + 'static>(
    admin: Admin,
    change: impl FnOnce(&Admin) -> Result<(), Vec<E>> + Send + 'static,
) -> Response {
    let made = spawn_blocking(move || change(&admin).map(|()| admin.live.status())).await;
    match made {
        Ok(Ok(status)) => json(&Shown::of(&status)),
        Ok(Err(faults)) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            refuse(&Error::invalid(faults.join("\n")))
        }
        Err(error) => refuse(&Error::new(Reason::ExecutionFailed, error)),
    }
}

/// What the body of `PUT /strategy` asks for.
struct Wanted {
    model: String,
    strategy: Strategy,
}

impl Wanted {
    const FIELDS: [&str; 2] = ["model", "strategy"];

    fn read(body: &[u8]) -> Result<Self, Error> {
        let form = r#"expected {"model": NAME or "*", "strategy": STRATEGY}"#;
        let body: Value = serde_json::from_slice(body).map_err(|e| Error::invalid(format!("{e}: {form}")))?;
        let Value::Object(fields) = body else { return Err(Error::invalid(form)) };
        if let Some(name) = fields.keys().find(|name| !Self::FIELDS.contains(&name.as_str())) {
            let hint = hint(name, Self::FIELDS);
            return Err(Error::invalid(format!("unknown field {}: {form}{hint}", quote(name))));
        }
        let field = |name: &str| match fields.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(Error::invalid(format!("`{name}` is not a string: {form}"))),
            None => Err(Error::invalid(format!("`{name}` is missing: {form}"))),
        };
        let (model, strategy) = (field("model")?, field("strategy")?);
        let strategy = Strategy::from_name(&strategy).ok_or_else(|| {
            let names = Strategy::ALL.map(Strategy::name);
            let hint = hint(&strategy, names);
            Error::invalid(format!("`strategy` is {}: expected one of {}{hint}", quote(&strategy), names.join(", ")))
        })?;
        Ok(Self { model, strategy })
    }
}

fn hint<'n>(written: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    nearest(written, names.into_iter()).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The model of `?model=M`; without one, every model.
fn model_of(query: &str) -> Result<String, Error> {
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    match (pairs.next(), pairs.next()) {
        (None, _) => Ok(EVERY_MODEL.to_owned()),
        (Some(pair), None) => match pair.split_once('=') {
            Some((name, model)) if decoded(name)? == "model" => decoded(model),
            _ => Err(Error::invalid(format!("unknown parameter {}: there is `model`", quote(pair)))),
        },
        (Some(_), Some(more)) => Err(Error::invalid(format!("one `model` is enough: {}", quote(more)))),
    }
}

fn decoded(text: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| Error::invalid(format!("{} is not UTF-8", quote(text))))
}

/// The model of this name, or `None` for every one.
pub(super) fn known(admin: &Admin, model: &str) -> Result<Option<Box<str>>, Error> {
    if model == EVERY_MODEL {
        return Ok(None);
    }
    if admin.registry.get(model).is_some() {
        return Ok(Some(model.into()));
    }
    let list = admin.registry.list();
    let hint = hint(model, list.iter().map(|model| &*model.name));
    Err(Error::new(Reason::UnknownModel, format!("model {} is not known{hint}", quote(model))))
}

#[cfg(test)]
mod tests;
