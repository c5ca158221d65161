"""Runs Schemathesis against the instance at CLOUDFLOW_URL, called with CLOUDFLOW_TOKEN; tools/test-api starts it.

Arguments: a directory for files, [--long].
"""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import urllib.request

import yaml

LONG_REQUESTS = 50_000
SEED = 20261127
ASKED = 7  # pieces of PLENTY-01: for such an order the saga that tools/test-api serves asks somebody
HERE = pathlib.Path(__file__).parent
URL = os.environ["CLOUDFLOW_URL"]
CREDENTIAL = "Bearer " + os.environ["CLOUDFLOW_TOKEN"]


def call(method, path, body=None):
    headers = {"Content-Type": "application/json", "Authorization": CREDENTIAL}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def prepare(directory):
    """Puts a product on the shelf that does not run out, places orders, some of which wait for an answer, and writes their ids, and the tokens
    of what waits, where the configuration looks for them."""
    call("PUT", "/products/PLENTY-01", {"name": "Plenty", "unit_price_cents": 100, "stock": 100_000_000})
    lines = [{"product_id": "PLENTY-01", "quantity": 1}]
    methods = ["pm_card_visa", "pm_card_chargeDeclined", "pm_sim_slow"]
    orders = [call("POST", "/orders", {"customer_id": "cust-001", "items": lines, "payment_method": m}) for m in methods]
    asked = {"customer_id": "cust-001", "items": [{"product_id": "PLENTY-01", "quantity": ASKED}]}
    waiting = {call("POST", "/orders", asked)["order_id"] for _ in range(20)}
    for _ in range(100):
        tokens = [t["token"] for t in call("GET", "/admin/tasks?limit=100")["tasks"] if t.get("order_id") in waiting]
        if len(tokens) == len(waiting):
            break
        time.sleep(0.1)
    else:
        sys.exit("test-api: the orders do not come to the state that asks")
    for name, ids in {"orders": [o["order_id"] for o in orders], "products": ["PLENTY-01", "MOUSE-01"], "tokens": tokens}.items():
        (directory / f"{name}.txt").write_text("".join(f'"{id}"\n' for id in ids))
    shutil.copy(HERE / "schemathesis.toml", directory / "schemathesis.toml")


def streams():
    """The operations that answer with a stream of events."""
    with urllib.request.urlopen(URL + "/openapi.yaml") as answer:
        document = yaml.safe_load(answer)
    for methods in document["paths"].values():
        for operation in methods.values():
            if not isinstance(operation, dict):
                continue
            for response in operation.get("responses", {}).values():
                if "text/event-stream" in response.get("content", {}):
                    yield operation["operationId"]


def run(directory, seed, examples):
    """One run of all phases; returns how many requests it made and how many of them were answered wrongly."""
    report = directory / "report.json"
    report.unlink(missing_ok=True)
    command = [
        str(pathlib.Path(sys.executable).parent / "schemathesis"), "--config-file", str(directory / "schemathesis.toml"),
        "run", URL + "/openapi.yaml", "--seed", str(seed), "-n", str(examples), "--no-color",
        "--header", "Authorization: " + CREDENTIAL,
        "--report", "json", "--report-json-path", str(report),
    ]
    for operation in streams():
        command += ["--exclude-operation-id", operation]
    output = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if output.returncode != 0 or not report.exists():
        print(output.stdout)
        sys.exit(f"test-api: failed with seed {seed}")
    return json.loads(report.read_text())


def text_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def cpu():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown CPU"


def main():
    directory, long = pathlib.Path(sys.argv[1]), "--long" in sys.argv
    prepare(directory)
    began, requests, seed = time.monotonic(), 0, SEED
    while True:
        report = run(directory, seed, 1000 if long else 200)
        requests += report["test_cases"]["generated"]
        print(f"test-api: {requests} requests, seed {seed}, nothing undeclared", flush=True)
        if not long or requests >= LONG_REQUESTS:
            break
        seed += 1
    operations = report["operations"]
    if not long:
        return
    result = {
        "command": "tools/test-api --long",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {cpu()}",
        "go": text_of("go", "env", "GOVERSION"),
        "commit": text_of("git", "rev-parse", "--short", "HEAD"),
        "results": [{
            "test": "Schemathesis " + report["schemathesis_version"], "what": "requests", "count": requests, "seed": SEED, "violations": 0,
            "detail": f"{operations['tested']} of {operations['total']} operations, seeds {SEED} to {seed}",
            "seconds": round(time.monotonic() - began, 1),
        }],
    }
    path = pathlib.Path("docs/results/test-api.json")
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {path}")


main()
