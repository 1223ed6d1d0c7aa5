#!/usr/bin/env python3
"""Measures qwenvl and its peers on the same work, in turns.

    run.py make MODEL FILES             writes the peers' files for a Hugging Face folder, once
    run.py run MODEL FILES --qwenvl build/release/qwenvl --rounds 8 --json out.json --plot out.svg
    run.py run MODEL FILES --skip "llama.cpp:encode-1080p=takes ten minutes"

A round runs every engine once, in a fresh process and in shuffled order, between two probes of the
machine (`qwenvl bench machine`). It starts only on an idle machine and counts only when the probes
agree and nothing else ran meanwhile. docs/performance.md says why.
"""
import argparse
import fcntl
import html
import json
import mmap
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
STAGES = ["encode-512", "encode-1024", "encode-1080p", "prefill", "ttft-512", "decode", "batch"]
ENGINES = ["llama.cpp", "openvino", "transformers"]
PROBES = ["read_gbps", "int8_gops", "bf16_gops"]
PROBES_WITHIN = 0.15      # relative difference of the probes before and after a round
MOST_STEAL = 0.01         # share of processor time taken by the machine's owner
MOST_FOREIGN = 0.03       # share taken by other processes
IDLE = 0.93               # of all processors, for IDLE_SECONDS, before a round begins
IDLE_SECONDS = 1.5
LANGUAGE, VISION = "language-q4_0.gguf", "vision-bf16.gguf"


# ---- files -----------------------------------------------------------------------------------

def make(arguments):
    arguments.files.mkdir(parents=True, exist_ok=True)
    model = str(arguments.model)
    tool = [sys.executable, str(HERE / "make_gguf.py"), model]
    exporter = pathlib.Path(sys.executable).with_name("optimum-cli")
    # int4: the decoder in groups of 128, int8 for the tower, embedding and head, its usual setting.
    openvino = openvino_folder(arguments)
    groups = ["--group-size", "128"] if arguments.openvino_weights == "int4" else []
    steps = {
        LANGUAGE: [*tool, "{out}", "--type", "q4_0"],
        VISION: [*tool, "{out}", "--vision", "--type", "bf16"],
        openvino: [str(exporter), "export", "openvino", "--model", model, "--task",
                   "image-text-to-text", "--weight-format", arguments.openvino_weights, *groups, "{out}"],
    }
    for name, command in steps.items():
        out = arguments.files / name
        if name not in wanted_files(arguments) or out.exists():
            continue
        # Under another name until it is whole.
        partial = out.with_name("partial-" + name)
        print("make:", name, flush=True)
        subprocess.run([part.format(out=partial) for part in command], check=True)
        partial.rename(out)


def openvino_folder(arguments):
    return "openvino-" + arguments.openvino_weights


def wanted_files(arguments):
    files = {"llama.cpp": [LANGUAGE, VISION], "openvino": [openvino_folder(arguments)],
             "transformers": []}
    return [name for engine in arguments.engines for name in files[engine]]


# ---- the machine -----------------------------------------------------------------------------

def processor_times():
    """Seconds since start: all, idle, stolen by the owner of the machine."""
    fields = [int(x) for x in open("/proc/stat", encoding="ascii").readline().split()[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    return sum(fields) / tick, (fields[3] + fields[4]) / tick, fields[7] / tick


def wait_until_idle(patience):
    deadline = time.monotonic() + patience
    while True:
        before = processor_times()
        time.sleep(IDLE_SECONDS)
        after = processor_times()
        idle = (after[1] - before[1]) / max(after[0] - before[0], 1e-9)
        if idle >= IDLE:
            return
        if time.monotonic() > deadline:
            sys.exit(f"run.py: the processors are only {idle:.0%} idle, expected {IDLE:.0%}; stop what "
                     "else runs, wait longer (--patience) or take the disturbance (--busy)")


def own_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# ---- engines ---------------------------------------------------------------------------------

def read_into_cache(command):
    """An engine's files, so that no first pass waits for a disk: others' files push them out. Through
    mappings, as they are used: the system may then keep them in large pages."""
    for argument in command:
        path = pathlib.Path(argument)
        files = [path] if path.is_file() else sorted(path.glob("*")) if path.is_dir() else []
        for file in files:
            if file.is_file() and file.stat().st_size > 0:
                with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                    mapped[::mmap.PAGESIZE]


def stages_of(name, arguments):
    return [stage for stage in arguments.stages if stage not in arguments.skip.get(name, {})]


def peer_command(name, arguments, script, *files):
    return [sys.executable, str(HERE / script), *map(str, files), *sizes_of(arguments), "--stages",
            ",".join(stages_of(name, arguments))]


def sizes_of(arguments):
    return ["--threads", str(arguments.threads), "--prompt-tokens", str(arguments.prompt_tokens),
            "--answer-tokens", str(arguments.answer_tokens), "--batch", str(arguments.batch)]


def commands_of(arguments):
    files = arguments.files
    ours = {}
    for entry in arguments.ours or [f"qwenvl={arguments.model}"]:
        name, _, model = entry.rpartition("=")
        ours[name or pathlib.Path(model).name] = [
            arguments.qwenvl, "bench", model, "--rounds", "1", *sizes_of(arguments), "--stages",
            ",".join(arguments.stages), "--json", "-"]
    peers = {"llama.cpp": ["peer_llama.py", files / LANGUAGE, files / VISION],
             "openvino": ["peer_openvino.py", files / openvino_folder(arguments)],
             "transformers": ["peer_transformers.py", arguments.model]}
    return list(ours), {**ours, **{name: peer_command(name, arguments, *peers[name])
                                   for name in arguments.engines if stages_of(name, arguments)}}


def last_json(text):
    """Peers may print before their one line; ours prints one object."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return json.loads(text.strip().splitlines()[-1])


def times_of(output):
    if "stages" not in output:
        return output
    return {stage["name"]: stage["median_ms"] for stage in output["stages"]} | {
        "shares": {stage["name"]: stage["share"] for stage in output["stages"]}}


def run_command(command):
    env = dict(os.environ, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
        if done.returncode != 0:
            errors.seek(0)
            sys.exit(f"run.py: {' '.join(command[:3])} … failed:\n{errors.read()[-3000:]}")
    return last_json(done.stdout)


def probe(arguments):
    report = run_command([arguments.qwenvl, "bench", "machine", "--rounds", "1", "--threads",
                          str(arguments.threads), "--json", "-"])
    return report["all_threads"][0]


# ---- rounds ----------------------------------------------------------------------------------

def turn(name, command, before, arguments):
    """One engine between two probes, and why it does not count, if so."""
    read_into_cache(command)
    stat, own = processor_times(), own_seconds()
    times = times_of(run_command(command))
    spent, used = [b - a for a, b in zip(stat, processor_times())], own_seconds() - own
    after = probe(arguments)
    reasons = [f"{key} changed from {before[key]:.1f} to {after[key]:.1f}" for key in PROBES
               if abs(before[key] - after[key]) > PROBES_WITHIN * min(before[key], after[key])]
    foreign = (spent[0] - spent[1] - spent[2] - used) / spent[0]
    if spent[2] / spent[0] > MOST_STEAL:
        reasons.append(f"{spent[2] / spent[0]:.1%} of the time stolen")
    if foreign > MOST_FOREIGN:
        reasons.append(f"{foreign:.1%} of the time taken by others")
    return {"engine": name, "times": times, "before": before, "after": after, "reasons": reasons}


def run_rounds(arguments, commands):
    """Yields what each round gave, by engine."""
    order = random.Random(arguments.seed)
    for number in range(arguments.rounds):
        if not arguments.busy:
            wait_until_idle(arguments.patience)
        names = list(commands)
        order.shuffle(names)
        before, turns = probe(arguments), {}
        for name in names:
            print(f"round {number + 1} of {arguments.rounds}: {name}", file=sys.stderr, flush=True)
            turns[name] = turn(name, commands[name], before, arguments)
            before = turns[name]["after"]
        yield turns


def counts(ours, theirs):
    return not ours["reasons"] and not theirs["reasons"]


def ratios_of(rounds, ours, peer, stage):
    """Peer's time / our time of every round that counts; of all when none does."""
    both = [r for r in rounds if stage in r[ours]["times"] and stage in r[peer]["times"]]
    steady = [r for r in both if counts(r[ours], r[peer])]
    return [r[peer]["times"][stage] / r[ours]["times"][stage] for r in steady or both], len(steady)


def summary_of(rounds, ours):
    rows = []
    for own in ours:
        for peer in rounds[0]:
            for stage in STAGES:
                ratios, n_steady = ratios_of(rounds, own, peer, stage)
                if peer in ours or not ratios:
                    continue
                times = {name: [r[name]["times"][stage] for r in rounds] for name in (own, peer)}
                rows.append({
                    "ours": own, "peer": peer, "stage": stage, "ratio": statistics.median(ratios),
                    "least": min(ratios), "most": max(ratios), "per_round": ratios,
                    "rounds_that_count": n_steady, "rounds": len(rounds),
                    "our_ms": {"min": min(times[own]), "median": statistics.median(times[own])},
                    "peer_ms": {"min": min(times[peer]), "median": statistics.median(times[peer])}})
    return rows


def print_table(rows):
    print(f"{'stage':<12} {'ours':<14} {'peer':<14} {'our ms':>10} {'peer ms':>10} {'ratio':>7}  "
          f"{'range':<13} counted")
    for row in rows:
        print(f"{row['stage']:<12} {row['ours']:<14} {row['peer']:<14} "
              f"{row['our_ms']['median']:>10.1f} {row['peer_ms']['median']:>10.1f} "
              f"{row['ratio']:>6.2f}x  {row['least']:.2f} – {row['most']:.2f}".ljust(88) +
              f" {row['rounds_that_count']}/{row['rounds']}")


def plot_of(rows):
    """SVG: one bar per comparison; the line is equality."""
    width, names, row_height, top = 820, 330, 24, 40
    longest = max([row["most"] for row in rows] + [1.0])
    scale = (width - names - 90) / longest
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
             f'height="{top + row_height * len(rows) + 20}" font-family="sans-serif" font-size="13">',
             '<rect width="100%" height="100%" fill="#fff"/>',
             '<text x="10" y="22" font-weight="bold">Peer\'s time / our time (median, range)</text>']
    for i, row in enumerate(rows):
        y = top + row_height * i
        x = [names + scale * row[key] for key in ("least", "ratio", "most")]
        label = html.escape(f"{row['stage']}: {row['ours']} against {row['peer']}")
        parts.append(
            f'<text x="{names - 8}" y="{y + 15}" text-anchor="end">{label}</text>'
            f'<rect x="{names}" y="{y + 3}" width="{x[1] - names:.1f}" height="16" fill="#2a6fbb"/>'
            f'<line x1="{x[0]:.1f}" x2="{x[2]:.1f}" y1="{y + 11}" y2="{y + 11}" stroke="#111"/>'
            f'<text x="{x[2] + 6:.1f}" y="{y + 15}">{row["ratio"]:.2f}x</text>')
    bottom = top + row_height * len(rows)
    parts.append(f'<line x1="{names + scale:.1f}" x2="{names + scale:.1f}" y1="{top}" y2="{bottom}" '
                 'stroke="#c33" stroke-dasharray="4"/></svg>\n')
    return "\n".join(parts)


def run(arguments):
    missing = [name for name in wanted_files(arguments)
               if not (arguments.files / name).exists()]
    if missing:
        sys.exit(f"run.py: {arguments.files} lacks {', '.join(missing)}; write them with: run.py make")
    lock = open(pathlib.Path(tempfile.gettempdir()) / "qwenvl-bench.lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("run.py: another benchmark is running on this machine; wait for it")
    ours, commands = commands_of(arguments)
    rounds = []
    try:
        for turns in run_rounds(arguments, commands):
            rounds.append(turns)
            write_files(arguments, rounds, ours)  # a round takes minutes: none is lost with the next
    except KeyboardInterrupt:
        if not rounds:
            sys.exit("run.py: interrupted before a round was whole")
        print(f"interrupted: {len(rounds)} of {arguments.rounds} rounds are whole", file=sys.stderr)
    print_table(summary_of(rounds, ours))
    print_skipped(arguments)
    for number, turns in enumerate(rounds):
        for name, one in turns.items():
            if one["reasons"]:
                print(f"round {number + 1}, {name}: does not count: {'; '.join(one['reasons'])}")


def write_files(arguments, rounds, ours):
    rows = summary_of(rounds, ours)
    if arguments.json:
        arguments.json.write_text(json.dumps(
            {"summary": rows, "not_measured": arguments.skip, "rounds": rounds}, indent=1) + "\n")
    if arguments.plot:
        arguments.plot.write_text(plot_of(rows))


def print_skipped(arguments):
    for engine in arguments.engines:
        for stage, reason in arguments.skip.get(engine, {}).items():
            print(f"{stage}, {engine}: not measured: {reason}")


def at_least(low):
    def parse(text):
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        return value
    return parse


def some_of(known):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"'{name}' is not one of {', '.join(known)}")
        return names
    return parse


def skipped_stage(text):
    """'llama.cpp:encode-1080p=takes minutes' → engine, stage, reason."""
    place, _, reason = text.partition("=")
    engine, _, stage = place.partition(":")
    if engine not in ENGINES or stage not in STAGES or not reason:
        raise argparse.ArgumentTypeError(
            f"found '{text}', expected ENGINE:STAGE=REASON with one of {', '.join(ENGINES)} and one "
            f"of {', '.join(STAGES)}")
    return engine, stage, reason


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    maker = commands.add_parser("make", help="write the peers' files")
    runner = commands.add_parser("run", help="measure")
    for command, call in ((maker, make), (runner, run)):
        command.set_defaults(call=call)
        command.add_argument("model", type=pathlib.Path, help="Hugging Face folder")
        command.add_argument("files", type=pathlib.Path, help="folder of the peers' files")
        command.add_argument("--engines", type=some_of(ENGINES), default=ENGINES,
                             help="some of " + ",".join(ENGINES))
        command.add_argument("--openvino-weights", choices=("int4", "int8"), default="int4")
    runner.add_argument("--qwenvl", default="build/release/qwenvl")
    runner.add_argument("--ours", action="append", metavar="NAME=MODEL",
                        help="our checkpoints, e.g. int4=FOLDER; may be given several times "
                             "(unset: MODEL itself)")
    runner.add_argument("--rounds", type=at_least(1), default=8)
    runner.add_argument("--threads", type=at_least(1), default=len(os.sched_getaffinity(0)))
    runner.add_argument("--prompt-tokens", type=at_least(1), default=350)
    runner.add_argument("--answer-tokens", type=at_least(2), default=64)
    runner.add_argument("--batch", type=at_least(1), default=8, help="pictures answered at once")
    runner.add_argument("--stages", type=some_of(STAGES), default=STAGES,
                        help="some of " + ",".join(STAGES))
    runner.add_argument("--skip", action="append", type=skipped_stage, default=[],
                        metavar="ENGINE:STAGE=REASON",
                        help="what a peer is not asked for, and why; may be given several times")
    runner.add_argument("--seed", type=int, default=1, help="of the order of engines")
    runner.add_argument("--patience", type=at_least(0), default=120, help="seconds to wait for idleness")
    runner.add_argument("--busy", action="store_true", help="start although other things run")
    runner.add_argument("--json", type=pathlib.Path)
    runner.add_argument("--plot", type=pathlib.Path)
    arguments = parser.parse_args()
    if "skip" in arguments:
        skip = {}
        for engine, stage, reason in arguments.skip:
            skip.setdefault(engine, {})[stage] = reason
        arguments.skip = skip
    arguments.call(arguments)


if __name__ == "__main__":
    main()
