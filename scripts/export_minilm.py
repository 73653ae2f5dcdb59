"""Writes the ONNX graph of a BERT encoder from its weights, with nothing but onnx and numpy.

Usage: export_minilm.py FOLDER, which holds config.json and model.safetensors; writes model.onnx.

Inputs are input_ids, attention_mask and token_type_ids, INT64 [batch_size, sequence_length]; the one
output is last_hidden_state, FLOAT [batch_size, sequence_length, hidden_size].
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

OPSET = 20  # the first with LayerNormalization and Gelu
IR_VERSION = 10
ROWS = ["batch_size", "sequence_length"]
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
OUTPUT = "last_hidden_state"
# What a masked position's score is lowered by: the softmax then gives it exactly nothing.
MASKED = np.float32(-3.4e38)


class Graph:
    """Nodes and constants in the order they are added; every method returns a value's name."""

    def __init__(self):
        self.nodes = []
        self.constants = {}

    def constant(self, name, array):
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def ints(self, *values):
        return self.constant("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, name, value):
        return self.constant(name, np.array(value, np.float32))

    def node(self, operator, *inputs, output=None, **attributes):
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output


class Encoder:
    """The layers of BERT, over weights under their usual names."""

    def __init__(self, config, weights):
        self.graph = Graph()
        self.weights = weights
        self.heads = config["num_attention_heads"]
        self.hidden = config["hidden_size"]
        self.layers = config["num_hidden_layers"]
        self.epsilon = config["layer_norm_eps"]
        if config["hidden_act"] != "gelu" or config.get("position_embedding_type", "absolute") != "absolute":
            raise SystemExit("export_minilm.py: only gelu and absolute positions are known")

    def build(self):
        tokens = self.embeddings()
        mask = self.attention_bias()
        for layer in range(self.layers):
            tokens = self.layer(f"encoder.layer.{layer}", tokens, mask)
        self.graph.node("Identity", tokens, output=OUTPUT)
        return self.graph

    def embeddings(self):
        """The sum of what word, segment and position say, scaled."""
        graph = self.graph
        words = graph.node("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        segments = graph.node("Gather", self.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        table = self.weights["embeddings.position_embeddings.weight"][np.newaxis]
        # The bounds of the slice are lists of one: the runtime's embedding fusion trips over scalars.
        length = graph.node("Gather", graph.node("Shape", "input_ids"), graph.ints(1))
        positions = graph.node("Slice", graph.constant("positions", table), graph.ints(0), length, graph.ints(1))
        total = graph.node("Add", graph.node("Add", words, segments), positions)
        return self.layer_norm("embeddings.LayerNorm", total)

    def attention_bias(self):
        """0 where a token may be looked at, a huge negative number where not: [batch, 1, 1, length]."""
        graph = self.graph
        mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        mask = graph.node("Unsqueeze", mask, graph.ints(1, 2))
        hidden = graph.node("Sub", graph.scalar("one", 1), mask)
        return graph.node("Mul", hidden, graph.scalar("masked", MASKED))

    def layer(self, name, tokens, mask):
        graph = self.graph
        attended = self.dense(f"{name}.attention.output.dense", self.attention(f"{name}.attention.self", tokens, mask))
        tokens = self.layer_norm(f"{name}.attention.output.LayerNorm", graph.node("Add", attended, tokens))
        inner = graph.node("Gelu", self.dense(f"{name}.intermediate.dense", tokens))
        outer = self.dense(f"{name}.output.dense", inner)
        return self.layer_norm(f"{name}.output.LayerNorm", graph.node("Add", outer, tokens))

    def attention(self, name, tokens, mask):
        graph = self.graph
        size = self.hidden // self.heads
        query = self.split_heads(self.dense(f"{name}.query", tokens), [0, 2, 1, 3])
        key = self.split_heads(self.dense(f"{name}.key", tokens), [0, 2, 3, 1])
        value = self.split_heads(self.dense(f"{name}.value", tokens), [0, 2, 1, 3])
        scores = graph.node("Mul", graph.node("MatMul", query, key), graph.scalar("scale", size**-0.5))
        shares = graph.node("Softmax", graph.node("Add", scores, mask), axis=-1)
        mixed = graph.node("Transpose", graph.node("MatMul", shares, value), perm=[0, 2, 1, 3])
        return graph.node("Reshape", mixed, graph.ints(0, 0, self.hidden))

    def split_heads(self, tokens, order):
        """[batch, length, hidden] to [batch, length, heads, size], its axes then put in this order."""
        graph = self.graph
        shape = graph.ints(0, 0, self.heads, self.hidden // self.heads)
        return graph.node("Transpose", graph.node("Reshape", tokens, shape), perm=order)

    def dense(self, name, tokens):
        graph = self.graph
        matrix = graph.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        return graph.node("Add", graph.node("MatMul", tokens, matrix), self.weight(f"{name}.bias"))

    def layer_norm(self, name, tokens):
        scale, shift = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.graph.node("LayerNormalization", tokens, scale, shift, axis=-1, epsilon=self.epsilon)

    def weight(self, name):
        return self.graph.constant(name, self.weights[name])


def model(config, weights):
    """The whole model, ready to be checked and saved."""
    graph = Encoder(config, weights).build()
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ROWS) for name in INPUTS]
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [*ROWS, config["hidden_size"]])
    constants = list(graph.constants.values())
    return helper.make_model(
        helper.make_graph(graph.nodes, "encoder", inputs, [output], constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="inferneo",
    )


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    exported = model(config, load_file(folder / "model.safetensors"))
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, folder / "model.onnx")


if __name__ == "__main__":
    main()
