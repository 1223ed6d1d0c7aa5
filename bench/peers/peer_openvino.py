"""One round of OpenVINO GenAI: prints milliseconds as JSON.

    peer_openvino.py FOLDER --threads 2 …          FOLDER: what run.py make has exported

Encoding is what its own metrics call preparing the embeddings: preprocessing, tower and merger.
"""
import numpy
import openvino
import openvino_genai

import peer
from pictures import synthetic_picture


def main():
    options = peer.parse_options(__doc__, ["folder"])
    load_ms, pipe = peer.milliseconds(lambda: openvino_genai.VLMPipeline(
        options.folder, "CPU", INFERENCE_NUM_THREADS=options.threads, PERFORMANCE_HINT="LATENCY"))
    tokenizer = pipe.get_tokenizer()
    picture = openvino.Tensor(synthetic_picture(options.side, options.side, 2)[numpy.newaxis])

    def answer(n_words, n_new, pictures):
        config = openvino_genai.GenerationConfig()
        config.do_sample, config.ignore_eos = False, True
        config.max_new_tokens = config.min_new_tokens = n_new
        inputs = {"images": pictures} if pictures else {}
        return pipe.generate(peer.words(n_words), generation_config=config, **inputs).perf_metrics

    # Words are tokens; what the template adds is taken off, so that the whole prompt has the length.
    overhead = answer(1, 1, []).get_num_input_tokens() - 1
    answer(1, 1, [picture])  # touches the weights once
    seen = answer(options.text_tokens, 1, [picture])
    text = answer(max(1, options.prompt_tokens - overhead), options.answer_tokens, [])
    counted = tokenizer.encode(peer.words(10)).input_ids.shape[1]
    peer.report(load=load_ms, encode=seen.get_prepare_embeddings_duration().mean,
                ttft=seen.get_ttft().mean, prefill=text.get_ttft().mean,
                decode=text.get_tpot().mean, prefill_tokens=text.get_num_input_tokens(),
                ttft_tokens=seen.get_num_input_tokens(), tokens_of_ten_words=int(counted))


if __name__ == "__main__":
    main()
