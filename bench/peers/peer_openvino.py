"""One round of OpenVINO GenAI: prints milliseconds as JSON.

    peer_openvino.py FOLDER --threads 2 …          FOLDER: what run.py make has exported

Encoding is what its own metrics call preparing the embeddings: preprocessing, tower and merger.
"""
import argparse
import json
import time

import numpy
import openvino
import openvino_genai

from pictures import synthetic_picture


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--side", type=int, default=504)
    parser.add_argument("--prompt-tokens", type=int, default=350)
    parser.add_argument("--answer-tokens", type=int, default=64)
    parser.add_argument("--text-tokens", type=int, default=32)
    arguments = parser.parse_args()
    begin = time.perf_counter()
    pipe = openvino_genai.VLMPipeline(arguments.folder, "CPU",
                                      INFERENCE_NUM_THREADS=arguments.threads,
                                      PERFORMANCE_HINT="LATENCY")
    load_ms = (time.perf_counter() - begin) * 1e3
    tokenizer = pipe.get_tokenizer()
    picture = openvino.Tensor(synthetic_picture(arguments.side, arguments.side, 2)[numpy.newaxis])

    def answer(n_words, n_new, pictures):
        config = openvino_genai.GenerationConfig()
        config.do_sample, config.ignore_eos = False, True
        config.max_new_tokens = config.min_new_tokens = n_new
        prompt = "the" + " the" * (n_words - 1)
        inputs = {"images": pictures} if pictures else {}
        return pipe.generate(prompt, generation_config=config, **inputs).perf_metrics

    # Words are tokens; what the template adds is taken off, so that the whole prompt has the length.
    overhead = answer(1, 1, []).get_num_input_tokens() - 1
    answer(1, 1, [picture])  # touches the weights once
    seen = answer(arguments.text_tokens, 1, [picture])
    text = answer(max(1, arguments.prompt_tokens - overhead), arguments.answer_tokens, [])
    counted = tokenizer.encode("the" + " the" * 9).input_ids.shape[1]
    print(json.dumps({
        "load": load_ms,
        "encode-512": seen.get_prepare_embeddings_duration().mean,
        "ttft-512": seen.get_ttft().mean,
        "prefill": text.get_ttft().mean,
        "decode": text.get_tpot().mean,
        "prefill_tokens": text.get_num_input_tokens(),
        "ttft_tokens": seen.get_num_input_tokens(),
        "tokens_of_ten_words": int(counted)}))


if __name__ == "__main__":
    main()
