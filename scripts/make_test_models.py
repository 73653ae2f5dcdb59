"""Writes small ONNX models, each of which shows one way a batch can go wrong.

Usage: make_test_models.py FOLDER; writes FOLDER/NAME/model.onnx for every function marked below, and
the files of a text model beside those that take text. The same input always gives the same bytes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
FLOAT, FLOAT16, INT64, STRING = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.STRING

MODELS = {}


def model(function):
    """Marks a function that returns (inputs, outputs, nodes, constants) as a model of its own name."""
    MODELS[function.__name__] = function
    return function


def tensor(name, datatype, *dims):
    return helper.make_tensor_value_info(name, datatype, list(dims))


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs.split(), [output], **attributes)


def constants(**arrays):
    return [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]


def ints(*values):
    return np.array(values, np.int64)


@model
def identity():
    """y = x: whose rows came back?"""
    return [tensor("x", FLOAT, "batch", 4)], [tensor("y", FLOAT, "batch", 4)], [node("Identity", "x", "y")], []


@model
def null():
    """y = x for rows of any width: what does everything around the model cost?"""
    return [tensor("x", FLOAT, "batch", "n")], [tensor("y", FLOAT, "batch", "n")], [node("Identity", "x", "y")], []


@model
def affine():
    """y = x W + b, with W = [[1, 2], [3, 4], [5, 6]] and b = [0.5, -0.5]."""
    weights = constants(W=np.array([[1, 2], [3, 4], [5, 6]], np.float32), b=np.array([0.5, -0.5], np.float32))
    nodes = [node("MatMul", "x W", "product"), node("Add", "product b", "y")]
    return [tensor("x", FLOAT, "batch", 3)], [tensor("y", FLOAT, "batch", 2)], nodes, weights


@model
def fixed_batch():
    """y = 2 x for exactly one row: cannot be stacked."""
    nodes = [node("Mul", "x two", "y")]
    return [tensor("x", FLOAT, 1, 4)], [tensor("y", FLOAT, 1, 4)], nodes, constants(two=np.float32(2))


@model
def maskless():
    """Sum and mean over the length, without a mask: the mean shows padding that nobody asked for."""
    nodes = [
        node("Cast", "input_ids", "ids", to=FLOAT),
        node("ReduceSum", "ids axis", "sum", keepdims=0),
        node("ReduceMean", "ids", "mean", axes=[1], keepdims=0),
    ]
    outputs = [tensor("sum", FLOAT, "batch"), tensor("mean", FLOAT, "batch")]
    return [tensor("input_ids", INT64, "batch", "seq")], outputs, nodes, constants(axis=ints(1))


@model
def masked():
    """values[…, 0] is the token's id, values[…, 1] the sum over its row's unmasked ids.

    Masked positions hold 999 and 998 instead, so an answer that was not trimmed shows.
    """
    nodes = [
        node("Cast", "input_ids", "ids", to=FLOAT),
        node("Cast", "attention_mask", "mask", to=FLOAT),
        node("Mul", "ids mask", "kept"),
        node("ReduceSum", "kept axis", "total", keepdims=1),
        node("Shape", "input_ids", "shape"),
        node("Expand", "total shape", "totals"),
        node("Unsqueeze", "ids last", "ids_column"),
        node("Unsqueeze", "totals last", "totals_column"),
        node("Concat", "ids_column totals_column", "clean", axis=2),
        node("Cast", "attention_mask", "flags", to=TensorProto.BOOL),
        node("Unsqueeze", "flags last", "flags_column"),
        node("Where", "flags_column clean garbage", "values"),
    ]
    inputs = [tensor("input_ids", INT64, "batch", "seq"), tensor("attention_mask", INT64, "batch", "seq")]
    weights = constants(axis=ints(1), last=ints(2), garbage=np.array([999, 998], np.float32))
    return inputs, [tensor("values", FLOAT, "batch", "seq", 2)], nodes, weights


@model
def two_inputs():
    """sum = a + b and difference = a - b: are rows of several tensors kept together?"""
    inputs = [tensor("a", FLOAT, "batch", 2), tensor("b", FLOAT, "batch", 2)]
    outputs = [tensor("sum", FLOAT, "batch", 2), tensor("difference", FLOAT, "batch", 2)]
    return inputs, outputs, [node("Add", "a b", "sum"), node("Sub", "a b", "difference")], []


@model
def fails_on_negative():
    """y = x² for x from 0 to 7; any other value in any row fails the whole run."""
    nodes = [
        node("Less", "x zero", "is_negative"),
        node("Where", "is_negative beyond x", "index"),
        node("Gather", "squares index", "y"),
    ]
    weights = constants(squares=np.arange(8, dtype=np.float32) ** 2, zero=np.int64(0), beyond=np.int64(1_000_000))
    return [tensor("x", INT64, "batch")], [tensor("y", FLOAT, "batch")], nodes, weights


@model
def bytes_echo():
    """y = x for strings."""
    return [tensor("x", STRING, "batch", 1)], [tensor("y", STRING, "batch", 1)], [node("Identity", "x", "y")], []


@model
def fp16_half():
    """y = x / 2 in half precision."""
    nodes = [node("Mul", "x half", "y")]
    weights = constants(half=np.float16(0.5))
    return [tensor("x", FLOAT16, "batch", 4)], [tensor("y", FLOAT16, "batch", 4)], nodes, weights


@model
def int_ops():
    """y = 2 x for whole numbers, one a row, with no other dimension."""
    nodes = [node("Mul", "x two", "y")]
    return [tensor("x", INT64, "batch")], [tensor("y", INT64, "batch")], nodes, constants(two=np.int64(2))


SPECIAL_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = (
    "a and at bird blue boat by cat cloud cold day dog down far fish green grey hill in is lake light "
    "long near night of on over rain red river road sat sea short sky slow snow sun the to tree under up "
    "warm wind"
).split()
HIDDEN = 8
MAX_LENGTH = 32


def encoder_nodes():
    """Token vectors, each mixed with the mean of its row's unmasked ones: context, in eight nodes."""
    count = len(SPECIAL_WORDS) + len(WORDS)
    table = np.sin(np.arange(1, count * HIDDEN + 1, dtype=np.float64) ** 1.3).reshape(count, HIDDEN)
    nodes = [
        node("Gather", "table input_ids", "words"),
        node("Cast", "attention_mask", "mask", to=FLOAT),
        node("Unsqueeze", "mask last", "mask_column"),
        node("Mul", "words mask_column", "kept"),
        node("ReduceSum", "kept axis", "total", keepdims=1),
        node("ReduceSum", "mask_column axis", "count", keepdims=1),
        node("Div", "total count", "context"),
        node("Add", "words context", "mixed"),
    ]
    return nodes, constants(table=table.astype(np.float32), last=ints(2), axis=ints(1))


def text_inputs():
    return [tensor("input_ids", INT64, "batch", "seq"), tensor("attention_mask", INT64, "batch", "seq")]


@model
def tiny_text():
    """An embedding model of fifty words: mean pooling, scaled to length one, 32 tokens."""
    nodes, weights = encoder_nodes()
    nodes.append(node("Identity", "mixed", "last_hidden_state"))
    return text_inputs(), [tensor("last_hidden_state", FLOAT, "batch", "seq", HIDDEN)], nodes, weights


@model
def tiny_classifier():
    """A classifier over the same words, with two labels, from the first token."""
    nodes, weights = encoder_nodes()
    scores = np.cos(np.arange(HIDDEN * 2)).reshape(HIDDEN, 2).astype(np.float32)
    nodes += [node("Gather", "mixed first", "cls", axis=1), node("MatMul", "cls scores", "logits")]
    weights += constants(first=np.int64(0), scores=scores)
    return text_inputs(), [tensor("logits", FLOAT, "batch", 2)], nodes, weights


def tokenizer():
    """Whole words, lower case. Its padding and truncation are there to be ignored."""
    special = [{"SpecialToken": {"id": word, "type_id": 0}} for word in ("[CLS]", "[SEP]")]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    ids = {word: {"id": word, "ids": [SPECIAL_WORDS.index(word)], "tokens": [word]} for word in ("[CLS]", "[SEP]")}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 8},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": [{"id": i, "content": word, **flags} for i, word in enumerate(SPECIAL_WORDS)],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special[0], text, special[1]],
            "pair": [special[0], text, special[1], {"Sequence": {"id": "B", "type_id": 1}}, special[1]],
            "special_tokens": ids,
        },
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: i for i, word in enumerate(SPECIAL_WORDS + WORDS)},
            "unk_token": "[UNK]",
        },
    }


def text_files():
    """The small files of each text model, by model and path."""
    config = {"model_type": "bert", "hidden_size": HIDDEN, "pad_token_id": 0, "max_position_embeddings": 64}
    shared = {"tokenizer.json": tokenizer(), "tokenizer_config.json": {"model_max_length": MAX_LENGTH}}
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    return {
        "tiny_text": {
            **shared,
            "config.json": {"architectures": ["BertModel"], **config},
            "sentence_bert_config.json": {"max_seq_length": MAX_LENGTH, "do_lower_case": False},
            "1_Pooling/config.json": {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True},
            "modules.json": [
                {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                for i, (path, kind) in enumerate(modules)
            ],
        },
        "tiny_classifier": {
            **shared,
            "config.json": {
                "architectures": ["BertForSequenceClassification"],
                "id2label": {"0": "cold", "1": "warm"},
                **config,
            },
        },
    }


def build(name):
    """The model of this name, checked."""
    inputs, outputs, nodes, weights = MODELS[name]()
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    opset = [helper.make_opsetid("", OPSET)]
    built = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="inferneo")
    onnx.checker.check_model(built, full_check=True)
    return built


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    root = Path(sys.argv[1])
    for name in MODELS:
        (root / name).mkdir(parents=True, exist_ok=True)
        onnx.save(build(name), root / name / "model.onnx")
    for name, files in text_files().items():
        for path, content in files.items():
            file = root / name / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
