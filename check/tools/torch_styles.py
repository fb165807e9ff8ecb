"""Networks of depth 8 with random weights, built and named as other repositories do, and what PyTorch predicts with them.

    torch_styles.py OUT CIFAR_BIN IMAGES   writes OUT/STYLE.pth, OUT/STYLE.yaml and OUT/STYLE.txt (PyTorch's classes of the first IMAGES test images)"""
import collections, os, sys
import torch
from torch import nn

MANIFEST = """inherit: akamaster/resnet20.yaml
name: {style}
model: {{depth: 8, shortcut: {shortcut}, linear_bias: uniform}}
dataset: {{test_sha256: any}}
"""


class Block(nn.Module):
    """kuangliu's and torchvision's: they differ in what the projection is called."""

    def __init__(self, inputs, outputs, stride, shortcut):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.side = None
        if stride != 1:
            self.side = shortcut
            setattr(self, shortcut, nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)))

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        side = x if self.side is None else getattr(self, self.side)(x)
        return torch.relu(self.bn2(self.conv2(out)) + side)


class Net(nn.Module):
    def __init__(self, shortcut, linear, stem):
        super().__init__()
        self.names = linear, stem
        setattr(self, stem[0], nn.Conv2d(3, 16, 3, 1, 1, bias=False))
        setattr(self, stem[1], nn.BatchNorm2d(16))
        for stage, (inputs, outputs, stride) in enumerate(((16, 16, 1), (16, 32, 2), (32, 64, 2))):
            setattr(self, f"layer{stage + 1}", nn.Sequential(Block(inputs, outputs, stride, shortcut)))
        setattr(self, linear, nn.Linear(64, 10))

    def forward(self, x):
        linear, stem = self.names
        x = torch.relu(getattr(self, stem[1])(getattr(self, stem[0])(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return getattr(self, linear)(x.mean((2, 3)))


def randomize(net):
    generator = torch.Generator().manual_seed(5)
    for name, tensor in net.state_dict().items():
        if tensor.dim() > 1:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.dim() == 1:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3 + (1.0 if name.endswith("weight") else 0.0))


def images(folder, count):
    with open(os.path.join(folder, "test_batch.bin"), "rb") as file:
        data = torch.frombuffer(bytearray(file.read(count * 3073)), dtype=torch.uint8).reshape(count, 3073)
    x = data[:, 1:].reshape(count, 3, 32, 32).float() / 255
    return (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def order_only(state):
    """Names that say nothing, in the order of the modules."""
    out = collections.OrderedDict()
    for name, tensor in state.items():
        for old, new in (("layer", "part_"), (".conv1.", ".first.filter."), (".conv2.", ".second.filter."), (".bn1.", ".first.normal."),
                         (".bn2.", ".second.normal."), ("shortcut.0", "way.filter"), ("shortcut.1", "way.normal"), ("linear", "last")):
            name = name.replace(old, new)
        out[("begin.filter." if name.startswith("conv1") else "begin.normal." if name.startswith("bn1") else "") + name.removeprefix("conv1.").removeprefix("bn1.")] = tensor
    return out


def main():
    out, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.makedirs(out, exist_ok=True)
    styles = {"torchvision": (Net("downsample", "fc", ("conv1", "bn1")), dict), "kuangliu": (Net("shortcut", "linear", ("conv1", "bn1")), dict),
              "stem": (Net("downsample", "classifier", ("conv", "bn")), lambda state: {"epoch": 3, "model": {"module.net." + k: v for k, v in state.items()}}),
              "order": (Net("shortcut", "linear", ("conv1", "bn1")), order_only)}
    x = images(folder, count)
    for style, (net, wrap) in styles.items():
        randomize(net)
        net.eval()
        with torch.no_grad():
            predictions = net(x).argmax(1)
        torch.save(wrap(net.state_dict()), os.path.join(out, style + ".pth"))
        with open(os.path.join(out, style + ".txt"), "w") as file:
            file.write("".join(f"{p}\n" for p in predictions.tolist()))
        with open(os.path.join(out, style + ".yaml"), "w") as file:
            file.write(MANIFEST.format(style=style, shortcut="projection-bn"))


main()
