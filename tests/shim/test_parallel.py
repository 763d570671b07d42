"""torch.nn.parallel and torch.distributed with one process: everything passes through."""

import datetime
import multiprocessing
import sys
import warnings

import pytest
import torch
from twin import same, same_error

import funnn.torch as shim


@pytest.fixture(autouse=True)
def own_excepthook(monkeypatch):
    """torch's init_process_group puts its own in place, for good."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


@pytest.fixture
def group(tmp_path):
    """Begin a group of one process in a library, and end it after the test."""
    begun = []

    def begin(library):
        place = tmp_path / library.__name__
        library.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=0, world_size=1)
        begun.append(library)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's of its own deprecations
        yield begin
    for library in begun:
        library.distributed.destroy_process_group()
        assert not library.distributed.is_initialized()


def test_modules_pass_through(group):
    def program(torch):
        group(torch)
        x, results = torch.randn(4, 3), []
        for make in (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel):
            model = make(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)))
            print(model, list(model.state_dict()), model.training)
            y = model(x)
            y.sin().sum().backward()
            results += [y, list(model.module.parameters()), model.state_dict()]
            print(model.load_state_dict(model.state_dict()))
        with model.no_sync():
            print(model.require_backward_grad_sync)
            model(x).sum().backward()
        print(model.require_backward_grad_sync)
        with model.join():
            results.append(model.eval()(x))
        return results, list(model.parameters())

    same(program)
    same_error(lambda t: t.nn.parallel.DistributedDataParallel(t.nn.ReLU()), RuntimeError, "any parameter that requires a gradient")
    same_error(
        lambda t: t.nn.parallel.DistributedDataParallel(t.nn.Linear(1, 1)).register_comm_hook(None, None), TypeError, "must be callable"
    )


def test_a_hook_says_what_becomes_of_gradients(group):
    def program(torch):
        group(torch)
        model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 2))

        def hook(state, bucket):
            print(
                bucket.index(), bucket.is_last(), bucket.buffer().shape, [one.shape for one in bucket.gradients()], len(bucket.parameters())
            )
            future = torch.futures.Future()
            future.set_result(bucket.buffer() * state)
            return future

        model.register_comm_hook(3.0, hook)
        model(torch.ones(2, 3)).sum().backward()
        return model.module.weight.grad

    same(program)


def test_operations_of_a_group(group):
    def program(torch):
        dist = torch.distributed
        print(dist.is_available(), dist.is_initialized(), dist.is_torchelastic_launched())
        group(torch)
        print(dist.is_initialized(), dist.get_rank(), dist.get_world_size(), dist.get_backend(), dist.group.WORLD is not None)
        print(dist.barrier(), dist.get_rank(dist.new_group([0])), dist.get_world_size(dist.new_group()))
        x, results = torch.arange(4.0), []
        print(
            dist.all_reduce(x), dist.all_reduce(x, op=dist.ReduceOp.MAX, async_op=True).wait(), dist.broadcast(x, src=0), dist.reduce(x, 0)
        )
        listed, objects = [torch.zeros(4)], [None]
        print(dist.all_gather(listed, x), dist.all_gather_object(objects, {"a": 1}), dist.broadcast_object_list(objects, src=0), objects)
        results.append(listed)
        listed = [torch.zeros(4)]
        dist.gather(x, listed, dst=0)
        results.append(listed)
        for call, source in (
            (dist.scatter, [x]),
            (dist.reduce_scatter, [x]),
            (dist.all_gather_into_tensor, x),
            (dist.reduce_scatter_tensor, x),
            (dist.all_to_all_single, x),
        ):
            results.append(torch.zeros(4))
            call(results[-1], source)
        return x, results

    same(program)
    same_error(lambda t: t.distributed.send(t.ones(1), 0), ValueError, "destination rank should not be the same as the rank")
    same_error(lambda t: t.distributed.init_process_group("gloo"), ValueError, "trying to initialize the default process group twice")


@pytest.mark.parametrize("name", ["get_rank", "get_world_size", "get_backend", "barrier", "new_group"])
def test_without_a_group(name):
    same_error(lambda t: getattr(t.distributed, name)(), ValueError, "Default process group has not been initialized")


def test_beginnings(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    same_error(
        lambda t: t.distributed.init_process_group("gloo"), ValueError, "environment variable (RANK|WORLD_SIZE) expected, but not set"
    )
    same_error(lambda t: t.distributed.destroy_process_group(), AssertionError, "Process group cannot be None")
    same_error(
        lambda t: t.nn.parallel.DistributedDataParallel(t.nn.Linear(1, 1)), ValueError, "Default process group has not been initialized"
    )
    for options, error, text in (
        ({"rank": 2, "world_size": 2}, ValueError, "expected rank to be from 0 to world_size - 1 = 1, got 2"),
        ({"rank": 0, "world_size": 0}, ValueError, "expected world_size to be 1 or more, got 0"),
        ({"rank": 0, "world_size": 2, "init_method": "http://x"}, RuntimeError, "No rendezvous handler for http://"),
        ({"rank": 0, "world_size": 2, "init_method": "tcp://127.0.0.1"}, ValueError, "port number missing"),
        ({"rank": 0, "world_size": 1, "timeout": 3}, TypeError, "Expected timeout argument to be of type datetime.timedelta, got 3"),
        ({"store": shim.distributed.HashStore()}, AssertionError, "world_size must be positive if using store"),
    ):
        with pytest.raises(error, match=text):
            shim.distributed.init_process_group("gloo", **options)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    shim.distributed.init_process_group()
    assert shim.distributed.get_world_size() == 1
    shim.distributed.destroy_process_group()


def test_parts_and_replicas():
    """torch has these for GPUs alone; here they are the formulas."""
    from funnn.torch.nn.parallel.scatter_gather import scatter_kwargs

    x, parallel = shim.arange(6.0).reshape(3, 2), shim.nn.parallel
    parts = parallel.scatter(({"a": x}, [x, 3]), [0, 1])
    assert [part[0]["a"].tolist() for part in parts] == [[[0, 1], [2, 3]], [[4, 5]]] and parts[1][1][1] == 3
    assert parallel.gather([part[0] for part in parts], 0)["a"].tolist() == x.tolist()
    assert parallel.gather([x[:1], x[1:]], 0).tolist() == x.tolist() and parallel.gather([x[0, 0], x[0, 1]], 0).tolist() == [0, 1]
    assert [len(part) for part in scatter_kwargs((x,), {"y": x}, [0, 1])] == [2, 2]
    model = shim.nn.Linear(2, 1)
    copies = parallel.replicate(model, [0, 1])
    assert copies[0] is not model and copies[1].weight is model.weight
    results = parallel.parallel_apply(copies, [x, (x,)])
    assert parallel.data_parallel(model, x).tolist() == results[0].tolist()
    (results[0].sum() + results[1].sum()).backward()
    assert model.weight.grad.tolist() == [[12.0, 18.0]]
    with pytest.raises(AssertionError, match="The number of modules 2"):
        parallel.parallel_apply(copies, [x])


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"drop_last": True, "seed": 3}, {"drop_last": True, "shuffle": False}])
@pytest.mark.parametrize(("size", "replicas"), [(10, 3), (9, 3), (2, 5)])
def test_distributed_sampler(size, replicas, options):
    def program(torch):
        samplers = [torch.utils.data.DistributedSampler(range(size), replicas, rank, **options) for rank in range(replicas)]
        first = [list(sampler) for sampler in samplers]
        for sampler in samplers:
            sampler.set_epoch(2)
        return first, [list(sampler) for sampler in samplers], [len(sampler) for sampler in samplers]

    same(program)


def test_distributed_sampler_in_a_loader(group):
    def program(torch):
        data = torch.utils.data
        group(torch)
        return [batch.tolist() for batch in data.DataLoader(torch.arange(5), batch_size=2, sampler=data.DistributedSampler(range(5)))]

    same(program)
    same_error(lambda t: t.utils.data.DistributedSampler(range(3), 2, 2), ValueError, "Invalid rank 2, rank should be in the interval")
    assert torch.utils.data.distributed.DistributedSampler.__name__ == shim.utils.data.distributed.DistributedSampler.__name__


def test_multiprocessing_is_pythons():
    ours = shim.multiprocessing
    assert ours.Process is multiprocessing.Process and ours.Queue == multiprocessing.Queue and ours.get_sharing_strategy() == "file_system"
    assert ours.spawn(print, (), nprocs=2, join=True, start_method="spawn") is None
    with pytest.raises(ours.ProcessRaisedException, match=r"-- Process 0 terminated with the following error:[\s\S]*TypeError"):
        ours.spawn(int, ("x",), start_method="spawn")
    with pytest.raises(ours.ProcessExitedException, match="process 0 terminated with exit code 5"):
        ours.start_processes(_exit_with_5)


def _exit_with_5(number):
    sys.exit(5)


def test_names_of_backends():
    def program(torch):
        dist = torch.distributed
        print(
            dist.get_default_backend_for_device("cpu"),
            dist.get_default_backend_for_device(torch.device("cpu")),
            dist.is_backend_available("GLOO"),
        )
        print(dist.is_backend_available("mpi"), repr(dist.ReduceOp.SUM), str(dist.ReduceOp.MAX), dist.supports_complex(dist.ReduceOp.SUM))

    same(program)
    same_error(
        lambda t: t.distributed.get_default_backend_for_device("meta"), ValueError, "Default backend not registered for device : meta"
    )


def test_stores():
    def program(torch):
        dist = torch.distributed
        for store in (dist.HashStore(), dist.TCPStore("127.0.0.1", 0, 1, True), dist.PrefixStore("in", dist.HashStore())):
            store.set("a", "x")
            print(store.get("a"), store.add("n", 2), store.add("n", 3), store.check(["a", "n"]), store.check(["a", "b"]))
            print(
                store.compare_set("a", "no", "z"),
                store.compare_set("a", "x", "z"),
                store.get("a"),
                store.delete_key("a"),
                store.check(["a"]),
            )
            store.set_timeout(datetime.timedelta(milliseconds=50))
            try:
                store.get("b")
            except dist.DistStoreError as error:
                print(type(error).__name__, "ait timeout" in str(error))

    same(program)


class LateProcess:
    """A process whose end is seen before its exit code is, as can happen between the two calls to the system."""

    def __init__(self):
        self.sentinel, other = multiprocessing.Pipe()
        other.close()
        self.exitcode = None

    def is_alive(self):
        self.exitcode = 3
        return False

    def join(self, timeout=None):
        self.exitcode = 3

    def terminate(self):
        pass


def test_an_exit_code_that_comes_late_is_seen():
    with pytest.raises(shim.multiprocessing.ProcessExitedException, match="terminated with exit code 3"):
        shim.multiprocessing.ProcessContext([LateProcess()]).join()
