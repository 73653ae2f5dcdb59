//! Random graphs, dressed as a batch of rows: whatever a graph does with them, each caller gets what ONNX Runtime would
//! have answered it alone, and those that keep rows apart are stacked.

mod mixing;
mod settings;
mod sound;

use crate::client::Client;
use crate::exec::runtime;
use crate::graphs::{Build, WIDTH};
use crate::harness::{Server, Settings, folder, together};
use mixing::{COUNTED, MIXING};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop};
use proptest::strategy::Union;
use proptest::test_runner::{TestCaseError, TestRunner};
use sound::SOUND;
use std::collections::BTreeMap;
use std::{fmt, fs};

/// What an exporter or its user calls the first dimension; a batch, it says.
const ROWS: &[&str] = &["batch", "batch_size", "N", "unk__17", "dynamic_axes_0", "rows"];
const INPUTS: &[[&str; 2]] = &[["input_ids", "attention_mask"], ["pixel_values", "pixel_mask"], ["x", "y"]];
const OUTPUTS: &[&str] = &["logits", "last_hidden_state", "sentence_embedding", "boxes", "output_0"];

/// Callers at the same time.
const CALLERS: usize = 32;

/// A graph to be made.
#[derive(Clone)]
struct Net {
    /// Places in [`SOUND`].
    steps: Vec<usize>,
    mixing: Mixing,
    inputs: usize,
    names: (usize, usize, usize),
    /// Whether `model.toml` says as well that the dimension is a batch.
    claimed: bool,
    seed: u32,
}

/// What does not keep rows apart in it.
#[derive(Debug, Clone, Copy)]
enum Mixing {
    Nothing,
    /// A place in [`MIXING`], after so many steps.
    Step(usize, usize),
    /// A place in [`COUNTED`].
    End(usize),
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Net {
    fn describe(&self) -> String {
        let mut steps: Vec<&str> = self.steps.iter().map(|step| SOUND[*step].0).collect();
        match self.mixing {
            Mixing::Nothing => {}
            Mixing::Step(step, after) => steps.insert(after.min(steps.len()), MIXING[step].0),
            Mixing::End(end) => steps.push(COUNTED[end].step.0),
        }
        format!("{} input(s), seed {}, {}: {}", self.inputs, self.seed, ROWS[self.names.0], steps.join(", "))
    }

    fn inputs(&self) -> &'static [&'static str] {
        &INPUTS[self.names.1][..self.inputs]
    }

    fn file(&self) -> Vec<u8> {
        let rows = ROWS[self.names.0];
        let mut build = Build::new(self.inputs(), rows, self.seed);
        for (at, step) in self.steps.iter().enumerate() {
            self.mix(&mut build, at);
            SOUND[*step].1(&mut build);
        }
        self.mix(&mut build, self.steps.len());
        let output = OUTPUTS[self.names.2];
        match self.mixing {
            Mixing::End(end) => {
                let end = &COUNTED[end];
                end.step.1(&mut build);
                build.end(output, end.elements, &[rows, end.columns])
            }
            Mixing::Nothing | Mixing::Step(..) => build.end(output, 1, &[rows, "6"]),
        }
    }

    fn mix(&self, build: &mut Build, at: usize) {
        if let Mixing::Step(step, after) = self.mixing
            && after.min(self.steps.len()) == at
        {
            MIXING[step].1(build);
        }
    }
}

fn nets() -> impl Strategy<Value = Net> {
    let steps = prop::collection::vec(0..SOUND.len(), 1..5);
    let mixing = Union::new_weighted(vec![
        (4, Just(Mixing::Nothing).boxed()),
        (4, (0..MIXING.len(), 0..5_usize).prop_map(|(step, after)| Mixing::Step(step, after)).boxed()),
        (1, (0..COUNTED.len()).prop_map(Mixing::End).boxed()),
    ]);
    let names = (0..ROWS.len(), 0..INPUTS.len(), 0..OUTPUTS.len());
    (steps, mixing, 1..=2_usize, names, prop::bool::ANY, prop::num::u32::ANY)
        .prop_map(|(steps, mixing, inputs, names, claimed, seed)| Net { steps, mixing, inputs, names, claimed, seed })
}

/// One to three rows for each input. Of every eight callers one has numbers that are larger by far.
fn rows(net: &Net, caller: usize) -> (usize, Vec<Vec<f32>>) {
    let mut state = net.seed ^ (caller as u32).wrapping_mul(0x9e37_79b9);
    let scale = if caller % 8 == 5 { 100.0 } else { 1.0 };
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
    };
    let rows = if caller % 4 == 3 { 1 + caller % 3 } else { 1 };
    (rows, (0..net.inputs).map(|_| (0..rows * WIDTH).map(|_| next()).collect()).collect())
}

/// What a request is answered: a shape, and elements that all fit into FP64.
type Output = (Vec<usize>, Vec<f64>);

/// ONNX Runtime, which runs a request alone.
fn alone(session: &mut Session, net: &Net, rows: usize, inputs: &[Vec<f32>]) -> Output {
    let given = net.inputs().iter().zip(inputs).map(|(name, data)| {
        ((*name).to_owned(), Tensor::from_array((vec![rows, WIDTH], data.clone())).unwrap().into_dyn())
    });
    let outputs = session.run(given.collect::<Vec<_>>()).unwrap_or_else(|e| panic!("{e}: {}", net.describe()));
    let output = &outputs[OUTPUTS[net.names.2]];
    let sizes = |shape: &ort::value::Shape| shape.iter().map(|size| *size as usize).collect();
    match output.try_extract_tensor::<f32>() {
        Ok((shape, data)) => (sizes(shape), data.iter().map(|n| f64::from(*n)).collect()),
        Err(_) => {
            let (shape, data) = output.try_extract_tensor::<i64>().unwrap();
            (sizes(shape), data.iter().map(|n| *n as f64).collect())
        }
    }
}

/// The same through the program. Answers the rows of the batch it was run in as well.
async fn served(client: Client, model: String, net: Net, caller: usize) -> (Output, u64) {
    let (rows, inputs) = rows(&net, caller);
    let bytes = |data: &Vec<f32>| data.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let inputs: Vec<_> =
        net.inputs().iter().zip(&inputs).map(|(name, data)| (*name, "FP32", vec![rows, WIDTH], bytes(data))).collect();
    let answer = client.infer_bytes(&model, &inputs).await;
    assert_eq!(answer.status, 200, "{}: {}", net.describe(), answer.text());
    let (_, shape, data) = answer.binary().remove(0);
    let is_int = matches!(net.mixing, Mixing::End(end) if COUNTED[end].elements == 7);
    let elements = match is_int {
        true => data.chunks(8).map(|n| i64::from_le_bytes(n.try_into().unwrap()) as f64).collect(),
        false => data.chunks(4).map(|n| f64::from(f32::from_le_bytes(n.try_into().unwrap()))).collect(),
    };
    ((shape, elements), answer.batch().rows)
}

fn is_near(one: &[f64], other: &[f64]) -> bool {
    let largest = one.iter().filter(|n| n.is_finite()).fold(1.0, |most: f64, n| most.max(n.abs()));
    let near = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-4 * largest;
    one.len() == other.len() && one.iter().zip(other).all(near)
}

fn start(nets: &[Net], files: &[Vec<u8>]) -> (Server, tempfile::TempDir) {
    let dir = folder();
    let models = nets.iter().zip(files).enumerate().map(|(number, (net, file))| {
        let path = dir.path().join(format!("m{number}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("model.onnx"), file).unwrap();
        if net.claimed {
            fs::write(path.join("model.toml"), format!("[batching]\nbatch_dim = {:?}\n", ROWS[net.names.0])).unwrap();
        }
        format!("[[model]]\nname = \"m{number}\"\npath = {path:?}\ninstances = 1\ndevice = \"cpu\"\n")
    });
    let policy = "schema = 1\nstrategy = \"fixed_size\"\n[batch]\nmax_batch_size = 8\nmax_queue_delay = \"50ms\"\n";
    (Settings::new(models.collect::<String>()).policy("default", policy).start(), dir)
}

/// How many graphs kept rows apart, how many of these were stacked, and how many answers came out of shared batches.
#[derive(Debug, Default)]
struct Tally {
    sound: usize,
    stacked: usize,
    /// Graphs that are stacked though something in them takes rows together.
    mixed: usize,
    shared: usize,
}

async fn hold(environment: &Environment, nets: &[Net], tally: &mut Tally) -> Result<(), TestCaseError> {
    let files: Vec<Vec<u8>> = nets.iter().map(Net::file).collect();
    let (server, _dir) = start(nets, &files);
    let stats = server.admin().get("/stats").await.ok().json();
    let modes: BTreeMap<String, serde_json::Value> =
        (0..nets.len()).map(|n| (format!("m{n}"), stats["models"][format!("m{n}")]["batching"].clone())).collect();
    for ((name, net), file) in (0..nets.len()).map(|n| format!("m{n}")).zip(nets).zip(&files) {
        let mode = &modes[&name];
        let mut session =
            Session::builder(environment).unwrap().with_intra_threads(1).unwrap().commit_from_memory(file).unwrap();
        let client = server.http1();
        let asked = (0..CALLERS).map(|caller| served(client.clone(), name.clone(), net.clone(), caller));
        for (caller, ((shape, elements), batch)) in together(asked).await.into_iter().enumerate() {
            let (rows, inputs) = rows(net, caller);
            let (expected, numbers) = alone(&mut session, net, rows, &inputs);
            let what = || format!("caller {caller} of {} ({mode})\n{numbers:?}\n{elements:?}", net.describe());
            if shape != expected || !is_near(&numbers, &elements) {
                return Err(TestCaseError::fail(format!("{shape:?} for {expected:?}: {}", what())));
            }
            tally.shared += usize::from(batch > rows as u64);
        }
        if matches!(net.mixing, Mixing::Nothing) {
            tally.sound += 1;
            tally.stacked += usize::from(mode["mode"] == "stacked");
            if mode["mode"] != "stacked" {
                eprintln!("not stacked: {}: {mode}", net.describe());
            }
        } else if mode["mode"] == "stacked" {
            tally.mixed += 1;
            eprintln!("stacked: {}", net.describe());
        }
    }
    Ok(())
}

#[test]
fn each_step_by_itself_is_known_for_what_it_is() {
    let (onnx, tokio) = (runtime(), tokio::runtime::Runtime::new().unwrap());
    let net = |steps: Vec<usize>, mixing| Net { steps, mixing, inputs: 1, names: (0, 2, 0), claimed: true, seed: 7 };
    let mut nets: Vec<Net> = (0..SOUND.len()).map(|step| net(vec![step], Mixing::Nothing)).collect();
    nets.extend((0..MIXING.len()).map(|step| net(Vec::new(), Mixing::Step(step, 0))));
    nets.extend((0..COUNTED.len()).map(|end| net(Vec::new(), Mixing::End(end))));
    let mut tally = Tally::default();
    tokio.block_on(hold(onnx.environment(), &nets, &mut tally)).unwrap();
    assert_eq!((tally.sound, tally.stacked, tally.mixed), (SOUND.len(), SOUND.len(), 0));
}

#[test]
fn no_caller_gets_another_answer_than_alone_and_what_is_sound_is_stacked() {
    let (onnx, tokio) = (runtime(), tokio::runtime::Runtime::new().unwrap());
    let config =
        ProptestConfig { cases: 3, failure_persistence: None, max_shrink_iters: 40, ..ProptestConfig::default() };
    let tally = std::cell::RefCell::new(Tally::default());
    let nets = prop::collection::vec(nets(), 24..=24);
    let run = TestRunner::new(config)
        .run(&nets, |nets| tokio.block_on(hold(onnx.environment(), &nets, &mut tally.borrow_mut())));
    run.unwrap_or_else(|failure| panic!("{failure}"));
    let Tally { sound, stacked, mixed, shared } = tally.into_inner();
    assert_eq!(mixed, 0, "graphs that take rows together are stacked");
    assert!(sound > 0 && stacked * 10 >= sound * 9, "{stacked} of {sound} sound graphs are stacked");
    assert!(shared >= stacked * CALLERS / 2, "{shared} answers of shared batches from {stacked} graphs");
}
