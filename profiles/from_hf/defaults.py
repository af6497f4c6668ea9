"""Shapes of a transformers network's inputs, where a user gives none."""

from __future__ import annotations

import inspect
from typing import Any

from planner.errors import BadInputError
from profiles.from_hf.past import PAST_TOKENS, Shapes

DEFAULT_TOKENS = 128
DEFAULT_IMAGE_SIZE = 224
DEFAULT_SECONDS = 1  # of sound
DEFAULT_FRAMES = 128  # of a spectrogram, where the configuration names no length
_RATE = 16000  # samples a second, where the configuration does not say
_BANDS = ("num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim", "n_mels")
"""What configurations call the height of a spectrogram."""
_TILES = {"aspect_ratio_ids": 2, "aspect_ratio_mask": 3}
"""Inputs beside an image in tiles, with the number of their dimensions: batch, images, tiles."""
_MASKED = {"attention": "input_ids", "input_features": "input_features"}
"""Masks, and what they have a number for each entry of."""
_SERIES = ("past_values", "past_time_features", "past_observed_mask")


def input_shapes(network: Any, given: Shapes, batch: int | None, *, images: bool = True) -> Shapes:
    """Shapes of the inputs that the network runs with; what is given goes first.

    Without ``images``, a network of texts and images has its texts alone, unless some are given.

    Raises
    ------
    BadInputError
        An input has no default.
    """
    config = network.config
    shapes = {name: shape for name, shape in given.items() if name != PAST_TOKENS}
    taken = inspect.signature(network.forward).parameters
    main = str(network.main_input_name)
    wanted = [main] if main in taken else []
    wanted += [name for name, parameter in taken.items() if _is_needed(parameter)]
    if "input_ids" in (main, *shapes) and config.is_encoder_decoder:
        wanted.append("decoder_input_ids")
    if main.startswith("input_") and config.is_encoder_decoder and "decoder_input_ids" in taken:
        wanted.append("decoder_input_ids")
    if images and takes_images(network):
        wanted += ["pixel_values", *(name for name in _TILES if name in taken)]
    if main == "pixel_values" and "input_ids" in taken and "vision_config" not in vars(config):
        wanted.append("input_ids")
    for name in wanted:
        if name not in shapes:
            shapes[name] = _default_shape(name, config)
    if batch is not None:
        shapes = {name: (batch, *shape[1:]) for name, shape in shapes.items()}
    return shapes


def _is_needed(parameter: inspect.Parameter) -> bool:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in variable


def takes_images(network: Any) -> bool:
    """Whether a network of texts takes images as well."""
    config, taken = network.config, inspect.signature(network.forward).parameters
    sees = hasattr(config, "vision_config") or hasattr(config, "image_size")
    return network.main_input_name == "input_ids" and sees and "pixel_values" in taken


def _default_shape(name: str, config: Any) -> tuple[int, ...]:
    if name.endswith("input_ids"):
        most = getattr(config.get_text_config(), "max_position_embeddings", None)
        if not isinstance(most, int) or most < 1:  # some say -1
            most = DEFAULT_TOKENS
        return (1, min(DEFAULT_TOKENS, most))
    vision = getattr(config, "vision_config", config)
    tiles = getattr(vision, "max_num_tiles", 0)
    if name == "pixel_values" and tiles:
        return (1, 1, tiles, *_image(vision))
    if name in _TILES:
        return (1, 1, tiles)[: _TILES[name]]
    if name == "pixel_values_videos" or (name == "pixel_values" and hasattr(vision, "num_frames")):
        return (1, getattr(vision, "num_frames", 16), *_image(vision))
    if name == "pixel_values":
        return (1, *_image(vision))
    if name == "input_values":
        return _sound(config)
    if name == "input_features":
        return _spectrogram(getattr(config, "audio_config", config))
    if name.endswith("_mask") and name.removesuffix("_mask") in _MASKED:
        of = _default_shape(_MASKED[name.removesuffix("_mask")], config)
        return (of[0], of[1])
    if name in _SERIES and isinstance(getattr(config, "context_length", None), int):
        return _series(name, config)
    width = getattr(config.get_text_config(), "hidden_size", None)
    if name.endswith(("_embeds", "hidden_states")) and isinstance(width, int):
        return (1, DEFAULT_TOKENS, width)
    raise BadInputError(f"input {name!r} has no default shape: give --input-shape {name}=1,...")


def _series(name: str, config: Any) -> tuple[int, ...]:
    """Values of a series in time, as far back as the network looks, or what goes with each."""
    length = config.context_length + max(getattr(config, "lags_sequence", None) or [0])
    if name == "past_time_features":
        return (1, length, config.num_time_features)
    if hasattr(config, "num_input_channels"):
        return (1, length, config.num_input_channels)
    size = getattr(config, "input_size", 1)
    return (1, length) if size == 1 else (1, length, size)


def _image(config: Any) -> tuple[int, ...]:
    size = _image_size(config) or DEFAULT_IMAGE_SIZE
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return (getattr(config, "num_channels", 3), height, width)


def _image_size(config: Any) -> Any:
    """The configured size, of the network itself or of what it has inside for images."""
    own = getattr(config, "image_size", None)
    inside = getattr(config, "backbone_config", None)
    return own if own or inside is None else _image_size(inside)


def _sound(config: Any) -> tuple[int, ...]:
    """A second of samples, in channels where the network has them; or a whole spectrogram."""
    if (
        hasattr(config, "max_length")
        and hasattr(config, "num_mel_bins")
        and hasattr(config, "patch_size")
    ):
        return (1, config.max_length, config.num_mel_bins)
    samples = DEFAULT_SECONDS * (getattr(config, "sampling_rate", None) or _RATE)
    channels = getattr(config, "audio_channels", None) or getattr(config, "channels", None)
    if channels or hasattr(config, "codebook_size"):  # codecs take channels
        return (1, channels or 1, samples)
    return (1, samples)


def _spectrogram(config: Any) -> tuple[int, ...]:
    """Frames of a spectrogram, in the order that the network has them."""
    bands = next((found for name in _BANDS if (found := getattr(config, name, None))), 80)
    positions = getattr(config, "max_source_positions", None)
    if hasattr(config, "spec_size"):  # an image of it
        return (1, 1, 1001, bands)
    if positions and hasattr(config, "num_mel_bins"):  # bands first, two frames to a position
        return (1, bands, 2 * positions)
    return (1, DEFAULT_FRAMES, bands)
