//! A made-up request for a model that is known by its metadata alone, and what its answer must look like.
//!
//! Decides what stands in for real input. Knows no connection.

use serde::Deserialize;
use serde_json::{Value, json};

/// What a text model is asked.
const TEXT: &str = "Does this model answer?";
/// Most elements of an input; more would not fit into a request.
const MOST_ELEMENTS: u64 = 1 << 22;

/// A model's own description: `GET /v2/models/M`.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    #[serde(flatten)]
    tensors: Interface,
    /// The other way in, of a text model.
    text: Option<Interface>,
    /// Why nothing can be made up for it, by the server's word.
    pub(super) no_sample: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

#[derive(Debug, Deserialize)]
struct Tensor {
    name: String,
    datatype: String,
    /// −1 where any size goes.
    shape: Vec<i64>,
    /// What the server knows to run.
    sample: Option<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    shape: Vec<u64>,
    /// The largest whole number in it.
    most: u64,
}

impl Metadata {
    fn interface(&self) -> &Interface {
        self.text.as_ref().unwrap_or(&self.tensors)
    }

    /// The body of a request of one row: a text where the model takes text, else made-up tensors, of the size that the
    /// server knows to run, with 1 for every size that is left open.
    ///
    /// # Errors
    /// A sentence that says which input cannot be made up.
    pub(super) fn request(&self) -> Result<Value, String> {
        let inputs: Result<Vec<_>, _> = self.interface().inputs.iter().map(|input| self.input(input)).collect();
        Ok(json!({ "inputs": inputs? }))
    }

    fn input(&self, input: &Tensor) -> Result<Value, String> {
        let Tensor { name, datatype, shape, sample } = input;
        let open = || shape.iter().map(|size| u64::try_from(*size).unwrap_or(1)).collect();
        let shape: Vec<u64> = sample.as_ref().map_or_else(open, |sample| sample.shape.clone());
        let count = volume(&shape).filter(|count| *count <= MOST_ELEMENTS);
        let count = count.ok_or_else(|| format!("input {name} of shape {shape:?} is too large to make up"))?;
        let element = match &**datatype {
            "BYTES" if self.text.is_some() => json!(TEXT),
            "BYTES" => json!("1"),
            "BOOL" => json!(name.contains("mask")),
            // A row of zeros has no direction: what scales it to length one would answer NaN.
            "FP16" | "BF16" | "FP32" | "FP64" => json!(1.0),
            // Zero is valid as flag, count and index alike; a mask leaves nothing out.
            _ => json!(u8::from(name.contains("mask"))),
        };
        let count = usize::try_from(count).map_err(|error| error.to_string())?;
        let whole = element == json!(0);
        let data: Vec<Value> = match sample.as_ref().filter(|_| whole) {
            Some(sample) => (0..count as u64).map(|at| json!((at + 1) % (sample.most.max(1) + 1))).collect(),
            None => vec![element; count],
        };
        Ok(json!({ "name": name, "datatype": datatype, "shape": shape, "data": data }))
    }

    /// What the model answered to [`request`](Self::request), in words.
    ///
    /// # Errors
    /// A sentence that says what of the answer does not fit the description.
    pub(super) fn judge(&self, answer: &Value) -> Result<String, String> {
        let outputs = answer["outputs"].as_array().ok_or("it has no outputs")?;
        let mut shown = Vec::new();
        for promised in &self.interface().outputs {
            let output = outputs.iter().find(|output| output["name"] == *promised.name);
            let output = output.ok_or_else(|| format!("output {} is missing", promised.name))?;
            shown.push(promised.judge(output).map_err(|fault| format!("output {}: {fault}", promised.name))?);
        }
        Ok(shown.join(", "))
    }
}

impl Tensor {
    fn judge(&self, output: &Value) -> Result<String, String> {
        let datatype = &output["datatype"];
        if *datatype != *self.datatype {
            return Err(format!("its datatype is {datatype}, not {}", self.datatype));
        }
        let sizes = output["shape"].as_array().map(|sizes| sizes.iter().map(Value::as_u64).collect());
        let shape: Vec<u64> = sizes.flatten().ok_or("it has no shape")?;
        let fits =
            |(size, promised): (&u64, &i64)| u64::try_from(*promised).is_err() || *size == promised.unsigned_abs();
        // What a graph declares of an output's shape, the runtime need not keep to: it only warns.
        let is_declared = shape.len() == self.shape.len() && shape.iter().zip(&self.shape).all(fits);
        let declared = if is_declared { String::new() } else { format!(", declared as {:?}", self.shape) };
        let elements = self.elements(&output["data"])?;
        match volume(&shape) == Some(elements) {
            true => Ok(format!("{} {} {shape:?}{declared}", self.name, self.datatype)),
            false => Err(format!("it has {elements} elements, which is not the shape {shape:?}")),
        }
    }

    /// Counts the elements, flat or nested, each of which must be one of the datatype.
    fn elements(&self, data: &Value) -> Result<u64, String> {
        let sound = match data {
            Value::Array(parts) => return parts.iter().map(|part| self.elements(part)).sum(),
            Value::Bool(_) => self.datatype == "BOOL",
            Value::String(_) => self.datatype == "BYTES",
            // A number that overflows is read as infinite, and JSON has no other that is not finite.
            Value::Number(number) => self.datatype != "BYTES" && number.as_f64().is_some_and(f64::is_finite),
            Value::Null | Value::Object(_) => false,
        };
        if sound { Ok(1) } else { Err(format!("{data} is not a finite element of {}", self.datatype)) }
    }
}

fn volume(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(inputs: Value, outputs: Value) -> Metadata {
        serde_json::from_value(json!({ "name": "m", "inputs": inputs, "outputs": outputs })).unwrap()
    }

    fn tensor(name: &str, datatype: &str, shape: &[i64]) -> Value {
        json!({ "name": name, "datatype": datatype, "shape": shape })
    }

    #[test]
    fn made_up_input_has_a_row_and_leaves_nothing_out() {
        let ids = tensor("input_ids", "INT64", &[-1, -1]);
        let inputs = json!([ids, tensor("attention_mask", "INT64", &[-1, 2]), tensor("x", "FP32", &[-1, 3])]);
        let request = metadata(inputs, json!([])).request().unwrap();
        let data: Vec<_> = request["inputs"].as_array().unwrap().iter().map(|input| &input["data"]).collect();
        assert_eq!(data, [&json!([0]), &json!([1, 1]), &json!([1.0, 1.0, 1.0])]);
        assert_eq!(request["inputs"][1]["shape"], json!([1, 2]));
        let huge = metadata(json!([tensor("x", "FP32", &[i64::MAX, 3])]), json!([]));
        assert!(huge.request().unwrap_err().contains("input x"));
    }

    #[test]
    fn a_text_model_is_asked_a_text() {
        let mut whole = json!({ "inputs": [tensor("input_ids", "INT64", &[-1, -1])], "outputs": [] });
        let (text, embedding) = (tensor("text", "BYTES", &[-1]), tensor("embedding", "FP32", &[-1, 2]));
        whole["text"] = json!({ "inputs": [text], "outputs": [embedding] });
        let metadata: Metadata = serde_json::from_value(whole).unwrap();
        let request = metadata.request().unwrap();
        assert_eq!(request["inputs"][0]["data"], json!([TEXT]));
        let answer =
            json!({ "outputs": [{ "name": "embedding", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1] }] });
        assert_eq!(metadata.judge(&answer).unwrap(), "embedding FP32 [1, 2]");
    }

    #[test]
    fn an_answer_must_fit_the_description() {
        let metadata = metadata(json!([]), json!([tensor("y", "FP32", &[-1, 2])]));
        let judge = |output: Value| metadata.judge(&json!({ "outputs": [output] }));
        let output =
            |shape: Value, data: Value| json!({ "name": "y", "datatype": "FP32", "shape": shape, "data": data });
        assert!(judge(output(json!([1, 2]), json!([[1.5, -2]]))).is_ok());
        // The runtime has the last word on dimensions.
        let told = judge(output(json!([2]), json!([1, 2]))).unwrap();
        assert_eq!(told, "y FP32 [2], declared as [-1, 2]");
        assert!(judge(output(json!([1, 3]), json!([1, 2, 3]))).unwrap().ends_with(", declared as [-1, 2]"));
        for (answer, word) in [
            (json!({ "name": "z" }), "output y is missing"),
            (json!({ "name": "y", "datatype": "INT8" }), "not FP32"),
            (output(json!([2, 2]), json!([1, 2])), "2 elements"),
            (output(json!([1, 2]), json!([1, null])), "null is not a finite element"),
            (output(json!([1, 2]), json!([1, "NaN"])), "not a finite element"),
            (output(json!([1, 2]), json!([])), "0 elements"),
        ] {
            let fault = judge(answer).unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
        assert!(metadata.judge(&json!([])).is_err());
    }
}
