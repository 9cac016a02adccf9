"""The way from the specimen to the file: shading, lost resolution, noise, contrast, JPEG."""

from __future__ import annotations

import cv2
import numpy as np

from .appearance import Appearance
from .noise import noise_field
from .streams import Streams


def take_picture(
    image: np.ndarray, appearance: Appearance, streams: Streams, section_number: int
) -> np.ndarray:
    """Return the picture (H, W) float32 in [0, 1] as a microscope, a print and a file give it.

    Settings belong to the series, the noise to the section.
    """
    settings, grain = streams.at("optics"), streams.at("grain", section_number)
    image = _shade(image, appearance, settings)
    image = _blur(image, appearance, settings, grain)
    deviation = settings.uniform(*appearance.noise) * settings.random() ** 0.5
    image = image + noise_field(grain, 0, image.shape) * np.float32(deviation)
    image = _tone(image, appearance, settings)
    return _compress(image, appearance, settings)


def _shade(image: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> np.ndarray:
    """Tilt the brightness over the frame, and stripe it faintly as film scanners do."""
    size = len(image)
    slopes = rng.uniform(-1, 1, 2) * rng.uniform(*appearance.shading) * (rng.random() < 0.6)
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    factor = 1 + np.float32(slopes[0]) * ramp[None] + np.float32(slopes[1]) * ramp[:, None]
    if rng.random() < 0.5 and appearance.shading[1] > 0:
        factor = factor + noise_field(rng, 3, (1, size)) * np.float32(rng.uniform(0, 0.012))
    return image * factor


def _blur(
    image: np.ndarray,
    appearance: Appearance,
    rng: np.random.Generator,
    grain: np.random.Generator,
) -> np.ndarray:
    """Lose resolution: saved smaller, out of focus, or neither; then at times oversharpened."""
    way, strength = rng.random(), rng.uniform(*appearance.blur)
    size, unit = len(image), len(image) / 256
    if strength <= 0:
        return image
    if way < 0.45:
        small = int(size * (0.95 - 0.45 * strength))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:
            deviation = rng.uniform(0, 0.75) * rng.uniform(*appearance.noise)
            image = image + noise_field(grain, 0, image.shape) * np.float32(deviation)
        way_back = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_LINEAR
        image = cv2.resize(image, (size, size), interpolation=way_back)
    elif way < 0.8:
        image = cv2.GaussianBlur(image, (0, 0), (0.4 + 0.7 * strength) * unit)
    if rng.random() < 0.45:
        soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 1.6) * unit)
        image = image + (image - soft) * np.float32(rng.uniform(0.2, 1.5))
    return image


def _tone(image: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> np.ndarray:
    """Stretch the contrast, up to resin blown out to white, and bend it with a gamma."""
    amount, way = rng.uniform(*appearance.contrast), rng.random()
    low, high, gain, shift, gamma = rng.random(5)
    if way < 0.28:
        low, high = 0.12 * low * amount, 1 - (0.05 + 0.33 * high) * amount
        image = (image - low) / (high - low)
    elif way < 0.65:
        image = (
            (image - 0.5) * (1 + amount * (0.5 * gain - 0.25)) + 0.5 + 0.2 * amount * (shift - 0.5)
        )
    image = np.clip(image, 0, 1)
    if rng.random() < 0.5:
        image = image ** np.float32(1 + amount * (0.9 * gamma - 0.35))
    return image.astype(np.float32, copy=False)


def _compress(image: np.ndarray, appearance: Appearance, rng: np.random.Generator) -> np.ndarray:
    """Save as JPEG and read back, at times."""
    quality = int(rng.uniform(45, 95))
    if rng.random() >= appearance.jpeg:
        return image
    _, packed = cv2.imencode(
        ".jpg", np.uint8(image * 255 + 0.5), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(np.float32) / np.float32(255)
