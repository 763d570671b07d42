"""SummaryWriter: values of a training run, for TensorBoard."""

from __future__ import annotations

import importlib
import itertools
import os
import socket
import time
from datetime import datetime
from typing import Any

import tensorboardX
from tensorboardX import embedding, onnx_graph, utils
from tensorboardX import summary as theirs
from tensorboardX.proto.event_pb2 import Event, SessionLog

from funnn.torch.utils.tensorboard import summary as ours
from funnn.torch.utils.tensorboard.summary import array, pixels, plain


class FileWriter(tensorboardX.FileWriter):
    """Writes records to a file of events in ``log_dir``."""

    _numbers = itertools.count()

    def __init__(self, log_dir: Any, max_queue: int = 10, flush_secs: int = 120, filename_suffix: str = ""):
        # A name that no other writer of this second has: tensorboardX would let the two write into one file.
        super().__init__(str(log_dir), max_queue, flush_secs, f".{os.getpid()}.{next(self._numbers)}{filename_suffix}")


class SummaryWriter:
    """Writes what is added to files of events that TensorBoard shows; also a context manager, which closes it.

    The methods take Tensors, NumPy and JAX arrays, with a ``global_step`` and a ``walltime`` (seconds since 1970, now by default).

    Args:
      log_dir: the folder; by default ``runs/`` with the time, the host's name and ``comment``.
      purge_step: TensorBoard forgets what was written before from this step on, as after a crash.
      max_queue: how many records wait before they are written.
      flush_secs: how many seconds they wait at most.
      filename_suffix: the end of the files' names.
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ):
        self.log_dir = log_dir or os.path.join("runs", f"{datetime.now():%b%d_%H-%M-%S}_{socket.gethostname()}{comment}")
        self.purge_step, self.max_queue, self.flush_secs, self.filename_suffix = purge_step, max_queue, flush_secs, filename_suffix
        self.file_writer: FileWriter | None = None
        self.all_writers: dict[str, FileWriter] | None = None
        self._get_file_writer()
        positive = [1e-12]
        while positive[-1] * 1.1 < 1e20:
            positive.append(positive[-1] * 1.1)
        self.default_bins = [-limit for limit in reversed(positive)] + [0] + positive

    def _get_file_writer(self) -> FileWriter:
        """The writer, opened again after ``close``."""
        if self.file_writer is None:
            self.file_writer = self._open(self.log_dir)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                self.file_writer.add_event(Event(step=self.purge_step, file_version="brain.Event:2"))
                self.file_writer.add_event(Event(step=self.purge_step, session_log=SessionLog(status=SessionLog.START)))
                self.purge_step = None
        return self.file_writer

    def _open(self, folder: Any) -> FileWriter:
        return FileWriter(folder, self.max_queue, self.flush_secs, self.filename_suffix)

    def _write(self, record: Any, step: Any = None, walltime: float | None = None, tag: str | None = None) -> None:
        if tag is not None:  # as it was given: tensorboardX puts _ for characters that PyTorch lets pass
            record.value[0].tag = tag
        self._get_file_writer().add_summary(record, step, walltime)

    def get_logdir(self) -> Any:
        """The folder."""
        return self.log_dir

    def add_hparams(
        self,
        hparam_dict: dict,
        metric_dict: dict,
        hparam_domain_discrete: dict | None = None,
        run_name: str | None = None,
        global_step: Any = None,
    ) -> None:
        """A set of hyperparameters with the metrics that it led to, as a run of its own, by default named by the time."""
        records = ours.hparams(hparam_dict, metric_dict, hparam_domain_discrete)
        folder = os.path.join(self._get_file_writer().get_logdir(), run_name or str(time.time()))
        with SummaryWriter(log_dir=folder) as writer:
            for record in records:
                writer._write(record, global_step)
            for name, value in metric_dict.items():
                writer.add_scalar(name, value, global_step)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number."""
        self._write(ours.scalar(tag, scalar_value, new_style, double_precision), global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: Any = None, walltime: float | None = None) -> None:
        """Numbers for one chart, each as a run of its own."""
        walltime = time.time() if walltime is None else walltime
        base = f"{self._get_file_writer().get_logdir()}/{main_tag.replace('/', '_')}_"
        for tag, value in tag_scalar_dict.items():
            if base + tag not in self.all_writers:
                self.all_writers[base + tag] = self._open(base + tag)
            self.all_writers[base + tag].add_summary(ours.scalar(main_tag, value), global_step, walltime)

    def add_tensor(self, tag: str, tensor: Any, global_step: Any = None, walltime: float | None = None) -> None:
        """All values of a Tensor."""
        self._write(ours.tensor_proto(tag, tensor), global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How values are distributed; ``bins`` is "tensorflow" (steps of 10 %), or numpy.histogram's."""
        limits = self.default_bins if isinstance(bins, str) and bins == "tensorflow" else bins
        self._write(theirs.histogram(tag, array(values), limits, max_bins=max_bins), global_step, walltime, tag)

    def add_histogram_raw(
        self,
        tag: str,
        min: Any,
        max: Any,
        num: Any,
        sum: Any,
        sum_squares: Any,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """A histogram that was counted elsewhere: the upper limits of the bins, and their counts."""
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError(f"bucket_limits and bucket_counts need one length, got {len(bucket_limits)} != {len(bucket_counts)}")
        numbers = map(plain, (min, max, num, sum, sum_squares, bucket_limits, bucket_counts))
        self._write(theirs.histogram_raw(tag, *numbers), global_step, walltime)

    def add_image(
        self, tag: str, img_tensor: Any, global_step: Any = None, walltime: float | None = None, dataformats: str = "CHW"
    ) -> None:
        """An image of type uint8, or of floats from 0 to 1; ``dataformats`` names the dimensions: CHW, HWC or HW."""
        self._write(theirs.image(tag, pixels(img_tensor), dataformats=dataformats), global_step, walltime, tag)

    def add_images(
        self, tag: str, img_tensor: Any, global_step: Any = None, walltime: float | None = None, dataformats: str = "NCHW"
    ) -> None:
        """Images side by side, as ``add_image`` takes them."""
        self.add_image(tag, img_tensor, global_step, walltime, dataformats)

    def add_image_with_boxes(
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Any = None,
    ) -> None:
        """An image and boxes (N, 4) in it, as x₁ y₁ x₂ y₂, with ``labels``, if there is one for each."""
        labels = [labels] if isinstance(labels, str) else labels
        labels = labels if labels is not None and len(labels) == len(box_tensor) else None
        record = theirs.image_boxes(tag, pixels(img_tensor), array(box_tensor), rescale, dataformats, labels)
        self._write(record, global_step, walltime)

    def add_figure(self, tag: str, figure: Any, global_step: Any = None, close: bool = True, walltime: float | None = None) -> None:
        """A figure of matplotlib, or a list of them side by side, as an image."""
        importlib.import_module("matplotlib.backends.backend_agg")  # without it tensorboardX's error is an obscure one
        image = utils.figure_to_image(figure, close)
        self.add_image(tag, image, global_step, walltime, "NCHW" if isinstance(figure, list) else "CHW")

    def add_video(self, tag: str, vid_tensor: Any, global_step: Any = None, fps: float = 4, walltime: float | None = None) -> None:
        """Videos (N, T, C, H, W) side by side, by the package moviepy."""
        video = array(vid_tensor)
        self._write(theirs.video(tag, video if video.dtype == "uint8" else video.clip(0, 1), fps), global_step, walltime, tag)

    def add_audio(
        self, tag: str, snd_tensor: Any, global_step: Any = None, sample_rate: int = 44100, walltime: float | None = None
    ) -> None:
        """A sound (1, L) with values from −1 to 1."""
        self._write(ours.audio(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None) -> None:
        """A text in Markdown."""
        self._write(theirs.text(tag, text_string), global_step, walltime)

    def add_onnx_graph(self, prototxt: Any) -> None:
        """The graph in a file of ONNX, by the package onnx."""
        self._get_file_writer().add_onnx_graph(onnx_graph.load_onnx_graph(prototxt))

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True) -> None:
        """Raises NotImplementedError: there is no TorchScript graph to write; its text says how to write a table of the model instead."""
        raise NotImplementedError(
            "SummaryWriter.add_graph is not supported: there is no TorchScript graph to write; write the table instead, with "
            "writer.add_text('graph', f'<pre>{funnn.summary(model, input_to_model)}</pre>')"
        )

    def add_embedding(
        self,
        mat: Any,
        metadata: Any = None,
        label_img: Any = None,
        global_step: Any = None,
        tag: str = "default",
        metadata_header: Any = None,
    ) -> None:
        """Points (N, D) for the projector, with a label (or a row of them, under ``metadata_header``) and an image (N, C, H, W) for each."""
        points, images = array(mat), None if label_img is None else array(label_img)
        if points.ndim != 2:
            raise AssertionError(f"mat should be 2D, where mat.size(0) is the number of data points, but has shape {points.shape}")
        for what, given in (("labels", metadata), ("images", images)):
            if given is not None and len(given) != len(points):
                raise AssertionError(f"#{what} should equal with #data points, got {len(given)} and {len(points)}")
        step, folder = global_step or 0, self._get_file_writer().get_logdir()
        name = tag.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")
        subfolder = f"{step:0>5}/{name}"
        path = os.path.join(folder, subfolder)
        if os.path.isdir(path):
            print("warning: Embedding dir exists, did you set global_step for add_embedding()?")
        os.makedirs(path, exist_ok=True)
        if metadata is not None:
            embedding.make_tsv(metadata, path, metadata_header)
        if images is not None:
            embedding.make_sprite(images, path)
        embedding.make_mat(points, path)
        embedding.append_pbtxt(metadata, images, folder, subfolder, step, tag)

    def add_pr_curve(
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Precision and recall of ``predictions``, probabilities, against binary ``labels``."""
        self._write(theirs.pr_curve(tag, array(labels), array(predictions), num_thresholds, plain(weights)), global_step, walltime)

    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: Any = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """A curve that was computed elsewhere, a value for each threshold."""
        counts = (true_positive_counts, false_positive_counts, true_negative_counts, false_negative_counts)
        record = theirs.pr_curve_raw(tag, *map(plain, (*counts, precision, recall)), num_thresholds, plain(weights))
        self._write(record, global_step, walltime)

    def add_custom_scalars_multilinechart(self, tags: list[str], category: str = "default", title: str = "untitled") -> None:
        """A chart of several scalars."""
        self.add_custom_scalars({category: {title: ["Multiline", tags]}})

    def add_custom_scalars_marginchart(self, tags: list[str], category: str = "default", title: str = "untitled") -> None:
        """A chart of a scalar between two others: its tag, the lower one's and the upper one's."""
        if len(tags) != 3:
            raise AssertionError(f"Expected 3 tags, got {len(tags)}.")
        self.add_custom_scalars({category: {title: ["Margin", tags]}})

    def add_custom_scalars(self, layout: dict[str, dict[str, list]]) -> None:
        """Charts by category and title: ``["Multiline", tags]`` or ``["Margin", [value, lower, upper]]``."""
        self._write(theirs.custom_scalars(layout))

    def add_mesh(
        self,
        tag: str,
        vertices: Any,
        colors: Any = None,
        faces: Any = None,
        config_dict: dict | None = None,
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Points in space (B, N, 3), with colours 0 … 255 (B, N, 3) and triangles between them (B, M, 3)."""
        self._write(ours.mesh(tag, vertices, colors, faces, config_dict), global_step, walltime)

    def flush(self) -> None:
        """Write to disk what waits."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Write what waits, and close the files; adding afterwards opens new ones."""
        self.flush()
        for writer in (self.all_writers or {}).values():
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()
