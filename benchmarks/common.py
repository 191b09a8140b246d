"What every benchmark does with its figures: a table to read, and runs/bench/NAME.json to compare."

import json
from pathlib import Path

OUT = Path("runs/bench")


def figure(
    value: float,  # what was measured
    unit: str,  # "x", "score", "clips/s/core", ...
    limit: float | None = None,  # what it should reach or stay within; None where nothing is asked
    better: str = "higher",  # "higher" or "lower"
) -> dict:  # JSON-able
    "One measured figure beside its limit."
    if better not in ("higher", "lower"):
        raise ValueError(f'`better` must be "higher" or "lower", got {better!r}')
    return {"value": float(value), "unit": unit, "limit": limit, "better": better}


def verdict(
    found: dict,  # as `figure` makes it
) -> str:  # "held", "missed", or "" where there is no limit
    "Whether a figure keeps its limit."
    if found["limit"] is None:
        return ""
    difference = found["value"] - found["limit"]
    return "held" if (difference if found["better"] == "higher" else -difference) >= 0 else "missed"


def table(
    figures: dict[str, dict],  # name -> `figure`
) -> str:  # lines
    "The figures with limit and verdict, in columns."
    rows = [("figure", "value", "unit", "limit", "verdict")]
    for name, found in figures.items():
        sign = "at least" if found["better"] == "higher" else "at most"
        limit = "" if found["limit"] is None else f"{sign} {found['limit']:g}"
        rows.append((name, f"{found['value']:.4g}", found["unit"], limit, verdict(found)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    right = (False, True, False, False, False)
    lines = ("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def report(
    name: str,  # of the benchmark
    figures: dict[str, dict],  # name -> `figure`
    out: str | Path = OUT,  # folder of results
) -> Path:  # the JSON file
    "Print the figures and write them to OUT/NAME.json."
    print(table(figures))
    return write_json(name, figures, out)


def write_json(
    name: str,  # of the file, without .json
    values: dict,  # JSON-able
    out: str | Path = OUT,  # folder of results
) -> Path:  # the JSON file
    "Write OUT/NAME.json; the folder is made."
    path = Path(out) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    return path
