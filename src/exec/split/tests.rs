//! Splitting, on hand-made specs without a runtime.

use super::*;
use crate::exec::assemble::Assembler;
use crate::exec::fixtures::{identity_spec, int64, job, message, model, tensors, text_spec, tokens};
use crate::exec::{Backend, Fake};
use crate::model::Datatype;
use crate::request::Payload;
use proptest::prelude::*;

fn run(spec: ModelSpec, padded_len: u32, items: Vec<(Payload, Want)>) -> Result<Vec<Answer>, Failure> {
    let m = model(spec);
    let job = job(&m, padded_len, items);
    let wanted = wanted(&m.spec, &job)?;
    let mut assembler = Assembler::default();
    let outputs = Fake::new(m.spec.clone(), |_| Ok(())).run(assembler.assemble(&m.spec, &job)?, &wanted)?;
    split(&m.spec, &job, &wanted, &outputs)
}

#[test]
fn an_embedding_pools_the_rows_own_tokens() {
    let items = vec![(tokens(&[2, 4]), Want::Embedding), (tokens(&[1, 2, 9]), Want::Embedding)];
    let answers = run(text_spec(), 4, items).unwrap();
    assert_eq!(answers, [vec![3.0, 3.0], vec![4.0, 4.0]].map(Answer::Embedding));
}

#[test]
fn what_is_never_padded_keeps_its_own_length() {
    let spec = ModelSpec { pads: false, ..text_spec() };
    let items = |second: &[u32]| vec![(tokens(&[2, 4]), Want::Embedding), (tokens(second), Want::Embedding)];
    let answers = run(spec.clone(), 8, items(&[6, 8])).unwrap();
    assert_eq!(answers, [vec![3.0, 3.0], vec![7.0, 7.0]].map(Answer::Embedding));
    assert!(message(run(spec, 8, items(&[6])).unwrap_err()).contains("2 tokens a row"));
}

#[test]
fn poolings_datatypes_and_normalisation() {
    for (pooling, expected) in [(Pooling::Cls, 3.0), (Pooling::Last, 5.0), (Pooling::Mean, 4.0)] {
        for datatype in [Datatype::Fp16, Datatype::Bf16, Datatype::Fp32, Datatype::Fp64] {
            let mut spec = text_spec();
            spec.outputs[0].datatype = datatype;
            spec.task = Task::Embedding { output: 0, pooling, normalize: false, dimensions: 2 };
            let answers = run(spec, 3, vec![(tokens(&[3, 5]), Want::Embedding)]).unwrap();
            assert_eq!(answers, [Answer::Embedding(vec![expected; 2])], "{pooling:?} {datatype:?}");
        }
    }
    let mut spec = text_spec();
    spec.outputs[0].dims.remove(1);
    spec.task = Task::Embedding { output: 0, pooling: Pooling::None, normalize: true, dimensions: 2 };
    let answers = run(spec, 2, vec![(tokens(&[5, 1]), Want::Embedding), (tokens(&[7]), Want::Embedding)]).unwrap();
    let unit = 0.5_f32.sqrt();
    for answer in answers {
        let Answer::Embedding(vector) = answer else { panic!("{answer:?}") };
        assert!(vector.iter().all(|v| (v - unit).abs() < 1e-6), "{vector:?}");
    }
}

#[test]
fn each_item_gets_the_outputs_it_wants_in_its_order() {
    let mut spec = identity_spec(Datatype::Int64, &[]);
    spec.inputs.push(spec.inputs[0].clone());
    spec.outputs.push(spec.outputs[0].clone());
    let item = |a, b, want: &[usize]| {
        (tensors(1, 1, vec![int64(&[1], &[a]), int64(&[1], &[b])]), Want::Outputs(want.to_vec()))
    };
    let answers = run(spec, 1, vec![item(1, 2, &[1, 0]), item(3, 4, &[1]), item(5, 6, &[])]).unwrap();
    let expected = [vec![int64(&[1], &[2]), int64(&[1], &[1])], vec![int64(&[1], &[4])], vec![]];
    assert_eq!(answers, expected.map(Answer::Outputs));
}

#[test]
fn an_output_that_is_not_the_batch_is_refused() {
    let m = model(text_spec());
    let want = || Want::Outputs(vec![0]);
    let batch = job(&m, 2, vec![(tokens(&[1, 2]), want()), (tokens(&[3]), want())]);
    let output = |shape: &[usize]| Tensor {
        datatype: Datatype::Fp32,
        shape: shape.to_vec(),
        data: vec![0; shape.iter().product::<usize>() * 4].into(),
    };
    let refuse = |outputs: &[Tensor]| message(split(&m.spec, &batch, &[0], outputs).unwrap_err());
    let inseparable = split(&m.spec, &batch, &[0], &[output(&[1, 2, 2])]).unwrap_err();
    assert!(matches!(inseparable, Failure::Inseparable(_)), "nobody knows whose they are: {inseparable:?}");
    assert!(refuse(&[output(&[1, 2, 2])]).contains("2 rows"));
    assert!(refuse(&[output(&[])]).contains("2 rows"));
    assert!(refuse(&[output(&[2, 5, 2])]).contains("padded length of 2"));
    assert!(refuse(&[output(&[2])]).contains("padded length of 2"));
    assert!(refuse(&[]).contains("0 outputs"));
    let mut short = output(&[2, 2, 2]);
    short.data = short.data.slice(1..);
    assert!(refuse(&[short]).contains("shorter"));
    let texts = job(&m, 2, vec![(tokens(&[1, 2]), Want::Embedding)]);
    for shape in [&[1, 2][..], &[1, 3, 2], &[2, 2, 2], &[]] {
        assert!(message(split(&m.spec, &texts, &[0], &[output(shape)]).unwrap_err()).contains("pool"), "{shape:?}");
    }
}

#[test]
fn one_item_that_comes_back_with_other_rows_shows_that_rows_cannot_be_told_apart() {
    let item = || vec![(tensors(2, 1, vec![int64(&[2], &[1, 2])]), Want::Outputs(vec![0]))];
    let outputs =
        |rows: usize| [Tensor { datatype: Datatype::Int64, shape: vec![rows], data: vec![0; rows * 8].into() }];
    let found = |spec: ModelSpec, rows| {
        let m = model(spec);
        let job = job(&m, 1, item());
        assert!(split(&m.spec, &job, &[0], &outputs(rows)).is_ok(), "it is the caller's own all the same");
        uneven(&m.spec, &job, &[0], &outputs(rows)).unwrap()
    };
    let spec = || identity_spec(Datatype::Int64, &[]);
    assert_eq!(found(spec(), 2), None);
    assert_eq!(found(spec(), 3).unwrap(), "output `y` is [3] for 2 rows");
    assert_eq!(found(ModelSpec { batchable: false, ..spec() }, 3), None, "it may answer what it likes");
}

#[test]
fn a_want_that_the_model_has_not_is_refused() {
    let one = |want| vec![(tensors(1, 1, vec![int64(&[1], &[1])]), want)];
    assert!(
        message(run(identity_spec(Datatype::Int64, &[]), 1, one(Want::Outputs(vec![3]))).unwrap_err())
            .contains("output 3")
    );
    assert!(
        message(run(identity_spec(Datatype::Int64, &[]), 1, one(Want::Embedding)).unwrap_err()).contains("embeddings")
    );
}

fn element(datatype: Datatype) -> BoxedStrategy<Vec<u8>> {
    match datatype.size() {
        Some(1) => prop::collection::vec(0..=1_u8, 1).boxed(),
        Some(size) => prop::collection::vec(any::<u8>(), size).boxed(),
        None => "[a-z]{0,3}".prop_map(|s| join_elements(&[s]).unwrap().to_vec()).boxed(),
    }
}

/// Items of a model whose input is `[batch, 2, length]` or `[batch, length, 2]`.
fn batches() -> impl Strategy<Value = (Datatype, bool, u32, Vec<(u32, u32, Tensor)>)> {
    let datatype = prop::sample::select(Datatype::ALL.to_vec());
    (datatype, any::<bool>(), 0..3_u32).prop_flat_map(|(datatype, inner, slack)| {
        let item = (1..4_u32, 1..5_u32).prop_flat_map(move |(rows, len)| {
            let count = (rows * len * 2) as usize;
            prop::collection::vec(element(datatype), count).prop_map(move |data| {
                let (rows_, len_) = (rows as usize, len as usize);
                let shape = if inner { vec![rows_, len_, 2] } else { vec![rows_, 2, len_] };
                (rows, len, Tensor { datatype, shape, data: data.concat().into() })
            })
        });
        (Just(datatype), Just(inner), Just(slack), prop::collection::vec(item, 1..6))
    })
}

proptest! {
    #[test]
    fn every_item_gets_its_own_data_back((datatype, inner, slack, items) in batches()) {
        let dims = if inner { [Dim::Length, Dim::Fixed(2)] } else { [Dim::Fixed(2), Dim::Length] };
        let longest = items.iter().map(|(_, len, _)| *len).max().unwrap_or(1) + slack;
        let payloads = items.iter().map(|(rows, len, tensor)| {
            (tensors(*rows, *len, vec![tensor.clone()]), Want::Outputs(vec![0]))
        });
        let answers = run(identity_spec(datatype, &dims), longest, payloads.collect()).unwrap();
        for (answer, (_, _, tensor)) in answers.iter().zip(&items) {
            prop_assert_eq!(answer, &Answer::Outputs(vec![tensor.clone()]));
        }
    }
}
