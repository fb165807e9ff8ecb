"""One network's weights in the forms in which people have them, for check/cli/weights.sh.

    torch_cases.py IN.safetensors OUT"""
import argparse, collections, io, os, pickle, sys, zipfile
import numpy
import torch
from torch_weights import read_safetensors

weights, out = read_safetensors(sys.argv[1]), sys.argv[2]
os.makedirs(out, exist_ok=True)


def renamed(change):
    return collections.OrderedDict((change(name), tensor) for name, tensor in weights.items())


def save(name, value, **options):
    torch.save(value, os.path.join(out, name + ".pth"), **options)


save("compiled", renamed(lambda name: "_orig_mod.module." + name))
save("lightning", {"state_dict": {**renamed(lambda name: "model.backbone." + name), "loss.weight": torch.ones(10)}, "epoch": 3, "hyper_parameters": {"lr": 0.1}})
save("ema-key", {"ema_weights": weights, "epoch": 2})
optimizer = torch.optim.SGD([torch.nn.Parameter(tensor.clone()) for tensor in weights.values()], lr=0.1, momentum=0.9)
for parameter in optimizer.param_groups[0]["params"]:
    parameter.grad = torch.ones_like(parameter)
optimizer.step()
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[100, 150])
save("resumable", {"epoch": 3, "model": weights, "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()})
save("namespace", {"state_dict": weights, "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"))})
save("sparse-beside", {"state_dict": weights, "mask": torch.eye(3).to_sparse()})
save("expanded-beside", {"state_dict": weights, "class_weights": torch.ones(1).expand(10)})
save("accuracy", {"state_dict": weights, "best": torch.tensor(0.9278, dtype=torch.float64), "best_numpy": numpy.float64(0.9278)})
attributes = collections.OrderedDict((name, torch.nn.Parameter(tensor.clone())) for name, tensor in weights.items())
attributes["conv1.weight"].no_weight_decay = True
save("parameter-attribute", attributes)
save("protocol3", weights, pickle_protocol=3)
save("protocol5", {"state_dict": weights}, pickle_protocol=5, _use_new_zipfile_serialization=False)
save("copies", {**renamed(lambda name: "ema." + name), **weights, "total_ops": torch.zeros(1, dtype=torch.float64)})
with zipfile.ZipFile(os.path.join(out, "compiled.pth")) as old, zipfile.ZipFile(os.path.join(out, "deflated.pth"), "w", zipfile.ZIP_DEFLATED) as new:
    for item in old.infolist():
        new.writestr(item.filename, old.read(item))
with open(os.path.join(out, "pickled.pth"), "wb") as file:
    pickle.dump(weights, file)
arrays = {name: numpy.asfortranarray(tensor.numpy()) for name, tensor in weights.items()}
with open(os.path.join(out, "arrays.pkl"), "wb") as file:
    pickle.dump(arrays, file, protocol=5)
numpy.savez_compressed(os.path.join(out, "arrays.npz"), **arrays)

save("float64", collections.OrderedDict((name, tensor.double() * (1 + 1e-12)) for name, tensor in weights.items()))
save("two", {"student": weights, "teacher": weights.copy()})
save("extra", {**weights, "head.weight": torch.ones(3, 3)})
save("strange", collections.OrderedDict(sorted(renamed(lambda name: name.replace("conv1", "eins").replace("conv2", "zwei")).items(), reverse=True)))
save("module", torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3)))
