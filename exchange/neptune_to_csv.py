"""Writes CSV for selfsame import from the parquet files of neptune-exporter: python3 neptune_to_csv.py FOLDER OUT

FOLDER is neptune-exporter's output (data-path); every .parquet file below it is read. OUT gets RUN.csv for each run: a
column "step", and one for each series of numbers, named by its attribute. Then, for example:

    selfsame import OUT/RES-12.csv --manifest msra/resnet20.yaml --steps --column val_error=metrics/test/error
    selfsame import OUT/RES-12.csv --manifest msra/resnet20.yaml --column epoch=step --column val_error=...

It needs pyarrow. Attributes that are no series of floats (texts, files, histograms, single values) are left out."""
import csv, os, re, sys

COLUMNS = ("run_id", "attribute_path", "attribute_type", "step", "float_value")


def fail(message):
    sys.exit("neptune_to_csv.py: " + message)


def read(folder):
    """{run: {step: {attribute: value}}}, and the attributes of each run in the order in which they come."""
    import pyarrow.parquet as parquet
    runs, files = {}, 0
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(".parquet"):
                continue
            path = os.path.join(where, name)
            try:
                file = parquet.ParquetFile(path)
            except Exception as error:  # pyarrow has many
                fail("%s: %s" % (path, error))
            missing = [column for column in COLUMNS if column not in file.schema_arrow.names]
            if missing:
                fail("%s has no column %s; is it of neptune-exporter?" % (path, ", ".join(missing)))
            files += 1
            for batch in file.iter_batches(columns=list(COLUMNS)):
                for row in batch.to_pylist():
                    if row["attribute_type"] != "float_series" or row["step"] is None or row["float_value"] is None:
                        continue
                    attributes, steps = runs.setdefault(str(row["run_id"]), ({}, {}))
                    attributes[row["attribute_path"]] = True
                    values = steps.setdefault(row["step"], {})
                    if values.setdefault(row["attribute_path"], row["float_value"]) != row["float_value"]:
                        fail("%s: %s of %s has two values for step %s" % (path, row["attribute_path"], row["run_id"],
                                                                          row["step"]))
    if files == 0:
        fail("%s holds no .parquet files" % folder)
    return runs


def write(out, run, attributes, steps):
    path = os.path.join(out, re.sub(r"[^A-Za-z0-9._-]+", "-", run).lstrip(".-") + ".csv")
    with open(path, "x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step"] + list(attributes))
        for step in sorted(steps):
            if step != int(step):
                fail("%s has the step %s, which is no whole number" % (run, step))
            writer.writerow([int(step)] + [repr(steps[step][name]) if name in steps[step] else "" for name in attributes])
    print(path)


def main():
    if len(sys.argv) != 3:
        fail("name two folders: that of neptune-exporter's files, and one for CSV")
    try:
        runs = read(sys.argv[1])
    except ImportError:
        fail("pyarrow is not installed")
    if not runs:
        fail("%s holds no series of numbers" % sys.argv[1])
    os.makedirs(sys.argv[2], exist_ok=True)
    for run in sorted(runs):
        try:
            write(sys.argv[2], run, *runs[run])
        except FileExistsError as error:
            fail("%s exists already" % error.filename)


if __name__ == "__main__":
    main()
