//! Assembling, on hand-made specs without a runtime.

use super::*;
use crate::exec::fixtures::{identity_spec, int64, job, message, model, tensor_spec, tensors, text_spec, tokens};
use crate::request::{Want, join_elements};
use std::sync::Arc;

fn values(input: &Input) -> &[i64] {
    bytemuck::cast_slice(input.data())
}

#[test]
fn texts_and_tensors_share_a_batch() {
    let m = model(text_spec());
    let own = vec![int64(&[2, 2], &[1, 2, 3, 4]), int64(&[2, 2], &[1, 1, 1, 0]), int64(&[2, 2], &[5, 5, 5, 5])];
    let typed = Payload::Tokens(Tokens { ids: vec![9], type_ids: vec![1] });
    let items = vec![
        (tokens(&[6, 7, 8]), Want::Embedding),
        (tensors(2, 2, own), Want::Outputs(vec![0])),
        (typed, Want::Embedding),
    ];
    let mut assembler = Assembler::default();
    let inputs = assembler.assemble(&m.spec, &job(&m, 3, items)).unwrap();
    assert_eq!(inputs[0].shape(), [4, 3]);
    assert_eq!(values(&inputs[0]), [6, 7, 8, 1, 2, 0, 3, 4, 0, 9, 0, 0]);
    assert_eq!(values(&inputs[1]), [1, 1, 1, 1, 1, 0, 1, 0, 0, 1, 0, 0]);
    assert_eq!(values(&inputs[2]), [0, 0, 0, 5, 5, 0, 5, 5, 0, 1, 0, 0]);
}

#[test]
fn a_buffer_that_is_used_again_keeps_nothing() {
    let m = model(text_spec());
    let mut assembler = Assembler::default();
    let batch = |ids: &[u32], len| job(&m, len, vec![(tokens(ids), Want::Embedding)]);
    assembler.assemble(&m.spec, &batch(&[3; 8], 8)).unwrap();
    let inputs = assembler.assemble(&m.spec, &batch(&[4], 3)).unwrap();
    assert_eq!(values(&inputs[0]), [4, 0, 0]);
}

#[test]
fn the_pad_value_and_narrow_ids_are_the_models_own() {
    let mut spec = text_spec();
    spec.inputs.truncate(1);
    spec.inputs[0].datatype = Datatype::Int32;
    spec.inputs[0].pad = 42.0;
    let m = model(spec);
    let mut assembler = Assembler::default();
    let inputs = assembler.assemble(&m.spec, &job(&m, 3, vec![(tokens(&[7]), Want::Embedding)])).unwrap();
    assert_eq!(bytemuck::cast_slice::<u8, i32>(inputs[0].data()), [7, 42, 42]);
}

#[test]
fn strings_are_padded_with_empty_ones() {
    let m = model(identity_spec(Datatype::Bytes, &[Dim::Length]));
    let strings = |words: &[&str]| Tensor {
        datatype: Datatype::Bytes,
        shape: vec![1, words.len()],
        data: join_elements(words).unwrap(),
    };
    let item = |words: &[&str]| (tensors(1, words.len() as u32, vec![strings(words)]), Want::Outputs(vec![0]));
    let mut assembler = Assembler::default();
    let inputs = assembler.assemble(&m.spec, &job(&m, 2, vec![item(&["a", "b"]), item(&["c"])])).unwrap();
    assert_eq!(inputs[0].strings(), ["a", "b", "c", ""]);
}

#[test]
fn a_model_without_a_batch_dimension_takes_one_item_as_it_is() {
    let mut spec = identity_spec(Datatype::Int64, &[]);
    spec.batchable = false;
    spec.inputs = vec![tensor_spec("x", Datatype::Int64, &[Dim::Free("n".into()), Dim::Fixed(2)])];
    let m = model(spec);
    let item = || (tensors(1, 1, vec![int64(&[3, 2], &[1, 2, 3, 4, 5, 6])]), Want::Outputs(vec![0]));
    let mut assembler = Assembler::default();
    let inputs = assembler.assemble(&m.spec, &job(&m, 1, vec![item()])).unwrap();
    assert_eq!((inputs[0].shape(), values(&inputs[0])), (&[3, 2][..], &[1, 2, 3, 4, 5, 6][..]));
    let two = assembler.assemble(&m.spec, &job(&m, 1, vec![item(), item()])).unwrap_err();
    assert!(message(two).contains("2 items"));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let m = model(identity_spec(Datatype::Int64, &[Dim::Free("n".into())]));
    let item = |shape: &[usize], values: &[i64]| (tensors(1, 1, vec![int64(shape, values)]), Want::Outputs(vec![0]));
    let refuse = |items| message(Assembler::default().assemble(&m.spec, &job(&m, 1, items)).map(drop).unwrap_err());
    assert!(refuse(vec![item(&[1, 2], &[1, 2]), item(&[1, 3], &[1, 2, 3])]).contains("`x`"));
    assert!(refuse(vec![item(&[1, 2], &[1])]).contains("number of bytes"));
    assert!(refuse(vec![item(&[1], &[1])]).contains("dimensions"));
    assert!(refuse(vec![(tokens(&[1]), Want::Outputs(vec![0]))]).contains("`n`"));
    assert!(refuse(vec![]).contains("0 items"));
    let text = model(text_spec());
    let long = job(&text, 1, vec![(tokens(&[1, 2]), Want::Embedding)]);
    assert!(message(Assembler::default().assemble(&text.spec, &long).map(drop).unwrap_err()).contains("length 2"));
}

/// Two rows of one FP64 zero, `at` bytes behind a multiple of eight.
fn numbers_at(at: usize) -> Tensor {
    let words = Bytes::from_owner(Words([0, 0, 0]));
    assert_eq!(words.as_ptr().addr() % 8, 0);
    Tensor { datatype: Datatype::Fp64, shape: vec![2, 1], data: words.slice(at..at + 16) }
}

struct Words([u64; 3]);

impl AsRef<[u8]> for Words {
    fn as_ref(&self) -> &[u8] {
        bytemuck::bytes_of(&self.0)
    }
}

#[test]
fn a_tensor_alone_in_its_batch_stays_where_it_is() {
    let m = model(identity_spec(Datatype::Fp64, &[Dim::Fixed(1)]));
    let mut assembler = Assembler::default();
    let batch = |given: Vec<Tensor>| {
        let item = |tensor| (tensors(2, 1, vec![tensor]), Want::Outputs(vec![0]));
        job(&m, 1, given.into_iter().map(item).collect())
    };
    let (straight, crooked) = (numbers_at(8), numbers_at(3));
    let place = straight.data.as_ptr();
    let inputs = assembler.assemble(&m.spec, &batch(vec![straight.clone()])).unwrap();
    assert_eq!((inputs[0].data().as_ptr(), inputs[0].shape()), (place, &[2, 1][..]));
    assembler.release();
    for copied in [vec![crooked.clone()], vec![straight.clone(), crooked]] {
        let rows = 2 * copied.len();
        let inputs = assembler.assemble(&m.spec, &batch(copied)).unwrap();
        assert!(bytemuck::cast_slice::<u8, f64>(inputs[0].data()).iter().all(|n| *n == 0.0));
        assert_eq!((inputs[0].shape(), inputs[0].data().len()), (&[rows, 1][..], rows * 8));
        assert_ne!(inputs[0].data().as_ptr(), place);
    }
    let short = Tensor { data: straight.data.slice(..8), ..straight };
    assert!(message(assembler.assemble(&m.spec, &batch(vec![short])).unwrap_err()).contains("number of bytes"));
}

#[test]
fn what_a_request_sent_is_let_go_of() {
    let m = model(identity_spec(Datatype::Fp64, &[Dim::Fixed(1)]));
    let sent = Arc::new(Words([0; 3]));
    let data = Bytes::from_owner(Sent(Arc::clone(&sent))).slice(..16);
    let tensor = Tensor { datatype: Datatype::Fp64, shape: vec![2, 1], data };
    let mut assembler = Assembler::default();
    let batch = job(&m, 1, vec![(tensors(2, 1, vec![tensor]), Want::Outputs(vec![0]))]);
    assembler.assemble(&m.spec, &batch).unwrap();
    drop(batch);
    assert_eq!(Arc::strong_count(&sent), 2, "the input shows it");
    assembler.release();
    assert_eq!(Arc::strong_count(&sent), 1);
}

struct Sent(Arc<Words>);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}
