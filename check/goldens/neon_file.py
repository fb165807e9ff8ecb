"""Writes a network's weights as neon 1.2.1 did in 2016: a Python 2 pickle, protocol 2, of a description of layers with their arrays. It writes the opcodes that
cPickle of Python 2.7 and numpy write: str as SHORT_BINSTRING and BINSTRING, arrays through
numpy.core.multiarray._reconstruct, a memo that begins at 1. Needs Python 3 alone.

    neon_file.py WEIGHTS.safetensors OUT.p [CHANGE]

CHANGE makes a file that must be refused or that differs in form only: no-projection, two-linear, wide-conv, big-endian, fortran, states, call."""
import json, struct, sys


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = data[8 + length + begin:8 + length + end]
            tensors[name] = (entry["shape"], struct.unpack("<%df" % (len(raw) // 4), raw))
    return tensors


class Array:
    def __init__(self, rows, columns, values, order="<", fortran=False):
        if fortran:
            values = [values[r * columns + c] for c in range(columns) for r in range(rows)]
        self.shape, self.order, self.fortran = (rows, columns), order, fortran
        self.data = struct.pack("%s%df" % (order, len(values)), *values)


class Call:
    """What no file of weights needs."""


class Pickler:
    def __init__(self):
        self.out, self.memo = bytearray(b"\x80\x02"), 0

    def put(self):
        self.memo += 1
        self.out += b"q" + bytes([self.memo]) if self.memo < 256 else b"r" + struct.pack("<I", self.memo)

    def save(self, value):
        out = self.out
        if value is None:
            out += b"N"
        elif isinstance(value, bool):
            out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            if 0 <= value < 256:
                out += b"K" + bytes([value])
            elif -2**31 <= value < 2**31:
                out += b"J" + struct.pack("<i", value)
            else:
                out += b"I%d\n" % value
        elif isinstance(value, float):
            out += b"G" + struct.pack(">d", value)
        elif isinstance(value, (str, bytes)):
            data = value.encode() if isinstance(value, str) else value
            out += b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data
            self.put()
        elif isinstance(value, tuple):
            if len(value) > 3:
                out += b"("
            for item in value:
                self.save(item)
            out += (b")", b"\x85", b"\x86", b"\x87")[len(value)] if len(value) <= 3 else b"t"
            if value:
                self.put()
        elif isinstance(value, list):
            out += b"]"
            self.put()
            for start in range(0, len(value), 1000):
                self.out += b"("
                for item in value[start:start + 1000]:
                    self.save(item)
                self.out += b"e"
        elif isinstance(value, dict):
            out += b"}"
            self.put()
            if value:
                self.out += b"("
                for key, item in value.items():
                    self.save(key)
                    self.save(item)
                self.out += b"u"
        elif isinstance(value, Array):
            out += b"cnumpy.core.multiarray\n_reconstruct\n"
            self.put()
            out += b"cnumpy\nndarray\n"
            self.put()
            self.save((0,))
            self.save("b")
            out += b"\x87"
            self.put()
            out += b"R"
            self.put()
            out += b"(K\x01"
            self.save(value.shape)
            out += b"cnumpy\ndtype\n"
            self.put()
            self.save("f4")
            out += b"K\x00K\x01\x87"
            self.put()
            out += b"R"
            self.put()
            out += b"(K\x03"
            self.save(value.order)
            out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
            self.put()
            out += b"b"
            self.save(value.fortran)
            self.save(value.data)
            out += b"t"
            self.put()
            out += b"b"
        elif isinstance(value, Call):
            out += b"cos\nsystem\nU\x04true\x85R"
        else:
            raise TypeError(value)


def conv(tensors, name, swap=False):
    """(K, C, R, S) to (C R S, K), and R, G, B to B, G, R."""
    (filters, channels, height, width), values = tensors[name]
    area, rows = height * width, []
    for c in range(channels):
        source = channels - 1 - c if swap else c
        for s in range(area):
            rows += [values[(k * channels + source) * area + s] for k in range(filters)]
    return channels * area, filters, rows


def layers_of(tensors, change):
    fortran = change == "fortran"

    def array(rows, columns, values):
        return Array(rows, columns, values, fortran=fortran)

    def weights(kind, rows, columns, values):
        layer = {"type": "neon.layers.layer." + kind, "config": {"name": kind, "init": {"type": "neon.initializers.initializer.Kaiming", "config": {}}},
                 "params": {"W": array(rows, columns, values)}}
        if change == "states":
            layer["states"] = [array(rows, columns, [0.0] * (rows * columns))]
        return layer

    def norm(prefix):
        column = lambda name: array(len(tensors[prefix + name][1]), 1, list(tensors[prefix + name][1]))
        return {"type": "neon.layers.layer.BatchNorm", "config": {"rho": 0.9, "eps": 0.001},
                "params": {"beta": column(".bias"), "gmean": column(".running_mean"), "gamma": column(".weight"), "gvar": column(".running_var")}}

    def activation():
        return {"type": "neon.layers.layer.Activation", "config": {"transform": {"type": "neon.transforms.activation.Rectlin", "config": {}}}}

    layers = [weights("Convolution", *conv(tensors, "conv1.weight", swap=True)), norm("bn1"), activation()]
    blocks = sum(name.startswith("layer1.") and name.endswith(".conv1.weight") for name in tensors)
    for stage in (1, 2, 3):
        for block in range(blocks):
            name = "layer%d.%d." % (stage, block)
            main = {"type": "neon.layers.container.Sequential", "container": True, "config": {"layers": [
                weights("Convolution", *conv(tensors, name + "conv1.weight")), norm(name + "bn1"), activation(),
                weights("Convolution", *conv(tensors, name + "conv2.weight")), norm(name + "bn2")]}}
            paths = [main]
            if name + "shortcut.0.weight" in tensors and not (change == "no-projection" and stage == 2):
                paths.insert(0, weights("Convolution", *conv(tensors, name + "shortcut.0.weight")))
            layers += [{"type": "neon.layers.container.ResidualModule", "container": True, "config": {"layers": paths}}, activation()]
    layers.append({"type": "neon.layers.layer.Pooling", "config": {"fshape": 8, "op": "avg"}})
    linear = weights("Linear", 10, 64, list(tensors["linear.weight"][1]))
    layers += [linear, norm("bn_logits"), {"type": "neon.layers.layer.Activation", "config": {"transform": {"type": "Softmax", "config": {}}}}]
    if change == "two-linear":
        layers.append(linear)
    if change == "wide-conv":
        layers[0] = weights("Convolution", 28, 16, [0.0] * 28 * 16)
    if change == "big-endian":
        layers[0]["params"]["W"] = Array(27, 16, [0.0] * 27 * 16, order=">")
    return layers


def main():
    tensors, change = read_safetensors(sys.argv[1]), sys.argv[3] if len(sys.argv) > 3 else ""
    model = {"neon_version": "1.2.1+385483881e", "backend": {"type": "gpu", "compat_mode": None, "rng_seed": 4294967296, "rng_state": (1, [2, 3], 0.5, True)},
             "optimizer": {"type": "neon.optimizers.optimizer.GradientDescentMomentum", "config": {"learning_rate": 0.1, "wdecay": 0.0001}},
             "model": {"type": "neon.layers.container.Sequential", "container": True, "config": {"layers": layers_of(tensors, change)}},
             "epoch_index": 180, "train_input_shape": (3, 32, 32)}
    if change == "call":
        model["cost"] = Call()
    pickler = Pickler()
    pickler.save(model)
    with open(sys.argv[2], "wb") as file:
        file.write(pickler.out + b".")


main()
