"""Small files in the formats that own data come in."""

import csv
import json

import pyarrow
import pyarrow.parquet


def write_csv(path, rows, columns):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return path


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path, columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path
