"""Writes check/fuzz/seeds/: small inputs that reach every branch of the readers. Run as: python3 seeds.py FOLDER; Python 3 alone."""
import gzip, io, json, os, pickle, struct, sys, tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../cli"))
from event_file import field, varint

folder = sys.argv[1]


def write(kind, name, data):
    os.makedirs(os.path.join(folder, kind), exist_ok=True)
    with open(os.path.join(folder, kind, name), "wb") as file:
        file.write(data)


ARRAY = (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
         b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x18" + struct.pack("<6f", *range(6)) + b"tb")
write("pickle", "array", b"\x80\x02" + ARRAY + b".")
write("pickle", "data", pickle.dumps({"a": [1, -2, 300, 70000, 2**40, 2**80, 1.5, None, True, False, "text", b"bytes", b"", (), (1,), (1, 2, 3, 4)]}, 2))
write("pickle", "ordered", b"\x80\x02ccollections\nOrderedDict\n](]](U\x01aK\x01ee\x85R}U\x09_metadata}sb.")
write("pickle", "persistent", b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04NtQK\x00K\x04\x85K\x01\x85\x89"
      b"ccollections\nOrderedDict\n)RtR.")
write("pickle", "shared", b"\x80\x02]q\x01(h\x01h\x01eq\x02r\x00\x01\x00\x00j\x00\x01\x00\x00a.")
write("pickle", "python2", b"\x80\x02(I-12\nT\x03\x00\x00\x00abcc_codecs\nencode\nX\x02\x00\x00\x00\xc3\xbfX\x06\x00\x00\x00latin1\x86Rt.")
layer = b"}(U\x06params}U\x01W" + ARRAY + b"su"
write("neon", "layers", b"\x80\x02}(U\x05model}U\x06config}U\x06layers](" + layer + b"}U\x06config}U\x06layers](" + layer + b"esse" + b"ssU\x0bepoch_indexK\xb4u.")


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


write("safetensors", "empty", safetensors({}))
write("safetensors", "two", safetensors({"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
                                         "b": {"dtype": "BF16", "shape": [1], "data_offsets": [24, 26]}}, bytes(26)))
write("safetensors", "sealed", safetensors({"__metadata__": {"selfsame_seal": "0" * 64}}))

# Archives as fuzz_archive.c reads them, manifests, and a batch with its labels and images in short, as fuzz_cifar10.c does.
for name, form in ("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for entry, size in ("box/first", 100), ("box/second", 2000), ("box/third", 3):
            about = tarfile.TarInfo(entry)
            about.size = size
            if form == tarfile.PAX_FORMAT:
                about.pax_headers = {"comment": "x" * 40}
            tar.addfile(about, io.BytesIO(bytes(size)))
        link = tarfile.TarInfo("box/second")
        link.type, link.linkname = tarfile.SYMTYPE, "/" + "l" * (50 if form == tarfile.USTAR_FORMAT else 150)
        tar.addfile(link)
    data = out.getvalue()
    write("archive", name, data)
    write("archive", name + ".gz", gzip.compress(data[:6144] + bytes(1024), mtime=0))
write("manifest", "inherits", b"inherit: quick/resnet20.yaml\nname: a\ntraining: {seeds: [1, 2], epochs: 3, schedule: {drop_epochs: [1, 2]}}\n"
      b"targets: [{metric: best_error, value: 1.5e0, tolerance: 0.25, source: \"it's\"}]\n")
write("manifest", "sources", b"inherit: msra/resnet20.yaml\ndataset:\n  archives:\n    - urls: [\"https://h/a\", 'file:///b']\n      bytes: 5\n      md5: '" + b"0" * 32
      + b"'\nweights: {urls: [\"http://h/w\"], sha256_prefix: \"12345678\", format: torch, note: |\n    text\n  }\n")
write("manifest", "other", b"inherit: akamaster/resnet20.yaml\ncurve: {file: a, column: b, source: c}\ndataset: {test_sha256: any, note: ''}\n")
write("cifar10", "batch", b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x0aM\x00\x0c\x86cnumpy\ndtype\nU\x02u1"
      b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89DtbU\x06labelsLu.")


# Event files as TensorBoard's writers make them, and CSV.
def event_record(data):  # its checksums are not looked at
    data = b"\x09" + struct.pack("<d", 1.7e9) + data
    return struct.pack("<Q", len(data)) + bytes(4) + data + bytes(4)


def summary(*parts):
    return field(5, field(1, b"".join(parts)))


version = event_record(field(3, b"brain.Event:2"))
setting = field(1, field(1, b"lr") + field(2, b"\x11" + struct.pack("<d", 0.1)))
write("import", "old", version + event_record(b"\x10\x01" + summary(field(1, b"val_error"), b"\x15" + struct.pack("<f", 50))))
write("import", "new", version + event_record(b"\x10\x01" + summary(field(1, b"val_error"), field(8, b"\x08\x01" + field(2, b"") + field(4, struct.pack("<f", 50)))))
      + event_record(summary(field(1, b"x"), field(8, b"\x08\x02" + field(6, struct.pack("<d", 5)))))
      + event_record(summary(field(1, b"_hparams_/session_start_info"), field(9, field(1, field(1, b"hparams") + field(2, field(3, setting) + field(4, b"\x08\x01")))))))
write("import", "csv", b"epoch,val_error,\"train_loss\"\r\n1,90,2.5\n2,80.5,\"\"\n")
write("import", "steps", b"\xef\xbb\xbfstep;val_loss\n1;nan\n2;1e3\n")
