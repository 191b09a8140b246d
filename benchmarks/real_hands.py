"""How a reader trained on stitched clips reads real hands that its bank never saw.

Real frames of letters (letters_dev.npz) are put together into clips of phrases (phrases_dev.csv) in the plainest way:
frames held, straight lines between them, each clip moved, turned, and scaled as a whole. Nothing of the corpus generator
is used, so a reader gains nothing from having learnt how that one moves. Face and pose are not seen (NaN). The two files
are not part of the project, and no score here is a leaderboard score.

    python benchmarks/real_hands.py runs/demo/submission.zip
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pandas as pd
from common import OUT, figure, report, write_json
from rapidfuzz.distance import Levenshtein

from aslkit.competition import ASPECT, CHARACTERS, FALLBACK, POINTS, DataError, KitError, score, write_character_map
from aslkit.grading import read_corpus

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LETTERS, PHRASES = DATA / "letters_dev.npz", DATA / "phrases_dev.csv"
MODES = ("all", "plain", "short")
LIMIT = 0.55  # asked of what `make demo` trains, on all phrases
MOVING, DIGITS = "jz", "0123456789"

# Signs without a recording, as polylines in a box 1 wide and 1 high, x to the writer's right, y down; a pen lift is a straight
# way to the next line. A dot is a short tap.
_DOT, _TOP = [(0.5, 0.7), (0.5, 1), (0.5, 0.7)], [(0.5, 0.2), (0.5, 0.5), (0.5, 0.2)]
_RING = [(0.5, 0), (0.15, 0.15), (0, 0.5), (0.15, 0.85), (0.5, 1), (0.85, 0.85), (1, 0.5), (0.85, 0.15), (0.5, 0)]
_COMMA, _S = [(0.55, 0.7), (0.6, 0.85), (0.4, 1.1)], [(0.9, 0.2), (0.5, 0.1), (0.1, 0.3), (0.9, 0.7), (0.5, 0.9), (0.1, 0.8)]
WRITTEN = {
    "-": [[(0, 0.5), (1, 0.5)]],
    "_": [[(0, 1), (1, 1)]],
    "/": [[(0.9, 0), (0.1, 1)]],
    "+": [[(0.5, 0), (0.5, 1)], [(0, 0.5), (1, 0.5)]],
    "=": [[(0, 0.3), (1, 0.3)], [(0, 0.7), (1, 0.7)]],
    ".": [_DOT],
    ":": [_TOP, _DOT],
    ",": [_COMMA],
    ";": [_TOP, _COMMA],
    "'": [[(0.5, 0), (0.45, 0.35)]],
    "!": [[(0.5, -0.2), (0.5, 0.5)], _DOT],
    "?": [[(0.1, 0.15), (0.4, -0.1), (0.8, 0.05), (0.8, 0.25), (0.5, 0.4), (0.5, 0.6)], _DOT],
    "(": [[(0.65, 0), (0.4, 0.25), (0.35, 0.5), (0.4, 0.75), (0.65, 1)]],
    ")": [[(0.35, 0), (0.6, 0.25), (0.65, 0.5), (0.6, 0.75), (0.35, 1)]],
    "[": [[(0.7, 0), (0.35, 0), (0.35, 1), (0.7, 1)]],
    "~": [[(0, 0.6), (0.2, 0.35), (0.4, 0.45), (0.6, 0.6), (0.8, 0.65), (1, 0.4)]],
    "&": [[(1, 1), (0.2, 0.3), (0.4, 0), (0.65, 0.25), (0.05, 0.7), (0.4, 1), (1, 0.5)]],
    "%": [[(1, 0), (0, 1)], [(0.2, 0), (0.05, 0.2), (0.3, 0.2), (0.2, 0)], [(0.8, 0.8), (0.7, 1), (0.95, 1), (0.8, 0.8)]],
    "#": [[(0.35, 0), (0.25, 1)], [(0.75, 0), (0.65, 1)], [(0, 0.35), (1, 0.35)], [(0, 0.7), (1, 0.7)]],
    "$": [_S, [(0.5, -0.1), (0.5, 1.1)]],
    "@": [[(0.7, 0.4), (0.45, 0.3), (0.3, 0.55), (0.5, 0.7), (0.7, 0.4), (0.75, 0.65)], _RING],
    "*": [[(0.5, 0), (0.5, 1)], [(0.05, 0.25), (0.95, 0.75)], [(0.95, 0.25), (0.05, 0.75)]],
}


@dataclass(frozen=True)
class Hands:
    "Real frames of characters, in palms; `takes` gives the rows of each recording of a person's character, in order of time."

    points: np.ndarray  # (N, 21, 3) float32, x right, y down; each recording divided by its median palm
    step: np.ndarray  # (N,) frames from a row to the next one of its recording, usually
    takes: dict[tuple[str, str], list[np.ndarray]]  # (signer, character) -> recordings

    @property
    def spellers(self) -> list[str]:  # who recorded letters
        return sorted({signer for signer, label in self.takes if label.isalpha()})

    def people(self, label: str) -> list[str]:
        "Who recorded a character."
        return sorted(signer for signer, found in self.takes if found == label)


def _absent(path: Path) -> DataError:
    return DataError("no such file", "the real hands are not part of the project: say where they lie, or do without", path)


def read_hands(
    letters: str | Path = LETTERS,  # an .npz with xyz, label, signer, seq, t
) -> Hands:
    "Read recorded characters; a frame a palm away from the rest of its recording is a slip of the tracker and left out."
    letters = Path(letters)
    if not letters.exists():
        raise _absent(letters)
    with np.load(letters) as file:
        missing = {"xyz", "label", "signer", "seq", "t"} - set(file)
        if missing:
            raise DataError(f"the array {min(missing)!r} is missing", "give a file of recorded letters", letters)
        points, rows = file["xyz"].astype("float32"), pd.DataFrame({k: file[k] for k in ("label", "signer", "seq", "t")})
    palm = np.linalg.norm(points[:, 5:18:4] - points[:, :1], axis=-1).mean(1)
    photo = rows.groupby("seq").t.transform("size") == 1
    rows["palm"], rows["scene"] = palm, rows.seq.where(~photo, "photos of " + rows.signer)
    points /= rows.groupby("scene").palm.transform("median").to_numpy()[:, None, None]
    steps, takes = np.ones(len(rows), int), {}
    for (signer, label, _), take in rows.sort_values("t").groupby(["signer", "label", "seq"]):
        index = take.index.to_numpy()
        shapes = points[index] - points[index, :1]
        if label not in MOVING:
            index = index[np.linalg.norm(shapes - np.median(shapes, 0), axis=-1).mean(1) < 1]
        if len(index) > 1:
            steps[index] = max(1, int(np.median(np.diff(take.t))))
        takes.setdefault((str(signer), str(label)), []).append(index)
    return Hands(points, steps, takes)


def read_phrases(
    phrases: str | Path = PHRASES,  # CSV with phrase and kind
    mode: str = "all",  # "plain": letters, digits, and spaces only; "short": one of them alone, and the phrases' short words
) -> pd.DataFrame:  # phrase, kind
    "The phrases to spell; `kind` is that of the whole phrase, or how long a short one is."
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {MODES}, got {mode!r}")
    if not Path(phrases).exists():
        raise _absent(Path(phrases))
    table = pd.read_csv(phrases, dtype=str, keep_default_na=False)[["phrase", "kind"]]
    if mode == "plain":
        table["phrase"] = table.phrase.str.replace(r"[^a-z0-9 ]", "", regex=True).str.strip()
    if mode == "short":
        alone = [character for character in ascii_lowercase + DIGITS for _ in range(4)]
        words = sorted(set(table.phrase.str.findall(r"(?<![a-z0-9])[a-z0-9]{2,4}(?![a-z0-9])").sum()))
        kinds = ["one character"] * len(alone) + ["two to four"] * len(words)
        table = pd.DataFrame({"phrase": alone + words, "kind": kinds})
    return table[table.phrase != ""].reset_index(drop=True)


@dataclass(frozen=True)
class _Piece:
    "What the hand does for one character, around the place where it is spelled."

    points: np.ndarray  # (H, 21, 3) palms
    rows: np.ndarray  # (H,) row of the real frame
    lost: bool = False  # the tracker does not see it


def _run(take: np.ndarray, frames: int, start: int) -> np.ndarray:
    "So many consecutive rows of a recording; one that is too short is played forth and back."
    return take[start : start + frames] if frames <= len(take) else np.resize(np.r_[take, take[-2:0:-1]], frames)


def _held(hands: Hands, rng: np.random.Generator, signer: str, label: str, frames: int) -> _Piece:
    takes = hands.takes[signer, label]
    take = takes[rng.integers(len(takes))]
    rows = _run(take, frames, rng.integers(max(len(take) - frames, 0) + 1))
    return _Piece(hands.points[rows] - hands.points[rows, :1], rows)


def _moved(hands: Hands, rng: np.random.Generator, signer: str, label: str, frames: int) -> _Piece:
    "One of the quarter of a recording's runs that move most; between rows that lie far apart goes one more frame."
    takes = hands.takes[signer, label]
    take = takes[rng.integers(len(takes))]
    apart = hands.step[take[0]] > 2
    count = min(frames // 2 + 1 if apart else frames, len(take))
    ways = np.linalg.norm(np.diff(hands.points[take][..., :2], axis=0), axis=-1).mean(1)
    travel = np.convolve(ways, np.ones(count - 1), "valid") if count > 1 else np.zeros(len(take))
    best = np.argsort(-travel, kind="stable")[: max(1, len(travel) // 4)]
    rows = _run(take, count, rng.choice(best))
    points = hands.points[rows] - hands.points[rows, :1].mean(0)
    if apart:
        whole = np.repeat(points, 2, axis=0)[:-1]
        whole[1::2] = (points[:-1] + points[1:]) / 2
        points, rows = whole, np.insert(rows, np.arange(1, len(rows)), -1)
    return _Piece(points, rows)


def _written(sign: str, hand: _Piece, size: float) -> _Piece:
    "A pointing hand carried along a sign at an even pace, as its writer sees it: the camera has right and left swapped (so z)."
    line = np.concatenate([np.array(stroke, "float32") for stroke in WRITTEN[sign]])
    way = np.r_[0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))]
    at = np.linspace(0, way[-1], len(hand.points))
    x, y = (np.interp(at, way, line[:, axis]) - 0.5 for axis in (0, 1))
    return _Piece(hand.points + size * np.stack([-x, y, 0 * x], 1)[:, None].astype("float32"), hand.rows)


def _length(sign: str) -> float:
    line = np.concatenate([np.array(stroke) for stroke in WRITTEN[sign]])
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def _cast(hands: Hands, rng: np.random.Generator, signer: str, phrase: str) -> dict[str, tuple[str, str]]:
    "Whose recording shows each character of a phrase, and which: the digits of one person where somebody has them all."
    signs = [c for c in phrase if c in WRITTEN]
    cast = {c: (signer, c) for c in phrase if c.isalpha()}
    digits = sorted({c for c in phrase if c in DIGITS} | ({"1"} if signs and hands.people("1") else set()))
    able = sorted(set.intersection(*(set(hands.people(digit)) for digit in digits))) if digits else []
    one = str(rng.choice(able)) if able else None
    for digit in digits:
        cast[digit] = (one or str(rng.choice(hands.people(digit) or [signer])), digit)
    pointing = [who for who in (cast.get("1"), (signer, "d")) if who in hands.takes]
    for sign in signs:
        cast[sign] = pointing[rng.integers(len(pointing))] if pointing else (signer, "d")
    for character, who in cast.items():
        if who not in hands.takes:
            raise DataError(f"{who[0]} has no recording of {who[1]!r}, so {character!r} cannot be shown", "give other letters")
    return cast


def _pieces(hands: Hands, rng: np.random.Generator, signer: str, phrase: str, tempo: float) -> list[_Piece]:
    cast, pieces = _cast(hands, rng, signer, phrase), []
    for character in phrase:
        frames = max(3, round(tempo * rng.uniform(0.75, 1.25)))
        hold = max(1, round(frames * rng.uniform(0.35, 0.65)))
        if character == " ":
            pieces.append(None)
        elif character in WRITTEN:
            size = rng.uniform(0.8, 1.3)
            count = np.clip(round(size * _length(character) / rng.uniform(0.1, 0.22)), hold, round(2.5 * tempo))
            pieces.append(_written(character, _held(hands, rng, *cast[character], int(count)), size))
        elif character in MOVING:
            pieces.append(_moved(hands, rng, *cast[character], max(8, frames)))
        else:
            pieces.append(_held(hands, rng, *cast[character], hold))
    for i in [i for i, piece in enumerate(pieces) if piece is None]:
        before = pieces[i - 1] if i else None
        after = pieces[i + 1] if i + 1 < len(pieces) else None
        end, other = (before, -1), (after, 0)
        if before is None or (after is not None and rng.random() < 0.5):
            end, other = other, end
        piece, at = end if end[0] is not None else other
        frames = max(2, round(tempo * rng.uniform(0.3, 0.8)))
        still = [np.repeat(a[at][None], frames, axis=0) for a in (piece.points, piece.rows)]
        pieces[i] = _Piece(*still, lost=bool(rng.random() < 0.3))
    return pieces


def _places(rng: np.random.Generator, phrase: str) -> np.ndarray:
    "Where each character is spelled, (L, 3) palms: a doubled one slides outwards, to a right hand's own side; a space drifts."
    places = np.zeros((len(phrase), 3), "float32")
    for i, character in enumerate(phrase):
        if character == " ":
            places[i, :2] = rng.uniform([-0.4, -0.1], [0.4, 0.5])
        elif i and character == phrase[i - 1]:
            places[i, 0] = places[i - 1, 0] - rng.uniform(0.35, 0.7)
    return places


def _line(a: np.ndarray, b: np.ndarray, frames: int) -> np.ndarray:
    "So many frames on the straight way from a to b, without its ends."
    at = np.arange(1, frames + 1, dtype="float32")[:, None, None] / (frames + 1)
    return a + at * (b - a)


def spell(
    hands: Hands,
    signer: str,  # whose letters
    phrase: str,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # (T, 21, 3) palms, a right hand; (T,) seen; (T,) row in `hands`, -1 between
    "One phrase in the hand's own measure, before the camera."
    tempo = float(np.clip(rng.normal(7.2, 2), 4, 13))  # frames a character
    pieces, places = _pieces(hands, rng, signer, phrase, tempo), _places(rng, phrase)
    below = np.array([0, 1.2, 0], "float32")
    first = pieces[0].points[0] + places[0]
    parts = [(_line(first + below, first, int(rng.integers(2, 7))), None, False)]
    for i, piece in enumerate(pieces):
        points = piece.points + places[i]
        if i:
            frames = max(1, round(tempo * rng.uniform(0.35, 0.65)))
            parts.append((_line(parts[-1][0][-1], points[0], frames), None, False))
        parts.append((points, piece.rows, piece.lost))
    parts.append((_line(points[-1], points[-1] + below, int(rng.integers(2, 7))), None, False))
    whole = np.concatenate([points for points, _, _ in parts])
    rows = np.concatenate([np.full(len(points), -1) if rows is None else rows for points, rows, _ in parts])
    seen = np.concatenate([np.full(len(points), not lost) for points, _, lost in parts])
    for start in rng.integers(0, len(seen), rng.poisson(len(seen) / 70)):
        seen[start : start + rng.integers(1, 6)] = False
    time = np.linspace(0, 1, len(whole))[:, None]
    drift = rng.normal(0, 0.15, 2) * np.sin(2 * np.pi * (rng.uniform(0.5, 2, 2) * time + rng.random(2)))
    whole[..., :2] += (drift + rng.normal(0, 0.3, 2) * time)[:, None]
    return whole, seen, rows


def film(
    points: np.ndarray,  # (T, 21, 3) palms
    seen: np.ndarray,  # (T,) bool
    rng: np.random.Generator,
) -> np.ndarray:  # (T + frames without a hand before and after, 543, 3) float32
    "A clip in the competition's points and units; one in ten is mirrored into the left hand. Face and pose are NaN."
    angle = np.deg2rad(np.clip(rng.normal(0, 6), -15, 15))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    hand = rng.uniform(0.09, 0.17) * points  # from palms to widths of the image
    hand[..., :2] = (hand[..., :2] - hand[:, 0, :2].mean(0)) @ turn.T + rng.uniform([0.3, 0.8], [0.7, 1.4])
    hand[..., 1] /= ASPECT
    left = rng.random() < 0.1
    if left:
        hand[..., 0] = 1 - hand[..., 0]
    hand[~seen] = np.nan
    before, after = rng.integers(0, 12, 2)
    clip = np.full((before + len(hand) + after, len(POINTS), 3), np.nan, "float32")
    start = POINTS.index("left_hand_0" if left else "right_hand_0")
    clip[before : before + len(hand), start : start + 21] = hand
    return clip


def each_clip(
    hands: Hands,
    phrases: Sequence[str],
    seed: int = 0,
) -> Iterator[tuple[str, str, np.ndarray]]:  # signer, phrase, (T, 543, 3) float32
    "Every speller spells every phrase; a clip depends on the seed, its signer, and the number of its phrase alone."
    for who, signer in enumerate(hands.spellers):
        for number, phrase in enumerate(phrases):
            rng = np.random.default_rng([seed, who, number])
            points, seen, _ = spell(hands, signer, phrase, rng)
            yield signer, phrase, film(points, seen, rng)


def real_clips(
    letters: str | Path = LETTERS,  # .npz of recorded characters
    phrases: str | Path = PHRASES,  # CSV with phrase and kind
    seed: int = 0,
    mode: str = "all",  # one of MODES
) -> list[tuple[str, str, np.ndarray]]:  # signer, phrase, (T, 543, 3) float32; about 1 MB each
    "The clips of real hands, all of them in memory."
    return list(each_clip(read_hands(letters), read_phrases(phrases, mode).phrase, seed))


def _clip_table(hands: Hands, phrases: pd.DataFrame) -> pd.DataFrame:
    "signer, phrase, kind of the clips that `each_clip` gives, in its order."
    return pd.concat([phrases.assign(signer=signer) for signer in hands.spellers], ignore_index=True)


def real_arrays(
    letters: str | Path = LETTERS,  # .npz of recorded characters
    phrases: str | Path = PHRASES,  # CSV with phrase and kind
    seed: int = 0,
    mode: str = "all",  # one of MODES
    points: Sequence[str] = POINTS,  # names of the points to keep, as LandmarkSet.points has them
) -> tuple[pd.DataFrame, list[np.ndarray]]:  # phrase, kind, signer of each clip; its (T, P, 3) float32
    "The same clips for a reader in this process: put what it reads into a column `reading`, then ask `scores`."
    hands, table = read_hands(letters), read_phrases(phrases, mode)
    kept = [POINTS.index(point) for point in points]
    return _clip_table(hands, table), [clip[:, kept] for _, _, clip in each_clip(hands, table.phrase, seed)]


def scores(
    readings: pd.DataFrame,  # phrase, kind, signer, reading
) -> dict[str, float]:  # "" is the whole; then each signer, each kind, "exact", and "constant" (always the same answer)
    "The competition's metric over all clips, and by person and kind."
    found = {"": score(readings.phrase, readings.reading)}
    for column in ("signer", "kind"):
        found |= {str(name): score(part.phrase, part.reading) for name, part in readings.groupby(column)}
    found["exact"] = float((readings.phrase == readings.reading).mean())
    found["constant"] = score(readings.phrase, [FALLBACK] * len(readings))
    return found


def characters(
    readings: pd.DataFrame,  # phrase, reading
) -> dict:  # "confusions": [written, read, times] with "" for nothing, most frequent first; "recall": of each character
    "What was read for what, by the least edits of each clip."
    written, right, confused = Counter(), Counter(), Counter()
    for phrase, reading in zip(readings.phrase, readings.reading):
        wrong = set()
        for kind, i, j in Levenshtein.editops(phrase, reading):
            confused["" if kind == "insert" else phrase[i], "" if kind == "delete" else reading[j]] += 1
            wrong |= set() if kind == "insert" else {i}
        written.update(phrase)
        right.update(c for i, c in enumerate(phrase) if i not in wrong)
    return {
        "confusions": [[*pair, times] for pair, times in confused.most_common(15)],
        "recall": {c: right[c] / written[c] for c in CHARACTERS if written[c]},
        "written": {c: written[c] for c in CHARACTERS if written[c]},
    }


def read_real(
    submission: str | Path,  # submission.zip
    letters: str | Path = LETTERS,
    phrases: str | Path = PHRASES,
    seed: int = 0,
    mode: str = "all",
) -> pd.DataFrame:  # a row a clip: phrase, kind, signer, reading
    "What a submission reads in the clips, which stand in a corpus in the competition's layout for as long as it takes."
    from aslkit.stitch import write_landmarks  # brings the generator's requirements, which `real_arrays` does without

    hands, table = read_hands(letters), read_phrases(phrases, mode)
    clips = _clip_table(hands, table)
    clips["participant_id"] = clips.signer.map(hands.spellers.index)
    clips["sequence_id"] = np.arange(len(clips))
    clips["file_id"] = clips.sequence_id // 100
    clips["path"] = "train_landmarks/" + clips.file_id.astype(str) + ".parquet"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "train_landmarks").mkdir()
        write_character_map(folder)
        source = each_clip(hands, table.phrase, seed)
        for path, part in clips.groupby("path", sort=False):
            write_landmarks(folder / path, [(number, next(source)[2]) for number in part.sequence_id])
        clips.to_csv(folder / "train.csv", index=False)
        found = read_corpus(submission, folder)
    return clips[["phrase", "kind", "signer"]].assign(reading=found.reading)


def score_real(
    submission: str | Path,  # submission.zip, or the run that holds one
    letters: str | Path = LETTERS,
    phrases: str | Path = PHRASES,
    seed: int = 0,
    out: str | Path = OUT,  # folder of results
) -> dict[str, dict]:  # figures by name: "all", "all, boris", "all, url", ..., "plain", ..., "short", ...
    "Score a submission on real hands, print it, and write OUT/real_hands.json and OUT/real_hands_characters.json."
    submission = Path(submission)
    submission = submission / "submission.zip" if submission.is_dir() else submission
    figures, details = {}, {}
    for mode in MODES:
        readings = read_real(submission, letters, phrases, seed, mode)
        for name, value in scores(readings).items():
            label = f"{mode}, {name}" if name else mode
            figures[label] = figure(value, "share" if name == "exact" else "score", LIMIT if label == "all" else None)
        details[mode] = characters(readings)
    report("real_hands", figures, out)
    for mode, found in details.items():
        print(f"\n{mode}: most frequent confusions (written > read, times)")
        print("  " + ", ".join(f"{a or 'nothing'} > {b or 'nothing'} {n}" for a, b, n in found["confusions"]))
        print(f"{mode}: share read of each character, worst first")
        worst = sorted(found["recall"].items(), key=lambda item: item[1])
        print("  " + ", ".join(f"{c if c != ' ' else 'space'} {share:.2f}" for c, share in worst))
    write_json("real_hands_characters", details, out)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    "The command: 0 when measured, 2 with a sentence when it can't be."
    parser = argparse.ArgumentParser(description="Score a submission on clips of real hands.")
    parser.add_argument("submission", help="submission.zip, or a run that holds one")
    parser.add_argument("--letters", default=LETTERS, help="recorded characters (.npz)")
    parser.add_argument("--phrases", default=PHRASES, help="phrases to spell (.csv)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=OUT, help="folder of results")
    chosen = parser.parse_args(arguments)
    try:
        score_real(**vars(chosen))
    except KitError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
