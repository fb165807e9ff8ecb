#!/usr/bin/env python3
"""Times `selfsame runs` on many runs, and an MLflow server that holds the same ones.

usage: check/tools/bench_runs.py [--selfsame PROGRAM] [--runs 10000] [--rounds 15] [--folder FOLDER] [--mlflow]

Trains 40 small runs (four recipes, ten seeds, two epochs) and copies them until there are enough. A folder that was
made before is used again. Prints the median of the rounds, for a warm index: of the time that a user waits, of the least
such time, and of the time of processors, which other programs on the machine change less. A round starts a process, as a
user does.

With --mlflow, the same runs go into MLflow's SQLite database, and the handler of its server answers runs/search. MLflow has
no groups: a client fetches all runs and groups them. It needs the package mlflow (PyPI), and takes minutes.
"""
import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import time
import uuid

MANIFEST = """inherit: quick/resnet20.yaml
name: small-{number}
model: {{depth: 8}}
training: {{epochs: 2, batch_size: 16, seeds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], schedule: {{drop_epochs: [], learning_rate: {rate}}}}}
dataset: {{training_images: 32, test_images: 20, train_sha256: {train}, test_sha256: any}}
targets: []
"""
TRAIN = "3cc266318723b0ed6f160a7ef7d275983db849e473b379772bad4111990f121a"  # of the first 32 embedded images
RATES = (0.1, 0.05, 0.02, 0.01)
SEEDS = 10  # of the manifest
WHERE = "depth = 8 and error < 90 and manifest = 'small-2'"
QUERIES = {
    "list": [],
    "filter": ["--where", WHERE],
    "sort": ["--sort", "error:desc,run"],
    "group": ["--group", "seed"],
    "CSV": ["--format", "csv"],
    "JSON": ["--format", "json"],
}
PARAMETERS = 27  # what selfsame export sends


def make_runs(program, folder, count):
    runs = os.path.join(folder, "runs")
    if os.path.isdir(runs) and len(os.listdir(runs)) == count:
        return runs
    shutil.rmtree(runs, ignore_errors=True)
    made = os.path.join(folder, "made")
    for number, rate in enumerate(RATES, 1):
        path = os.path.join(folder, f"small-{number}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(MANIFEST.format(number=number, rate=rate, train=TRAIN))
        subprocess.run([program, "train", path, "--runs", made], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sources = sorted(os.listdir(made))
    for i in range(count):
        source = sources[i % len(sources)]
        shutil.copytree(os.path.join(made, source), os.path.join(runs, f"{source}-{i // len(sources):04d}"),
                        ignore=shutil.ignore_patterns("weights.safetensors", "checkpoints"))
    return runs


def show(what, times):
    """Of pairs of seconds: waited, and of processors."""
    waited, worked = zip(*times)
    print(f"{what:40} {1000 * statistics.median(waited):8.1f} ms, at least {1000 * min(waited):8.1f}, of processors {1000 * statistics.median(worked):8.1f}", flush=True)


def time_selfsame(program, runs, folder, rounds):
    environment = {**os.environ, "SELFSAME_STORE": os.path.join(folder, "store")}

    def ask(words):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([program, "runs", "--runs", runs, *words], check=True, env=environment, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.perf_counter() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    shutil.rmtree(os.path.join(folder, "store"), ignore_errors=True)
    show("selfsame, a new index", [ask([])])
    time.sleep(4)  # the files are old enough now for their times to be believed
    ask([])
    for name, words in QUERIES.items():
        show(f"selfsame, {name}", [ask(words) for _ in range(rounds)])


def fill_mlflow(database, runs, sources):
    """Forty runs go through the store that the server itself uses. Their rows are then copied for the others."""
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    store = SqlAlchemyStore(f"sqlite:///{database}.new", "/nonexistent")
    experiment = store.create_experiment("runs")
    names = sorted(os.listdir(runs))
    first = {}
    for name in names[:: len(names) // sources]:
        with open(os.path.join(runs, name, "record.json"), encoding="utf-8") as file:
            record = json.load(file)
        with open(os.path.join(runs, name, "metrics.jsonl"), encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        run = store.create_run(experiment, "user", 1700000000000, [RunTag("selfsame.run", name)], name).info.run_id
        facts = {"network.depth": record["network"]["depth"], "manifest.name": record["manifest"]["name"],
                 "training.seed": record["experiment"]["seed"], "arithmetic": record["arithmetic"]["version"]}
        facts.update({f"parameter.{i}": i for i in range(PARAMETERS - len(facts))})
        metrics = [Metric(key, row[key], 1700000000000, row["epoch"] + 1) for row in rows
                   for key in ("training_loss", "training_error", "validation_loss", "validation_error", "learning_rate")]
        store.log_batch(run, metrics, [Param(key, str(value)) for key, value in facts.items()], [])
        first[name[:-5]] = (name, run)
    store.engine.dispose()
    connection = sqlite3.connect(f"{database}.new")
    copies = {}
    for table in ("runs", "params", "metrics", "latest_metrics", "tags"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        values = [":new" if column == "run_uuid" else ":name" if (table, column) == ("runs", "name") else column for column in columns]
        copies[table] = f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} WHERE run_uuid = :old"
    for name in names:
        source, run = first[name[:-5]]
        if name != source:
            row = {"new": uuid.uuid4().hex, "name": name, "old": run}
            for copy in copies.values():
                connection.execute(copy, row)
    connection.commit()
    connection.close()
    os.rename(f"{database}.new", database)


def time_mlflow(folder, runs, rounds):
    """The server's own handlers, called in this process: what a request takes without HTTP, and with its JSON read."""
    database = os.path.join(folder, "mlflow.db")
    if not os.path.exists(database):
        if os.path.exists(f"{database}.new"):
            os.remove(f"{database}.new")
        fill_mlflow(database, runs, len(RATES) * SEEDS)
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = f"sqlite:///{database}"
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "/nonexistent"
    from mlflow.server import app
    client = app.test_client()

    def ask(**body):
        begun, before = time.perf_counter(), time.process_time()
        answer = client.post("/api/2.0/mlflow/runs/search", json={"experiment_ids": ["1"], **body})
        assert answer.status_code == 200, answer.data[:500]
        found = len(json.loads(answer.data).get("runs", []))
        return (time.perf_counter() - begun, time.process_time() - before), found

    where = "params.`network.depth` = '8' and metrics.validation_error < 90 and params.`manifest.name` = 'small-2'"
    order = ["metrics.validation_error DESC"]
    for what, most, body in (("first 100", rounds, {"max_results": 100}), ("filter, first 100", rounds, {"max_results": 100, "filter": where}),
                             ("filter", 2, {"max_results": 10000, "filter": where}), ("sort, first 100", 2, {"max_results": 100, "order_by": order}),
                             ("list", 1, {"max_results": 10000})):
        answers = [ask(**body) for _ in range(most)]
        show(f"MLflow, {what} ({answers[0][1]} runs)", [times for times, _ in answers])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--selfsame", default="build/selfsame")
    parser.add_argument("--runs", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", default="bench-runs")
    parser.add_argument("--mlflow", action="store_true")
    parser.add_argument("--only-mlflow", action="store_true")
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    program, folder = os.path.abspath(arguments.selfsame), os.path.abspath(arguments.folder)
    runs = make_runs(program, folder, arguments.runs)
    if not arguments.only_mlflow:
        time_selfsame(program, runs, folder, arguments.rounds)
    if arguments.mlflow or arguments.only_mlflow:
        time_mlflow(folder, runs, arguments.rounds)


main()
