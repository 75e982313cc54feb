"""Synchronous data-parallel training in PyTorch on this machine, to compare `downpour bench cluster` with.

usage: torch_ddp.py MODEL RANKS [BATCH] [bf16] [--cores 0,1] [--seconds S] [--warmup N] [--warmup-seconds S]
    [--height H --width W --channels C --classes N]

One process per rank, each with one thread, DistributedDataParallel over gloo: a step computes the gradient of a batch
of made-up images at each rank, averages the gradients of all ranks, and updates with SGD and momentum. The networks
are those of torch_step.py. With --cores, rank i runs on the i-th core of the list, round and round. Prints one line
with images per second of all ranks together (img/s) and CPU milliseconds of a rank's step (cpu_ms).
"""

import argparse
import os
import socket
import time

import torch
from torch import distributed, multiprocessing
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch_step import ZOO, build


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def train(rank, options, port):
    if options.cores:
        os.sched_setaffinity(0, {options.cores[rank % len(options.cores)]})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=options.ranks)
    torch.manual_seed(1)
    usual = ZOO[options.model][1]
    height, width, channels = (
        given or default for given, default in zip((options.height, options.width, options.channels), usual)
    )
    network = DistributedDataParallel(build(options.model, height, width, channels, options.classes))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    torch.manual_seed(rank)
    images = (torch.rand(options.batch, channels, height, width) - 0.5) * 12**0.5
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, options.classes, (options.batch,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.precision == "bf16"):
            loss = functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()

    # The slowest rank tells how many steps make the time that is wanted, so that all take the same number.
    for _ in range(options.warmup):
        step()
    start = time.perf_counter()
    for _ in range(options.warmup):
        step()
    taken = torch.tensor([time.perf_counter() - start])
    distributed.all_reduce(taken, op=distributed.ReduceOp.MAX)
    steps_in = lambda seconds: round(seconds * options.warmup / taken.item())
    for _ in range(steps_in(options.warmup_seconds)):
        step()
    steps = max(options.warmup, steps_in(options.seconds))

    distributed.barrier()
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    cpu = torch.tensor([time.process_time() - cpu_start])
    distributed.barrier()
    seconds = time.perf_counter() - start
    distributed.all_reduce(cpu)
    if rank == 0:
        speed = options.ranks * options.batch * steps / seconds
        cpu_ms = 1000 * cpu.item() / options.ranks / steps
        print(
            f"torch-ddp model={options.model} ranks={options.ranks} batch={options.batch} img/s={speed:.2f} "
            f"cpu_ms={cpu_ms:.3f}",
            flush=True,
        )
    distributed.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=sorted(ZOO))
    parser.add_argument("ranks", type=int)
    parser.add_argument("batch", type=int, nargs="?", default=64)
    parser.add_argument("precision", nargs="?", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warmup", type=int, default=4)
    parser.add_argument("--warmup-seconds", type=float, default=0)
    for size in ("height", "width", "channels"):
        parser.add_argument(f"--{size}", type=int)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    multiprocessing.spawn(train, (options, free_port()), nprocs=options.ranks)


if __name__ == "__main__":
    main()
