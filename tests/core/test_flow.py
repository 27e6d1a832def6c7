"""The flow kernels against OpenCV's own call, to the last bit where OpenCV has the bits of reference (4.11, x86-64).

Of other builds two differences are known.  OpenCV 5.1 on x86-64 resizes float images with other last bits, which
changes flow where an image has a second pyramid level (64 pixels or more in both directions); one level is equal to
the bit.  Builds with fused multiply-add throughout (ARM) round everything differently.  There the tests ask for
`flow.TOLERANCE` where pictures have texture, and for equality on average where they have none.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metst_core import flow, flow_cpu
from metst_core.errors import InputError
from metst_core.flow import FlowFrom, box_flow, opencv_flow

X86 = platform.machine().lower() in ("x86_64", "amd64")
REFERENCE_BITS = "1d8f997cc01f52e0abe2ed784ecbe8eb30fa0da83a72d9360cc51ddf591f535c"
"""SHA-256 of the flow of OpenCV 4.11.0 (x86-64, AVX2) on `flow._probe()`."""

Pair = tuple[np.ndarray, np.ndarray]


def shrunk(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A float32 picture as the kernels resize it for a pyramid."""
    plane = flow._plane(flow_cpu.POLY_N + height)
    flow_cpu.shrink(picture, height, width, plane)
    rows = plane.reshape(-1, flow_cpu.PITCH)[flow_cpu.POLY_N :]
    return rows[:, flow_cpu.PAD : flow_cpu.PAD + width]


def opencv_shrinks_alike() -> bool:
    picture = np.random.default_rng(0).uniform(0, 255, (69, 187)).astype(np.float32)
    return np.array_equal(shrunk(picture, 34, 94), cv2.resize(picture, (94, 34)))


def texture(rng: np.random.Generator, h: int, w: int, sigma: float, contrast: float = 255) -> np.ndarray:
    noise = rng.normal(size=(h, w)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigma) if sigma else noise
    low, high = noise.min(), noise.max()
    return (127.5 + contrast * ((noise - low) / max(high - low, 1e-6) - 0.5)).astype(np.uint8)


def moved(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    shift = np.array([[1, 0, dx], [0, 1, dy]], float)
    return cv2.warpAffine(image, shift, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


def warped(rng: np.random.Generator, image: np.ndarray, size: float) -> np.ndarray:
    """Moved by a smooth random field of up to `size` pixels, under sensor noise of two grey levels."""
    h, w = image.shape
    fields = [
        cv2.GaussianBlur(rng.normal(size=(h, w)).astype(np.float32), (0, 0), max(3, w / 6)) for _ in "xy"
    ]
    dx, dy = (field * size / max(np.abs(field).max(), 1e-6) for field in fields)
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    out = cv2.remap(image, columns + dx, rows + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(out + rng.normal(0, 2, out.shape), 0, 255).astype(np.uint8)


def random_pictures() -> Iterator[Pair]:
    rng = np.random.default_rng(1)
    for h, w in ((44, 26), (36, 93), (31, 62), (69, 188), (45, 124), (110, 160), (64, 64), (67, 101)):
        for sigma in (0, 1, 2, 4):
            image = texture(rng, h, w, sigma)
            for size in (0.3, 1, 8):
                yield image, warped(rng, image, size)


def tiny_odd_and_large() -> Iterator[Pair]:
    """From one pixel over both sides of every limit (10 pixels, one pyramid level more, 320) to beyond."""
    rng = np.random.default_rng(2)
    lengths = (1, 2, 5, 9, 10, 11, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 257, 320, 321)
    for h in lengths:
        for w in lengths:
            image = texture(rng, h, w, 1.5)
            yield image, moved(image, *rng.uniform(-2, 2, 2))


def shifted_out_of_the_image() -> Iterator[Pair]:
    """Displacements far out of the image, and images that have nothing to do with each other."""
    rng = np.random.default_rng(3)
    for h, w in ((36, 93), (69, 188), (44, 26)):
        for sigma in (1, 3):
            image = texture(rng, h, w, sigma)
            for shift in (10, 25, 60):
                yield image, moved(image, shift, -shift / 2)
            yield image, texture(rng, h, w, sigma)


def with_little_texture() -> Iterator[Pair]:
    """The same image twice, flat ones, faint ones, steps, stripes (aperture problem), half noise and half faint."""
    rng = np.random.default_rng(4)
    for h, w in ((36, 93), (69, 188)):
        flat, image = np.full((h, w), 200, np.uint8), texture(rng, h, w, 1)
        faint = texture(rng, h, w, 3, contrast=4)
        stripes = np.broadcast_to(np.uint8(127 + 120 * np.sin(np.arange(w) / 3)), (h, w)).copy()
        step = np.where(np.arange(w) < w // 2, 0, 255).astype(np.uint8) * np.ones((h, 1), np.uint8)
        half = np.where(np.arange(h)[:, None] < h // 2, texture(rng, h, w, 0.7), faint)
        yield image, image
        yield flat, flat
        yield flat, flat // 2
        for each in (faint, stripes, step, half):
            yield each, moved(each, 0.6, 0.3)
            yield each, warped(rng, each, 1)


def check(before: np.ndarray, after: np.ndarray, textured: bool = True) -> None:
    ours, theirs = box_flow(before, after), opencv_flow(before, after)
    assert ours.shape == theirs.shape == (*before.shape, 2) and ours.dtype == np.float32
    outside = min(before.shape) < flow.SHORTEST or before.shape[1] > flow.WIDEST
    one_level = min(before.shape) < 2 * flow.MIN_LEVEL
    if outside or (X86 and (one_level or opencv_shrinks_alike())):
        assert np.array_equal(ours, theirs), (before.shape, np.abs(ours - theirs).max())
    elif textured:
        assert np.abs(ours - theirs).max() <= flow.TOLERANCE, before.shape
    else:
        assert np.abs(ours - theirs).mean() <= 0.02, before.shape


@pytest.mark.parametrize("pictures", [random_pictures, tiny_odd_and_large, shifted_out_of_the_image])
def test_equals_opencv(pictures):
    for before, after in pictures():
        check(before, after)


def test_equals_opencv_where_there_is_little_texture():
    for before, after in with_little_texture():
        check(before, after, textured=False)


@settings(max_examples=60)
@given(
    st.integers(1, 80), st.integers(1, 130), st.integers(0, 2**32 - 1), st.floats(-90, 90), st.floats(-90, 90),
    st.sampled_from([0, 1, 3]), st.booleans(),
)  # fmt: skip
def test_equals_opencv_for_any_size_shift_and_grain(height, width, seed, dx, dy, grain, unrelated):
    rng = np.random.default_rng(seed)
    before = texture(rng, height, width, grain)
    check(before, texture(rng, height, width, grain) if unrelated else moved(before, dx, dy))


@pytest.mark.skipif(not X86, reason="the bits of reference are those of x86-64")
def test_gives_the_bits_of_reference_whatever_opencv_is_installed():
    """Those that OpenCV 4.11 gives on a picture with two pyramid levels and an odd size."""
    assert flow.has_kernels()
    assert hashlib.sha256(box_flow(*flow._probe()).tobytes()).hexdigest() == REFERENCE_BITS


def test_what_is_left_to_opencv_is_not_the_rule():
    """All of the above would hold of OpenCV's own call as well; here it must not be the one that answers."""
    assert FlowFrom(np.zeros((10, 320), np.uint8))._pyramid
    assert not FlowFrom(np.zeros((9, 320), np.uint8))._pyramid
    assert not FlowFrom(np.zeros((10, 321), np.uint8))._pyramid


def test_known_shift():
    """A picture moved by (1.5, -1) has that flow, away from its edges."""
    before = texture(np.random.default_rng(5), 90, 120, 3)
    found = box_flow(before, moved(before, 1.5, -1))[20:-20, 20:-20].reshape(-1, 2)
    np.testing.assert_allclose(np.median(found, axis=0), (1.5, -1), atol=0.05)


def test_the_constants_are_the_inverse_of_the_moments_gram_matrix():
    """Of 1, xx, yy in the first place; x and xy stand alone (Farnebäck's normal equations, weights G(x) G(y))."""
    g, x = np.concatenate([flow_cpu.G[:0:-1], flow_cpu.G]).astype(float), np.arange(-7, 8)
    m0, m2, m4 = g.sum() ** 2, (g * x**2).sum() * g.sum(), (g * x**4).sum() * g.sum()
    mixed = (g * x**2).sum() ** 2
    inverse = np.linalg.inv([[m0, m2, m2], [m2, m4, mixed], [m2, mixed, m4]])
    wanted = 1 / m2, inverse[0, 1], inverse[1, 1], 1 / mixed
    np.testing.assert_allclose(
        (flow_cpu.LINEAR, flow_cpu.OFFSET, flow_cpu.SQUARE, flow_cpu.MIXED), wanted, rtol=1e-6
    )
    parameters = flow_cpu.WINDOW, flow_cpu.ITERATIONS, flow_cpu.POLY_N, flow_cpu.POLY_SIGMA
    assert parameters == tuple(flow.FARNEBACK[n] for n in ("winsize", "iterations", "poly_n", "poly_sigma"))
    assert flow.WIDEST == flow_cpu.WIDEST


def test_threads_and_cut_out_images():
    """Several threads may use one `FlowFrom`, and images may be parts of larger ones."""
    rng = np.random.default_rng(6)
    crop, later = texture(rng, 320, 320, 2), texture(rng, 320, 320, 2)
    boxes = [(slice(a, a + 30 + a // 2), slice(a, a + 20 + a)) for a in range(0, 150, 6)]
    starts = [FlowFrom(crop[box]) for box in boxes]
    alone = [start.to(later[box]) for start, box in zip(starts, boxes, strict=True)]
    with ThreadPoolExecutor(2) as pool:
        jobs = list(zip(starts, boxes, strict=True)) * 4
        both = list(pool.map(lambda job: job[0].to(later[job[1]]), jobs))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 4, both, strict=True))
    copies = [FlowFrom(crop[box].copy()).to(later[box].copy()) for box in boxes]
    assert all(np.array_equal(a, b) for a, b in zip(alone, copies, strict=True))


def test_later_changes_of_the_first_image_change_nothing():
    """Also where OpenCV, which fits the polynomials only later, computes the flow."""
    for size in ((40, 40), (8, 40)):
        before = texture(np.random.default_rng(7), *size, 2)
        after = moved(before, 1, 0)
        start, wanted = FlowFrom(before), box_flow(before.copy(), after)
        before[:] = 0
        assert np.array_equal(start.to(after), wanted)


@pytest.mark.parametrize(
    "after", [np.zeros((40, 41), np.uint8), np.zeros((40, 40), np.float32), np.zeros((40, 40, 3), np.uint8)]
)
def test_other_shapes_and_types_are_errors(after):
    with pytest.raises(InputError, match=r"\(h, w\) of one size in uint8"):
        FlowFrom(np.zeros((40, 40), np.uint8)).to(after)


class TestFallback:
    @pytest.fixture(autouse=True)
    def _forget_what_was_tried(self):
        flow.has_kernels.cache_clear()
        yield
        flow.has_kernels.cache_clear()

    def test_kernels_that_cannot_be_compiled(self, monkeypatch):
        def fail(*args):
            raise ImportError("no numba today")

        before = texture(np.random.default_rng(8), 40, 50, 2)
        monkeypatch.setattr(flow, "flow_kernels", fail)
        with pytest.warns(RuntimeWarning, match="no numba today"):
            found = box_flow(before, moved(before, 1, 0))
        assert np.array_equal(found, opencv_flow(before, moved(before, 1, 0)))

    def test_kernels_that_disagree_with_opencv(self, monkeypatch):
        before = texture(np.random.default_rng(8), 40, 50, 2)
        wrong = flow._kernel_flow
        monkeypatch.setattr(flow, "_kernel_flow", lambda *args: wrong(*args) + np.float32(2 * flow.TOLERANCE))
        with pytest.warns(RuntimeWarning, match="pixels from OpenCV's flow"):
            found = box_flow(before, moved(before, 1, 0))
        assert np.array_equal(found, opencv_flow(before, moved(before, 1, 0)))


def test_numba_is_not_imported_before_flow_is_wanted():
    """It takes half a second, which `metst --help` should not wait for."""
    code = "import sys, metst_core.motion; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_features_of_rendered_clips_are_equal(tmp_path, monkeypatch):
    """All of `extract_motion`, boxes and all, with OpenCV's call in place of the kernels."""
    pytest.importorskip("mediapipe")
    from metst_core import motion
    from metst_core.landmarks import MediaPipeLandmarker
    from metst_core.synthetic import generate
    from metst_core.video import read_frames

    class FromOpenCV:
        def __init__(self, before):
            self.before = before.copy()

        def to(self, after):
            pairs.append((self.before, after))
            return opencv_flow(self.before, after)

    pairs: list[Pair] = []
    dataset = generate(tmp_path, n_subjects=1, n_videos=1, seconds=2.5, seed=7, version=1, progress=False)
    frames, landmarker = np.stack(list(read_frames(dataset.videos["path"][0]))), MediaPipeLandmarker()
    ours = motion.extract_motion(frames, landmarker)
    monkeypatch.setattr(motion, "FlowFrom", FromOpenCV)
    theirs = motion.extract_motion(frames, landmarker)
    assert len(pairs) > 500 and ours.any()
    for before, after in pairs:
        check(before, after)
    if X86 and opencv_shrinks_alike():
        assert np.array_equal(ours, theirs)
    np.testing.assert_allclose(ours, theirs, atol=flow.TOLERANCE)
