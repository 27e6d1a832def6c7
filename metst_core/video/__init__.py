"""Frames from video files and image folders, and back: RGB, one at a time, in order.

A frame is `uint8 (H, W, 3)`, RGB.  Nothing here holds more than a few frames, whatever the length of the
video.

**The reader and the writer are PyAV** (`av`: FFmpeg's libraries), for every film of the project; OpenCV reads and
writes single images.  Why, from `benchmarks/bench_films.py` and a comparison over 45 films:

* *Pixels* are those of OpenCV's reader to the bit (swscale with the same flags) for motion JPEG, which the synthetic
  sets are, MPEG-4, H.264, H.265, VP8, VP9, FFV1, PNG and raw films of 8 bits, rotated ones too.  They differ where
  OpenCV ignored what the file says: films that name the BT.709 matrix (mean 1 grey level, at most 10), 10 bits (at
  most 5), interlaced chroma.  AV1, which OpenCV's wheel cannot decode, is read.
* *Clock*: each frame has its presentation time; seconds count from where a player begins, so a picture that begins
  after its sound begins later.  Edit lists, pauses and B-frames come out as they are played.
* *Loss*: MP4 and MOV list every frame, and most codecs give a frame for each packet, so what cannot be decoded is
  counted and is an error; a container that is longer than its picture (a longer sound track) is none.
* *Writing*: OpenCV's wheel has no H.264 encoder; its MPEG-4 does not play in a browser and its VP8 takes ten times
  as long.  Here `.mp4` is H.264 (yuv420p, its index first), or VP9 where FFmpeg was built without x264.
* *Odd files*: only formats that hold films are opened (`containers`): no playlist, address or picture under another
  name.  The file is opened by Python, so any name will do.
* *Licence*: PyAV is BSD, its wheels carry FFmpeg with x264 and x265, which are under the GPL (2 or later).  This
  package does not pass the wheels on; who does (an image, an installer) has to keep to the GPL.  Wheels exist for
  Python 3.11 and later (one stable-ABI wheel for each system).  OpenCV's FFmpeg and PyAV's live side by side; on a
  Mac the loader warns that both have the classes of libavdevice, which nothing here uses.
"""

from metst_core.video.clock import nearest_in_map, resample_map, resampled_numbers, select_frames
from metst_core.video.containers import VIDEO_SUFFIXES
from metst_core.video.images import (
    IMAGE_SUFFIXES,
    decoded,
    files_of,
    list_images,
    natural_key,
    read_image,
    read_images,
    write_images,
)
from metst_core.video.reading import VideoInfo, announced_seconds, probe, read_frames, timestamps
from metst_core.video.writing import LOSSLESS_SUFFIXES, WRITABLE_SUFFIXES, write_video

__all__ = [
    "IMAGE_SUFFIXES",
    "LOSSLESS_SUFFIXES",
    "VIDEO_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "VideoInfo",
    "announced_seconds",
    "decoded",
    "files_of",
    "list_images",
    "natural_key",
    "nearest_in_map",
    "probe",
    "read_frames",
    "read_image",
    "read_images",
    "resample_map",
    "resampled_numbers",
    "select_frames",
    "timestamps",
    "write_images",
    "write_video",
]
