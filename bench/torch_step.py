"""A training step without its update in PyTorch on the CPU, to compare `downpour bench compute` with.

usage: torch_step.py MODEL [BATCH] [THREADS] [bf16] [--height H --width W --channels C --classes N] [--steps N] [--warmup N]

The networks are those of this project's zoo, layer by layer, in PyTorch's channels-last layout. A step computes the
loss of made-up images and the gradient of every parameter, which is then in host memory. Prints one line with
images per second by the median step (img/s), CPU milliseconds of the median step (cpu_ms) and the first loss.
"""

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside an identity; where shapes change, every second pixel and channels of zeros."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.stride = stride
        self.added = channels_out - channels_in
        self.main = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )

    def forward(self, x):
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.added > 0:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.added))
        return torch.relu(self.main(x) + shortcut)


def lenet5(channels, side):
    # The first convolution pads in place of the images, if those are smaller than the paper's 32x32.
    padding = 2 if side < 32 else 0
    features = [
        *(nn.Conv2d(channels, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
    ]
    return features, [120, 84]


def cifar_cnn(channels, _side):
    features = []
    for before, after in [(channels, 32), (32, 64)]:
        features += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        features += [nn.Conv2d(after, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return [*features, nn.Flatten()], [256]


def resnet20(channels, _side):
    features = [nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    before = 16
    for after, stride in [(16, 1), (32, 2), (64, 2)]:
        for block in range(3):
            features.append(ResidualBlock(before, after, stride if block == 0 else 1))
            before = after
    return [*features, nn.AdaptiveAvgPool2d(1), nn.Flatten()], []


# name -> (function of channels and shorter side to: layers up to flat features, widths of hidden dense layers;
# usual height, width, channels)
ZOO = {
    "lenet5": (lenet5, (28, 28, 1)),
    "cifar-cnn": (cifar_cnn, (32, 32, 3)),
    "resnet20": (resnet20, (32, 32, 3)),
}


def build(name, height, width, channels, classes):
    layers, hidden = ZOO[name][0](channels, min(height, width))
    with torch.no_grad():
        units = nn.Sequential(*layers)(torch.zeros(2, channels, height, width)).shape[1]
    for after in hidden:
        layers += [nn.Linear(units, after), nn.ReLU()]
        units = after
    return nn.Sequential(*layers, nn.Linear(units, classes)).to(memory_format=torch.channels_last)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=sorted(ZOO))
    parser.add_argument("batch", type=int, nargs="?", default=64)
    parser.add_argument("threads", type=int, nargs="?", default=1)
    parser.add_argument("precision", nargs="?", choices=["float32", "bf16"], default="float32")
    for size in ("height", "width", "channels"):
        parser.add_argument(f"--{size}", type=int)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=4)
    options = parser.parse_args()

    usual = ZOO[options.model][1]
    height, width, channels = (
        given or default for given, default in zip((options.height, options.width, options.channels), usual)
    )
    torch.set_num_threads(options.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(1)
    network = build(options.model, height, width, channels, options.classes)
    images = (torch.rand(options.batch, channels, height, width) - 0.5) * 12**0.5
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, options.classes, (options.batch,))

    def step():
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            loss = functional.cross_entropy(network(images), labels)
        loss.backward()
        gradients = [parameter.grad.numpy() for parameter in network.parameters()]
        return loss.item(), gradients

    losses = [step()[0] for _ in range(options.warmup)]
    wall, cpu = [], []
    for _ in range(options.steps):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        losses.append(step()[0])
        wall.append(time.perf_counter() - wall_start)
        cpu.append(time.process_time() - cpu_start)
    print(
        f"torch-step model={options.model} batch={options.batch} threads={torch.get_num_threads()} "
        f"precision={options.precision} img/s={options.batch / statistics.median(wall):.2f} "
        f"cpu_ms={statistics.median(cpu) * 1000:.3f} loss={losses[0]:.6f}"
    )


if __name__ == "__main__":
    main()
