"""The update of an optimizer in PyTorch on the CPU, fused, to compare `downpour bench apply` with.

usage: torch_apply.py OPTIMIZER [PARAMETERS] [THREADS] [--steps N] [--warmup N]

OPTIMIZER is momentum (SGD with momentum 0.9) or adam, on one flat float32 tensor. Prints one line with milliseconds
of the median update (ms) and CPU milliseconds of the mean one (cpu_ms).
"""

import argparse
import statistics
import time

import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("optimizer", choices=["momentum", "adam"])
    parser.add_argument("parameters", type=int, nargs="?", default=25_000_000)
    parser.add_argument("threads", type=int, nargs="?", default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    weights = torch.rand(options.parameters, requires_grad=True)
    weights.grad = torch.rand(options.parameters) * 0.01
    if options.optimizer == "momentum":
        optimizer = torch.optim.SGD([weights], lr=0.001, momentum=0.9, fused=True)
    else:
        optimizer = torch.optim.Adam([weights], lr=0.001, fused=True)

    times, cpu = [], []
    for step in range(options.warmup + options.steps):
        start, cpu_start = time.perf_counter(), time.process_time()
        optimizer.step()
        if step >= options.warmup:
            times.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
    print(
        f"torch-apply optimizer={options.optimizer} parameters={options.parameters} "
        f"threads={torch.get_num_threads()} ms={statistics.median(times) * 1000:.4f} "
        f"cpu_ms={statistics.mean(cpu) * 1000:.4f}"
    )


if __name__ == "__main__":
    main()
