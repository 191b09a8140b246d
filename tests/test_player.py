"Clips to watch: what the page carries, what the GIF shows, and odd clips."

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from aslkit.competition import ASPECT, ParameterError
from aslkit.landmarks import LANDMARK_SETS
from aslkit.player import player, save_page, save_player

KIT = LANDMARK_SETS["kit"]
HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"> & <b>\u2028"


def walk(frames=12, seed=0):
    "A hand that opens and drifts, face and arms that tremble; the left hand is never seen, the right not at first."
    rng = np.random.default_rng(seed)
    points = rng.uniform(0.3, 0.7, (1, 130, 3)) + 0.01 * rng.normal(size=(frames, 130, 3))
    points[:, KIT.parts["right_hand"], 0] += 0.02 * np.arange(frames)[:, None]
    points[:, KIT.parts["left_hand"]] = np.nan
    points[: frames // 4, KIT.parts["right_hand"]] = np.nan
    return points


def clips_of(page):
    "What each player of a page was given, as the browser reads it."
    found = re.findall(r"aslkitPlayer\(root, (\{.*?\})\); \}\}\)\(\)</script>", page)
    return [json.loads(text) for text in found]


def points_of(clip):
    whole = np.frombuffer(base64.b64decode(clip["data"]), "<i2").reshape(clip["frames"], clip["points"], 2)
    return np.where(whole == clip["unseen"], np.nan, whole / clip["steps"]), clip["steps"]


def frames_of(path):
    "Every frame of a GIF as (height, width, 3), and how long each is shown, in milliseconds."
    with Image.open(path) as image:
        pictures, times = [], []
        for t in range(image.n_frames):
            image.seek(t)
            pictures.append(np.asarray(image.convert("RGB")))
            times.append(image.info["duration"])
        assert image.info["loop"] == 0
    return np.stack(pictures), times


class Words(HTMLParser):
    "Tags, and text outside of scripts."

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data if self.tags[-1:] != ["script"] else ""


# --- the page


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_page_carries_the_points(dtype):
    points = walk().astype(dtype)
    points[3, 60, 0] = np.inf  # what float16 makes of a point far outside
    page = player(points, KIT, "a title", fps=25)._repr_html_()
    (clip,) = clips_of(page)
    found, steps = points_of(clip)
    wanted = points[..., :2].astype("float64") * [1, ASPECT]
    wanted[3, 60] = np.nan
    np.testing.assert_allclose(found, wanted, rtol=0, atol=0.5 / steps + 1e-12)
    assert (clip["frames"], clip["points"], clip["fps"]) == (12, 130, 25)
    assert len(page) < 12_000 + len(clip["data"])


def test_every_bone_is_drawn_and_the_hands_differ():
    (clip,) = clips_of(player(walk(), KIT).html)
    drawn = {tuple(bone) for *_, bones in clip["strokes"] for bone in np.reshape(bones, (-1, 2)).tolist()}
    assert drawn == {tuple(bone) for bone in KIT.bones.tolist()}
    fingers = [colour for colour, _, _, bones in clip["strokes"] if set(bones) <= {*KIT.parts["right_hand"]}]
    assert len(set(fingers)) == 7  # five fingers, palm, the hand's band
    (right, seen), (left, unseen) = clip["hands"]
    assert right != left and seen == KIT.parts["right_hand"].tolist() and unseen == KIT.parts["left_hand"].tolist()


def test_another_landmark_set():
    seed = LANDMARK_SETS["seed"]
    (clip,) = clips_of(player(np.zeros((4, 92, 2)), seed).html)
    assert clip["points"] == 92 and max(max(bones) for *_, bones in clip["strokes"]) < 92


def test_captions_are_told_once_each():
    page = player(walk(5), KIT, captions=["", "a", "a", HOSTILE, "a"]).html
    assert clips_of(page)[0]["captions"] == [[0, ""], [1, "a"], [3, HOSTILE], [4, "a"]]


def test_the_reading_appears_with_the_frames():
    page = player(walk(), KIT, phrase="a b", reading=[(4, "a"), (5, " "), (9, "b")]).html
    (clip,) = clips_of(page)
    assert clip["captions"] == [[0, ""], [4, "a"], [5, "a "], [9, "a b"]] and clip["reading"] == [[4, "a"], [5, " "], [9, "b"]]
    text = Words(page).text
    assert "phrasea b" in text and "read" in text and "right hand: 75 %" in text and "left hand: 0 %" in text
    assert clips_of(player(walk(), KIT, reading=[]).html)[0]["captions"] == [[0, ""]]
    assert "phrase" not in Words(player(walk(), KIT).html).text
    with pytest.raises(ValueError, match="not beside a `reading`"):
        player(walk(), KIT, captions=["a"] * 12, reading=[])


def test_text_stays_text():
    page = player(walk(), KIT, HOSTILE, phrase=HOSTILE, reading=[(3, HOSTILE)]).html
    words = Words(page)
    assert HOSTILE in words.text and "img" not in words.tags
    assert words.tags.count("script") == 1 and page.count("</script>") == 1


def test_a_page_of_players(tmp_path):
    save_page(tmp_path / "a.html", [player(walk(), KIT, "one", reading=[(2, "x")]), player(walk(), KIT, "two")], HOSTILE)
    page = (tmp_path / "a.html").read_text()
    assert [clip["reading"] for clip in clips_of(page)] == [[[2, "x"]], []] and HOSTILE not in page.partition("<body")[0]


def test_nothing_is_fetched_and_nothing_is_named_twice(tmp_path):
    save_player(tmp_path / "a.html", [("one", walk()), ("two", walk(seed=1)), ("one", walk())])
    page = (tmp_path / "a.html").read_text()
    assert not re.search(r"https?:|src=|url\(|@import|\bid=", page)
    titles = re.findall(r"pre-wrap\">(\w+)</div>", page)
    assert titles == ["one", "two", "one"] and [clip["frames"] for clip in clips_of(page)] == [12] * 3
    assert not np.array_equal(points_of(clips_of(page)[0])[0], points_of(clips_of(page)[1])[0], equal_nan=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs the browser chromium")
def test_in_a_browser(tmp_path):
    save_player(tmp_path / "a.html", [("one", walk()), (HOSTILE, walk(seed=1)), ("one", walk()), ("", walk()[:0])])
    press = "document.querySelectorAll('.aslkit-slider').forEach(s => { s.value = 5; s.dispatchEvent(new Event('input')); });"
    inked = "[...document.querySelectorAll('canvas')].map(c => +c.getContext('2d').getImageData(0, 0, c.width, c.height)"
    tell = f"document.title = JSON.stringify({inked}.data.some(v => v)));"
    with (tmp_path / "a.html").open("a") as file:
        file.write(f"<script>{press}{tell}</script>")
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
    ]
    done = subprocess.run([*command, (tmp_path / "a.html").as_uri()], capture_output=True, text=True, timeout=60)
    assert re.findall(r"frame \d+ of \d+", done.stdout) == ["frame 6 of 12"] * 3 + ["frame 1 of 1"]
    assert json.loads(re.search("<title>(.*?)</title>", done.stdout)[1]) == [1] * 9 + [0, 0, 1]  # the last clip: only its strip
    assert "Run this cell" not in re.sub("(?s)<script.*?</script>", "", done.stdout)


# --- the GIF


@pytest.mark.parametrize("fps, total", [(30, 400), (10, 1200), (50, 240)])
def test_the_gif_lasts_as_long_as_the_clip(tmp_path, fps, total):
    save_player(tmp_path / "a.gif", [("a title", walk())], fps=fps)
    pictures, times = frames_of(tmp_path / "a.gif")
    assert len(pictures) == 12 and sum(times) == total and max(times) - min(times) <= 10
    assert all((picture != 255).mean() > 0.01 for picture in pictures)
    assert all((a != b).any() for a, b in zip(pictures, pictures[1:]))


def test_the_gif_shows_the_hand_where_it_is(tmp_path):
    points = walk()
    points[6, KIT.parts["right_hand"]] = np.nan
    save_player(tmp_path / "a.gif", [("", points)])
    pictures, _ = frames_of(tmp_path / "a.gif")
    whole = pictures[:, 30:300, 5:170].astype(int)  # inside the whole picture
    coloured = (np.ptp(whole, axis=3) > 60).sum((1, 2))
    assert (coloured[[0, 1, 2, 6]] == 0).all() and (np.delete(coloured, [0, 1, 2, 6]) > 50).all()
    middle = [np.argwhere(np.ptp(whole[t], axis=2) > 60)[:, 1].mean() for t in (3, 11)]
    assert middle[1] > middle[0] + 10  # it drifts to the right


def test_four_beside_each_other_then_the_rest(tmp_path):
    sizes, counts = [], []
    for n in (1, 2, 3, 4, 5):
        save_player(tmp_path / "a.gif", [(str(i), walk(4 + i, i)) for i in range(n)])
        pictures, _ = frames_of(tmp_path / "a.gif")
        sizes.append(pictures.shape[1:3])
        counts.append(len(pictures))
    (high, wide), *others = sizes
    assert others == [(high, 2 * wide + 24)] + 3 * [(2 * high, 2 * wide + 24)]
    assert counts == [4, 5, 6, 7, 7 + 8]


# --- odd clips and mistakes


@pytest.mark.parametrize("ending", ["html", "gif"])
@pytest.mark.parametrize(
    "points", [walk()[:0], walk()[5:6], np.full((4, 130, 3), np.nan), np.full((4, 130, 3), 1e30), walk().astype("float16")]
)  # fmt: skip
def test_odd_clips_are_drawn(tmp_path, ending, points):
    save_player(tmp_path / f"a.{ending}", [("odd", points), (HOSTILE, points)])
    if ending == "gif":
        assert (frames_of(tmp_path / "a.gif")[0] != 255).any((1, 2, 3)).all()
    else:
        assert [clip["frames"] for clip in clips_of((tmp_path / "a.html").read_text())] == 2 * [max(len(points), 1)]


def test_a_clip_without_frames_is_one_empty_frame(tmp_path):
    page = player(walk()[:0], KIT, captions=[]).html
    (clip,) = clips_of(page)
    assert np.isnan(points_of(clip)[0]).all() and "A clip of 0 frames" in page
    save_player(tmp_path / "a.gif", [("", walk()[:0])])
    assert len(frames_of(tmp_path / "a.gif")[0]) == 1


@pytest.mark.parametrize("name", ["a.mp4", "a", "html", "a.gif.zip"])
def test_other_files_are_refused(tmp_path, name):
    with pytest.raises(
        ParameterError, match=r"clips are not drawn into such a file; choose a name that ends in \.html or \.gif"
    ):
        save_player(tmp_path / name, [("", walk())])
    assert not list(tmp_path.iterdir())


def test_an_ending_in_capitals(tmp_path):
    save_player(tmp_path / "A.GIF", [("", walk(2))])
    assert len(frames_of(tmp_path / "A.GIF")[0]) == 2


def test_what_cannot_be_a_clip(tmp_path):
    for wrong in (np.zeros((4, 92, 3)), np.zeros((4, 130)), np.zeros((4, 130, 1))):
        with pytest.raises(ValueError, match=r"must be \(T, 130, 2 or more\)"):
            player(wrong, KIT)
    with pytest.raises(ValueError, match="one a frame, 12, got 3"):
        player(walk(), KIT, captions="abc")
    for fps in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="`fps`"):
            player(walk(), KIT, fps=fps)
    for clips, fps in (([], 30), ([("", walk())], 0), ([("", walk())], 60), ([("", walk())], np.nan)):
        with pytest.raises(ValueError, match="`fps` above 0, in a GIF at most 50"):
            save_player(tmp_path / "a.gif", clips, fps=fps)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "a.html").write_text("old")
    with pytest.raises(ValueError):
        save_player(tmp_path / "a.html", [("", walk()), ("", np.zeros((1, 5, 3)))])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
