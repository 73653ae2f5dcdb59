//! Names and globs of `[match]`: `*` is any run of characters, `?` any one.

/// A name, or a glob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Only this name.
    Exact(Box<str>),
    /// Every name that matches.
    Glob(Box<[char]>),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        if text.contains(['*', '?']) { Self::Glob(text.chars().collect()) } else { Self::Exact(text.into()) }
    }

    pub(super) fn is_glob(&self) -> bool {
        matches!(self, Self::Glob(_))
    }

    /// Whether the whole of `name` matches.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Glob(glob) => matches(glob, name),
        }
    }

    /// Whether two patterns of one kind could both match some name. A name and a glob never compete:
    /// the name is more specific.
    pub(super) fn competes(&self, other: &Pattern) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Glob(a), Self::Glob(b)) => overlap(a, b),
            _ => false,
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Glob(glob) => glob.iter().try_for_each(|letter| std::fmt::Write::write_char(f, *letter)),
        }
    }
}

/// Whether the whole of `name` matches. Only the last `*` is ever reconsidered, so the work is at
/// most the product of the lengths.
pub(super) fn matches(glob: &[char], name: &str) -> bool {
    let mut rest = name.chars();
    let mut at = 0;
    let mut last_star = None;
    loop {
        match (glob.get(at), rest.clone().next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                at += 1;
                last_star = Some((at, rest.clone()));
            }
            (Some(want), Some(letter)) if *want == '?' || *want == letter => {
                at += 1;
                rest.next();
            }
            _ => {
                let Some((after, from)) = &mut last_star else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                at = *after;
                rest = from.clone();
            }
        }
    }
}

/// Whether some name matches both globs. Exact: `meets[j]` says whether the rest of `a` and `b[j..]`
/// share a name, filled from the ends.
fn overlap(a: &[char], b: &[char]) -> bool {
    // Nearly all pairs differ in a letter at an end, which costs nothing to see.
    if !agree(a.iter(), b.iter()) || !agree(a.iter().rev(), b.iter().rev()) {
        return false;
    }
    // Nothing is left of `a`: what is left of `b` must match the empty name.
    let mut meets: Vec<bool> = (0..=b.len()).map(|j| b.iter().skip(j).all(|letter| *letter == '*')).collect();
    for left in a.iter().rev() {
        let mut next = vec![false; b.len() + 1];
        next[b.len()] = *left == '*' && meets[b.len()];
        for (j, right) in b.iter().enumerate().rev() {
            next[j] = match (left, right) {
                // The star matches nothing more, or it also takes what stands across from it.
                ('*', _) | (_, '*') => meets[j] || next[j + 1],
                (left, right) => (left == right || *left == '?' || *right == '?') && meets[j + 1],
            };
        }
        meets = next;
    }
    meets[0]
}

/// Whether the letters from one end to the first star of either could stand for the same.
fn agree<'g>(a: impl Iterator<Item = &'g char>, b: impl Iterator<Item = &'g char>) -> bool {
    let mut across = a.zip(b).take_while(|(a, b)| **a != '*' && **b != '*');
    across.all(|(a, b)| a == b || *a == '?' || *b == '?')
}
