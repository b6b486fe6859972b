import numpy as np
import pytest
from PIL import Image

from bench.pictures import Picture, load_pictures
from tests.bench.pictures import make_scene


def save(path, height=40, width=60, seed=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(make_scene(height, width, seed)).save(path)


def test_pictures_come_sorted_from_all_folders_and_nothing_else(tmp_path):
    save(tmp_path / "b.png")
    save(tmp_path / "a" / "c.PNG", seed=2)
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = load_pictures(tmp_path)
    assert [picture.name for picture in pictures] == ["a/c.PNG", "b.png"]
    assert pictures[1].area == 2400
    np.testing.assert_array_equal(pictures[1].pixels, make_scene(40, 60))


def test_limit_spreads_evenly(tmp_path):
    for index in range(6):
        save(tmp_path / f"{index}.png", seed=index)
    assert [picture.name for picture in load_pictures(tmp_path, 3)] == ["0.png", "2.png", "4.png"]


def test_short_side_keeps_the_shape(tmp_path):
    save(tmp_path / "wide.png", 40, 60)
    save(tmp_path / "tall.png", 90, 30)
    shapes = [picture.pixels.shape for picture in load_pictures(tmp_path, short_side=20)]
    assert shapes == [(60, 20, 3), (20, 30, 3)]


def test_grey_becomes_three_channels(tmp_path):
    Image.new("L", (4, 3), 77).save(tmp_path / "grey.png")
    (picture,) = load_pictures(tmp_path)
    assert picture.pixels.shape == (3, 4, 3)
    assert (picture.pixels == 77).all()


def test_identity_is_of_pixels_and_shape():
    pixels = make_scene(8, 4)
    assert Picture("a", pixels).identity == Picture("b", pixels.copy()).identity
    assert Picture("a", pixels).identity != Picture("a", pixels.reshape(4, 8, 3)).identity
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    assert Picture("a", pixels).identity != Picture("a", changed).identity


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        load_pictures(tmp_path)
