"""One PNG or JPEG file becomes 32 by 32 pixels of red, green and blue. The rules stand in docs/drops.md.

The bytes come from anyone, so only two formats are read, sizes are looked at before pixels are, and whatever goes
wrong within Pillow is an unreadable picture and nothing worse.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cnn_model.data import IMAGE_SHAPE, Images
from cnn_model.failures import BadDataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".ppm")
"""Files that somebody takes for pictures. The content decides: those that are neither PNG nor JPEG are told of."""

FORMATS = ("PNG", "JPEG")

MAX_PIXELS = 64 * 10**6
"""More would take 200 MB and more to unpack; cameras stay below."""

MIN_SIDE = 8
"""Pixels. What is smaller would be invented rather than enlarged."""

MAX_FILE_BYTES = 64 * 2**20

_GREY_16_BIT = ("I;16", "I;16B", "I;16L", "I")
_WITH_ALPHA = ("LA", "PA", "RGBA")
_OPAQUE = ("1", "L", "P", "RGB")


def decode(data: bytes) -> Images:
    """The picture in a PNG or JPEG file.

    Turned as its EXIF orientation says; transparency is laid on white; grey values go into all three channels, those
    of 16 bits by their upper eight; then the largest square about the centre is resized with Pillow's Lanczos filter.
    An opaque picture of 32 by 32 pixels in RGB comes back to the bit.

    Returns:
        ndarray of shape (32, 32, 3), dtype=uint8, range [0, 255].

    Raises:
        BadDataError: if it is damaged, too large, too small, animated, or in another format or colour space; the
            message says which in a few words, to stand beside the file's name.
    """
    if len(data) > MAX_FILE_BYTES:
        raise BadDataError(f"{len(data):,} bytes; expected at most {MAX_FILE_BYTES:,}")
    try:
        # Pillow warns of what it can live with, such as odd metadata; what it cannot raises.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image)
                return _square(_in_rgb(ImageOps.exif_transpose(image)))
    except (BadDataError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise BadDataError("neither a PNG nor a JPEG file, or damaged at its beginning") from error
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise BadDataError(" ".join(f"damaged: {error or type(error).__name__}".split())) from error


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadDataError(f"{width} by {height} pixels; expected at most {MAX_PIXELS:,} in all")
    if min(width, height) < MIN_SIDE:
        raise BadDataError(f"{width} by {height} pixels; expected at least {MIN_SIDE} a side")
    if getattr(image, "n_frames", 1) > 1:
        raise BadDataError("animated; expected a single picture")


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _GREY_16_BIT:
        # Pillow's own conversion cuts off above 255 instead of scaling.
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in _WITH_ALPHA or (image.mode in _OPAQUE and "transparency" in image.info):
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    if image.mode not in _OPAQUE:
        raise BadDataError(f"colour space {image.mode}; expected RGB, grey or a palette")
    return image.convert("RGB")


def _square(image: Image.Image) -> Images:
    side = min(image.size)
    if image.size != IMAGE_SHAPE[:2]:
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).resize(
            IMAGE_SHAPE[:2], Image.Resampling.LANCZOS, reducing_gap=3.0
        )
    return np.asarray(image)  # (32, 32, 3)
