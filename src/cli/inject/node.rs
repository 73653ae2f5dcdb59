//! A YAML document as a tree that says as little as possible: what was plain stays as it was written.
//!
//! YAML 1.1 and 1.2 read plain scalars such as `yes` and `0644` differently. Nothing here decides what one
//! means, so that the reader of the output reads what the reader of the input would have.

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// A scalar without quotes, as it is written: a number, a boolean, null, or text.
    Plain(String),
    /// A scalar that is text whatever it looks like.
    Text(String),
    List(Vec<Node>),
    /// Entries in their order, each key once.
    Map(Vec<(Node, Node)>),
}

/// Text.
pub(super) fn text(value: impl Into<String>) -> Node {
    Node::Text(value.into())
}

/// A number or a boolean.
pub(super) fn plain(value: impl ToString) -> Node {
    Node::Plain(value.to_string())
}

/// A map with these entries.
pub(super) fn map<const N: usize>(entries: [(&str, Node); N]) -> Node {
    Node::Map(entries.into_iter().map(|(key, value)| (text(key), value)).collect())
}

impl Node {
    /// The scalar's characters.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Plain(value) | Self::Text(value) => Some(value),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The characters of the scalar under `key`; empty where there is none.
    pub(super) fn str_at(&self, key: &str) -> &str {
        self.get(key).and_then(Self::as_str).unwrap_or_default()
    }

    /// The value under `key`.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The elements of the list under `key`.
    pub(super) fn items(&self, key: &str) -> impl Iterator<Item = &Node> {
        let items = match self.get(key) {
            Some(Self::List(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter()
    }

    /// The value under `key`, which is put there as null where there is none.
    ///
    /// # Errors
    /// Where this is not a map.
    pub(super) fn entry(&mut self, key: &str) -> Result<&mut Node, String> {
        if self.is_null() {
            *self = Self::Map(Vec::new());
        }
        let Self::Map(entries) = self else { return Err(format!("what holds `{key}` is not a map")) };
        let index = entries.iter().position(|(name, _)| name.as_str() == Some(key)).unwrap_or_else(|| {
            entries.push((text(key), Self::Plain("null".to_owned())));
            entries.len() - 1
        });
        Ok(&mut entries[index].1)
    }

    /// The list under `key`, which is made where there is none.
    ///
    /// # Errors
    /// Where this is not a map, or what is under `key` is not a list.
    pub(super) fn list(&mut self, key: &str) -> Result<&mut Vec<Node>, String> {
        let value = self.entry(key)?;
        if value.is_null() {
            *value = Self::List(Vec::new());
        }
        match value {
            Self::List(items) => Ok(items),
            _ => Err(format!("`{key}` is not a list")),
        }
    }

    /// Whether it is true in any version of YAML.
    pub(super) fn is_true(&self) -> bool {
        let words = ["true", "yes", "on", "y"];
        matches!(self, Self::Plain(word) if words.iter().any(|each| word.eq_ignore_ascii_case(each)))
    }

    /// Whether it stands for nothing.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Plain(word) if matches!(word.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}
