"""One round of OpenVINO GenAI: prints milliseconds as JSON.

    peer_openvino.py FOLDER --threads 2 …          FOLDER: what run.py make has exported

Encoding is what its own metrics call preparing the embeddings: preprocessing, tower and merger.
Several pictures at once are answered by its pipeline for continuous batching.
"""
import numpy
import openvino
import openvino_genai

import peer
from pictures import synthetic_picture


CACHE_GB = 2  # keys and values of the batch


def tensor_of(sides, seed=2):
    return openvino.Tensor(synthetic_picture(*sides, seed)[numpy.newaxis])


def settings(n_new):
    config = openvino_genai.GenerationConfig()
    config.do_sample, config.ignore_eos = False, True
    config.max_new_tokens = config.min_new_tokens = n_new
    return config


def main():
    options = peer.parse_options(__doc__, ["folder"])
    load_ms, pipe = peer.milliseconds(lambda: openvino_genai.VLMPipeline(
        options.folder, "CPU", INFERENCE_NUM_THREADS=options.threads, PERFORMANCE_HINT="LATENCY"))

    def answer(n_words, n_new, pictures):
        inputs = {"images": pictures} if pictures else {}
        return pipe.generate(peer.words(n_words), generation_config=settings(n_new),
                             **inputs).perf_metrics

    # Words are tokens; what the template adds is taken off, so that the whole prompt has the length.
    overhead = answer(1, 1, []).get_num_input_tokens() - 1
    answer(1, 1, [tensor_of(peer.SIDES)])  # touches the weights once

    def encode(stage):
        seen = answer(1, 1, [tensor_of(peer.PICTURES[stage])])
        return {stage: seen.get_prepare_embeddings_duration().mean}

    def first_token():
        seen = answer(options.text_tokens, 1, [tensor_of(peer.SIDES)])
        return {"ttft-512": seen.get_ttft().mean}

    def text():
        metrics = answer(max(1, options.prompt_tokens - overhead), options.answer_tokens, [])
        return {"prefill": metrics.get_ttft().mean, "decode": metrics.get_tpot().mean}

    def batch():
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size, scheduler.max_num_seqs = CACHE_GB, options.batch
        together = openvino_genai.ContinuousBatchingPipeline(
            options.folder, scheduler, "CPU", {"INFERENCE_NUM_THREADS": options.threads})

        def answer_all(n_new):
            pictures = [[tensor_of(peer.SIDES, 10 + i)] for i in range(options.batch)]
            together.generate([peer.words(options.text_tokens)] * options.batch, images=pictures,
                              generation_config=[settings(n_new)] * options.batch)

        together.generate([peer.words(1)], [settings(1)])  # touches the weights once
        return {"batch": peer.milliseconds(lambda: answer_all(options.answer_tokens))[0]}

    peer.report(options.stages, load_ms, {
        **{stage: lambda stage=stage: encode(stage) for stage in peer.PICTURES},
        "ttft-512": first_token, "prefill": text, "decode": text, "batch": batch})


if __name__ == "__main__":
    main()
