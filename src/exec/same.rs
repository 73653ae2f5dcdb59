//! Equal items of one tenant in a batch, which are computed once.
//!
//! Decides which items are equal: to the last byte, and wanted for the same outputs. Tenants never share, because the time
//! that an answer takes would tell one what another had asked.

use super::{Failure, Job, JobItem};
use crate::request::{Answer, Payload, Want};
use std::collections::HashMap;

/// A batch without its repetitions.
#[derive(Debug)]
pub(super) struct Merged {
    /// What is left to run.
    pub(super) job: Job,
    /// For each item of the whole batch, which of those left it is equal to.
    places: Vec<usize>,
    /// Rows that need not run.
    pub(super) rows: u32,
}

/// What must be equal.
#[derive(PartialEq, Eq, Hash)]
struct Key<'a> {
    tenant: &'a str,
    want: &'a Want,
    payload: &'a Payload,
}

/// Leaves out every item that is equal to an earlier one; `None` where there is none, or the batch does not ask for it.
///
/// # Errors
/// [`Failure::Failed`] if a request has not the item that the batch names.
pub(super) fn merge(job: &Job) -> Result<Option<Merged>, Failure> {
    if !job.reuse || job.items.len() < 2 {
        return Ok(None);
    }
    let mut known: HashMap<Key<'_>, usize> = HashMap::with_capacity(job.items.len());
    let mut items: Vec<JobItem> = Vec::with_capacity(job.items.len());
    let (mut places, mut rows) = (Vec::with_capacity(job.items.len()), 0);
    for item in &job.items {
        let key = Key { tenant: &item.request.tenant, want: &item.request.want, payload: item.payload()? };
        let place = *known.entry(key).or_insert(items.len());
        if place == items.len() {
            items.push(item.clone());
        } else {
            rows += item.extent()?.rows;
        }
        places.push(place);
    }
    let job = Job { batch: job.batch, padded_len: job.padded_len, reuse: true, items };
    Ok((rows > 0).then(|| Merged { job, places, rows: u32::try_from(rows).unwrap_or(u32::MAX) }))
}

impl Merged {
    /// The answers of the whole batch, from those of what ran.
    pub(super) fn spread(&self, answers: Vec<Answer>) -> Vec<Answer> {
        self.places.iter().filter_map(|place| answers.get(*place).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::fixtures::{int64, job_of, model, tensors, text_spec, tokens};

    const EMBED: Want = Want::Embedding;

    #[test]
    fn equal_items_of_one_tenant_are_left_out_and_answered_all() {
        let m = model(text_spec());
        let sent = [("a", [1, 2]), ("a", [3, 4]), ("b", [1, 2]), ("a", [1, 2]), ("b", [1, 2])];
        let items = sent.map(|(tenant, ids)| (tenant, tokens(&ids), EMBED)).into();
        let merged = merge(&Job { reuse: true, ..job_of(&m, 2, items) }).unwrap().unwrap();
        assert_eq!((&merged.places[..], merged.rows, merged.job.items.len()), (&[0, 1, 2, 0, 2][..], 2, 3));
        let answers = [0.0, 1.0, 2.0].map(|n| Answer::Embedding(vec![n]));
        let spread = merged.spread(answers.to_vec());
        assert_eq!(spread, [0.0, 1.0, 2.0, 0.0, 2.0].map(|n| Answer::Embedding(vec![n])));
    }

    #[test]
    fn what_differs_in_anything_is_kept() {
        let m = model(text_spec());
        let tensor = |rows: u32, values: &[i64]| tensors(rows, 1, vec![int64(&[rows as usize, 1], values)]);
        let items = vec![
            ("", tokens(&[1, 2]), EMBED),
            ("", tokens(&[1, 2, 0]), EMBED),
            ("", tokens(&[1, 2]), Want::Outputs(vec![0])),
            ("", tensor(1, &[1]), EMBED),
            ("", tensor(1, &[2]), EMBED),
            ("", tensor(2, &[1, 1]), EMBED),
        ];
        assert!(merge(&Job { reuse: true, ..job_of(&m, 3, items) }).unwrap().is_none());
        let twice = || vec![("", tensor(2, &[1, 1]), EMBED), ("", tensor(2, &[1, 1]), EMBED)];
        assert_eq!(merge(&Job { reuse: true, ..job_of(&m, 3, twice()) }).unwrap().unwrap().rows, 2);
        assert!(merge(&job_of(&m, 3, twice())).unwrap().is_none(), "nobody asked for it");
    }
}
