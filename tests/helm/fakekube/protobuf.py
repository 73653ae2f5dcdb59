"""Reads the protobuf form of the few objects that Helm sends in it: its own Secrets, and options of deletes.

Fields are those of Kubernetes' generated.proto files: k8s.io/apimachinery/pkg/runtime, …/meta/v1, k8s.io/api/core/v1.
"""

import base64

# What every object in this form begins with.
MAGIC = b"k8s\0"


def decode(body):
    """The object in `body`, as JSON would have it; without content where its kind is not known here."""
    unknown = fields(body[len(MAGIC) :])
    type_meta = fields(unknown[1][0])
    document = {"apiVersion": text(type_meta, 1), "kind": text(type_meta, 2)}
    if document["kind"] != "Secret":
        return document
    secret = fields(unknown[2][0])
    metadata = fields(secret[1][0])
    document["metadata"] = {"name": text(metadata, 1), "labels": mapping(metadata, 11, bytes.decode)}
    if 6 in metadata:
        document["metadata"]["resourceVersion"] = text(metadata, 6)
    document["data"] = mapping(secret, 2, lambda value: base64.b64encode(value).decode())
    document["type"] = text(secret, 3) or "Opaque"
    return document


def fields(message):
    """The values of each field number, in order: integers, or bytes."""
    found, place = {}, 0
    while place < len(message):
        tag, place = varint(message, place)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, place = varint(message, place)
        else:
            length, place = varint(message, place) if wire_type == 2 else ({1: 8, 5: 4}[wire_type], place)
            value, place = message[place : place + length], place + length
        found.setdefault(number, []).append(value)
    return found


def varint(message, place):
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def text(message, number):
    return message.get(number, [b""])[-1].decode()


def mapping(message, number, value):
    entries = [fields(entry) for entry in message.get(number, [])]
    return {text(entry, 1): value(entry.get(2, [b""])[-1]) for entry in entries}
