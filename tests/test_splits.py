"Splits over many tables: nobody on both sides, everybody read once, folds alike."

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aslkit.competition import DataError
from aslkit.splits import check_no_leak, hold_out_signers, signer_folds

KINDS = ("address/name", "phone", "url")


def clip_table(signers: list[int], supplemental: list[int] = ()) -> pd.DataFrame:
    "A clip for each mention of a signer; every phrase is another, kinds go round."
    who = [*signers, *supplemental]
    kind = ["train"] * len(signers) + ["supplemental"] * len(supplemental)
    phrases = [f"{i}" for i in range(len(who))]
    return pd.DataFrame(
        {"participant_id": who, "set": kind, "phrase": phrases, "kind": [KINDS[i % 3] for i in range(len(who))]}
    )


def rows_of(clips: pd.DataFrame, kind: str) -> list[int]:
    return np.flatnonzero(clips["set"] == kind).tolist()


# ---- one share held out


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=7), st.floats(0.01, 0.99), st.integers(0, 5))
def test_held_out_share_is_the_nearest(counts, share, seed):
    signers = np.repeat(np.arange(len(counts)), counts).tolist()
    clips = clip_table(signers, supplemental=[0, 1, 99])
    train, held = hold_out_signers(clips, share, seed)
    check_no_leak(clips, train, held)
    assert set(clips["set"].iloc[held]) == {"train"} and "train" in set(clips["set"].iloc[train])
    others = np.setdiff1d(np.arange(len(clips)), np.r_[train, held])  # supplemental clips of held-out signers
    assert set(clips.participant_id.iloc[others]) <= set(clips.participant_id.iloc[held])
    sums = (sum(some) for n in range(1, len(counts)) for some in itertools.combinations(counts, n))
    target = share * sum(counts)
    assert abs(len(held) - target) == pytest.approx(min(abs(s - target) for s in sums))


def test_hold_out_is_decided_by_the_seed():
    clips = clip_table(list(range(40)) * 3)
    held = [tuple(hold_out_signers(clips, 0.2, seed)[1]) for seed in (0, 0, 1, 2)]
    assert held[0] == held[1] and len(set(held)) == 3
    with pytest.raises(DataError, match="1 signer, so none can be held out; prepare clips of two signers or more"):
        hold_out_signers(clip_table([4, 4]))
    with pytest.raises(DataError, match="0 signer"):
        hold_out_signers(clip_table([], supplemental=[1, 2]))
    with pytest.raises(ValueError, match="share"):
        hold_out_signers(clips, share=1.0)


def test_the_order_of_rows_and_their_index_do_not_matter():
    clips = clip_table(list(range(12)) * 3, supplemental=[1, 2])
    shuffled = clips.sample(frac=1, random_state=0)
    for make in (hold_out_signers, lambda c: signer_folds(c, 3)[1]):
        held = set(clips.phrase.iloc[make(clips)[1]])
        if make is hold_out_signers:
            assert held == set(shuffled.phrase.iloc[make(shuffled)[1]])
        check_no_leak(shuffled, *make(shuffled))


# ---- several folds


tables = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 12), st.sampled_from(KINDS), st.sampled_from(["train"] * 4 + ["supplemental"])),
    min_size=4,
    max_size=60,
).map(lambda rows: pd.DataFrame(rows, columns=["participant_id", "phrase", "kind", "set"]).astype({"phrase": str}))


@settings(deadline=None, max_examples=60)
@given(tables, st.integers(2, 5), st.integers(0, 3), st.booleans())
def test_folds_are_disjoint_and_cover(clips, folds, seed, phrases):
    main = clips[clips["set"] == "train"]
    assume(main.participant_id.nunique() >= folds)
    try:
        made = signer_folds(clips, folds, seed, phrases)
    except DataError as error:
        assert phrases and "no clip is left to train on" in str(error)
        return
    again = signer_folds(clips, folds, seed, phrases)
    assert len(made) == folds
    for (train, held), same in zip(made, again, strict=True):
        assert (train == same[0]).all() and (held == same[1]).all()
        assert len(train) and len(held) and not set(train) & set(held)
        assert not set(clips.participant_id.iloc[train]) & set(clips.participant_id.iloc[held])
        if phrases:
            assert not set(clips.phrase.iloc[train]) & set(clips.phrase.iloc[held])
        else:  # whoever is not held out is trained on
            assert set(train) == set(np.flatnonzero(~clips.participant_id.isin(clips.participant_id.iloc[held])))
    assert sorted(np.concatenate([held for _, held in made])) == rows_of(clips, "train")


def as_large_as_the_competition(seed: int) -> pd.DataFrame:
    "94 signers, the largest some 40 times the smallest, with likings for kinds of phrases."
    rng = np.random.default_rng(seed)
    size = np.maximum(rng.lognormal(0, 0.6, 94), 0.15)
    who = rng.choice(94, 67_208, p=size / size.sum())
    liking = rng.dirichlet((12, 6, 7), 94).cumsum(1)
    kind = (rng.random(len(who))[:, None] > liking[who, :2]).sum(1)
    phrases = rng.choice(46_478, len(who)).astype(str)
    return pd.DataFrame({"participant_id": who, "phrase": phrases, "kind": np.array(KINDS)[kind], "set": "train"})


@pytest.mark.parametrize("seed", range(3))
def test_folds_are_alike(seed):
    "Within a tenth of the mean, in clips and in each kind."
    clips = as_large_as_the_competition(seed)
    made = signer_folds(clips, 5, seed)
    sizes = np.array([len(held) for _, held in made])
    kinds = np.array([clips.kind.iloc[held].value_counts().loc[list(KINDS)] for _, held in made])  # (fold, kind)
    assert (abs(sizes / sizes.mean() - 1) < 0.1).all()
    assert (abs(kinds / kinds.mean(0) - 1) < 0.1).all()


def test_the_seed_deals_out_signers_who_are_alike():
    clips = clip_table(np.repeat(np.arange(12), 3).tolist())
    made = [[tuple(held) for _, held in signer_folds(clips, 3, seed)] for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_folds_refuse_nonsense():
    clips = clip_table([1, 1, 2, 3])
    with pytest.raises(DataError, match="3 signers are too few for 4 folds; ask for fewer folds"):
        signer_folds(clips, 4)
    with pytest.raises(ValueError, match="`folds` must be 2 or more, got 1"):
        signer_folds(clips, 1)
    same = clip_table([1, 2, 3, 4]).assign(phrase="a")
    with pytest.raises(DataError, match="no clip is left to train on"):
        signer_folds(same, 2, phrases=True)
    with pytest.raises(DataError, match="no clip is left to train on"):
        hold_out_signers(same, phrases=True)


@pytest.mark.filterwarnings("error")
def test_rare_kinds_do_no_harm():
    "A kind with fewer clips than folds, or no two clips of a kind: no error, no warning."
    clips = clip_table(list(range(8)) * 4)
    clips.loc[3, "kind"] = "odd"
    assert len(signer_folds(clips, 5)) == 5
    assert len(signer_folds(clip_table([1, 2, 3]), 3)) == 3


# ---- leaks


def test_phrases_of_held_out_clips_are_not_trained_on():
    clips = clip_table(list(range(10)) * 4, supplemental=[0, 1, 2, 3] * 3).assign(phrase=[f"{i % 11}" for i in range(52)])
    loose, held = hold_out_signers(clips, 0.2)
    strict, same = hold_out_signers(clips, 0.2, phrases=True)
    assert (held == same).all()
    assert set(strict) == {row for row in loose if clips.phrase[row] not in set(clips.phrase[held])} != set(loose)
    check_no_leak(clips, strict, held, phrases=True)
    with pytest.raises(DataError, match="column phrase"):
        check_no_leak(clips, loose, held, phrases=True)


def test_leaks_are_found():
    clips = clip_table([1, 1, 2, 2, 3]).assign(phrase=["a", "b", "a", "c", "d"])
    check_no_leak(clips, [0, 1, 4], [2, 3])
    with pytest.raises(DataError, match="column participant_id: the signer of 1 of 1 held-out clips is trained on.*example 2;"):
        check_no_leak(clips, [0, 1, 2], [3])
    with pytest.raises(DataError, match="column phrase: the phrase of 1 of 2 held-out clips is trained on.*example 'a'; split"):
        check_no_leak(clips, [0, 1, 4], [2, 3], phrases=True)
    with pytest.raises(DataError, match="1 held-out clips are trained on as well, for example row 1; split with"):
        check_no_leak(clips, [0, 1], [1, 4])
    check_no_leak(clips, [1, 4], [2, 3], phrases=True)


def test_random_splits_never_pass():
    clips = as_large_as_the_competition(0)
    rows = np.random.default_rng(0).permutation(len(clips))
    with pytest.raises(DataError, match="the signer of 13000 of 13000 held-out clips"):
        check_no_leak(clips, rows[13_000:], rows[:13_000])
