"""Pictures as people and programs send them become 32 by 32 pixels of RGB, or say why not."""

import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_model.decoding import decode
from cnn_model.failures import BadDataError


def png(pixels: np.ndarray, mode: str | None = None, **options: Any) -> bytes:
    return saved(Image.fromarray(pixels) if mode is None else Image.fromarray(pixels).convert(mode), **options)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_right_size_and_colours_come_back_to_the_bit() -> None:
    pixels = noise(32, 32, 3)
    np.testing.assert_array_equal(decode(png(pixels)), pixels)


def test_larger_picture_is_cut_to_its_middle_square_and_reduced() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = (200, 100, 50)  # the middle square; left and right of it black
    np.testing.assert_array_equal(decode(png(pixels)), np.broadcast_to([200, 100, 50], (32, 32, 3)))


def test_smaller_picture_is_enlarged() -> None:
    small = np.zeros((8, 8, 3), np.uint8)
    small[:, 4:] = 255
    image = decode(png(small))
    assert image.shape == (32, 32, 3)
    assert image[:, 1].max() < 30
    assert image[:, 30].min() > 225


def test_reducing_averages_instead_of_skipping_pixels() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(decode(png(stripes)).astype(int) - 127).max() <= 3


def test_grey_values_go_into_all_channels() -> None:
    grey = noise(32, 32)
    np.testing.assert_array_equal(decode(png(grey)), np.repeat(grey[..., None], 3, axis=2))


def test_grey_values_of_16_bits_are_scaled_and_not_cut_off() -> None:
    grey = (np.arange(32 * 32, dtype=np.uint16) * 64).reshape(32, 32)
    image = decode(png(grey))
    np.testing.assert_array_equal(image[..., 0], grey >> 8)


def test_transparency_is_laid_on_white() -> None:
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:16, :, 3] = 255
    image = decode(png(pixels))
    assert (image[:16] == 0).all()
    assert (image[16:] == 255).all()


def test_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    image = Image.new("P", (32, 32))
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.paste(1, (0, 0, 32, 16))
    decoded = decode(saved(image, transparency=0))
    assert (decoded[:16] == (200, 0, 0)).all()
    assert (decoded[16:] == 255).all()


def test_orientation_of_the_camera_is_applied() -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: bright on the right
    image = decode(saved(Image.fromarray(pixels), "JPEG", exif=exif, quality=100))
    assert image[:, 18:].min() > 200
    assert image[:, :14].max() < 55


def bomb() -> bytes:
    """A PNG that says that it has 100,000 by 100,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither a PNG nor a JPEG"),
        (b"no picture at all", "neither a PNG nor a JPEG"),
        (png(noise(32, 32, 3))[:600], "damaged"),
        (saved(Image.fromarray(noise(32, 32, 3)), "JPEG")[:300], "damaged"),
        (saved(Image.fromarray(noise(32, 32, 3)), "GIF"), "neither a PNG nor a JPEG"),
        (saved(Image.fromarray(noise(32, 32, 3)), "BMP"), "neither a PNG nor a JPEG"),
        (png(noise(32, 7, 3)), "7 by 32 pixels; expected at least 8"),
        (saved(Image.new("CMYK", (32, 32)), "JPEG"), "colour space CMYK"),
        (
            saved(Image.new("RGB", (32, 32)), save_all=True, append_images=[Image.new("RGB", (32, 32), "red")]),
            "animated",
        ),
        (bomb(), "pixels"),
    ],
    ids=["empty", "text", "cut-png", "cut-jpeg", "gif", "bmp", "small", "cmyk", "animated", "bomb"],
)
def test_what_gives_no_picture_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(BadDataError, match=reason):
        decode(data)


def test_any_damaged_file_is_unreadable_or_a_picture() -> None:
    rng = np.random.default_rng(0)
    for data in (png(noise(32, 32, 3)), saved(Image.fromarray(noise(40, 40, 3)), "JPEG"), png(noise(32, 32), "P")):
        for _ in range(150):
            damaged = bytearray(data)
            for place in rng.integers(0, min(len(data), 200), 3):
                damaged[place] = rng.integers(0, 256)
            with suppress(BadDataError):  # and nothing else
                assert decode(bytes(damaged)).shape == (32, 32, 3)
